//! The only crate that knows DuckDB.
//!
//! [`Store`] is one DuckDB file that all partitions of a worker share: one thread applies their
//! logs to it, one checkpoints it, and questions are answered beside them. [`Scratch`] is a DuckDB
//! in memory for parsing SQL and reading types. [`QueryProcess`] runs a statement that may take
//! any amount of memory in a process of its own. [`batch`] and [`arrow_schema`] say how rows
//! travel.

mod appendable;
mod apply;
pub mod arrow_schema;
pub mod batch;
mod catalog;
mod checkpoint;
mod decode;
mod entry;
mod fault;
mod gather;
mod inspect;
mod instance;
mod keys;
mod leftover;
mod literal;
mod nice;
mod opening;
mod options;
pub mod plain;
mod plan;
mod pool;
mod process;
mod query;
mod reply;
mod running;
mod scratch;
mod snapshot;
mod state;
mod stats;
mod store;
mod structure;
mod system;
pub mod values;
mod view;
mod write;

pub use checkpoint::CheckpointError;
pub use entry::{ApplyBatch, Done, EngineEntry, EntryKind};
pub use fault::Fault;
pub use inspect::{Inspected, inspect};
pub use keys::KeyRecord;
pub use opening::OpenError;
pub use options::{HaltHook, StoreOptions};
pub use process::{ProcessAnswer, ProcessError, ProcessLimits, QueryProcess, run_child};
pub use query::{Answered, QueryError, QuerySpec, QueryStream};
pub use reply::{ApplyOutcome, PartOutcome, ReplyError};
pub use scratch::{CreateError, ParseError, Scratch, ScratchError};
pub use snapshot::{ExportError, Exported, InstallError};
pub use state::{Applied, Partition};
pub use stats::{APPLY_BUCKETS, EngineStats};
pub use store::{Store, StoreHalted};

/// What tells one engine build from another: answers and aggregate states of different builds are
/// never mixed.
pub fn build() -> &'static str {
    concat!("duckdb-2.0.0 raftduck-", env!("CARGO_PKG_VERSION"))
}
