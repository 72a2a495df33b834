//! The plain values and pure functions every other crate agrees on: identities, the partition
//! hash, the calendar, table definitions, the commands a partition's state machine takes, and the meta
//! group's state. Nothing here does I/O, reads a clock or draws a random number.

pub mod calendar;
pub mod codec;
pub mod column;
pub mod command;
mod error;
pub mod hash;
pub mod ident;
pub mod ids;
pub mod limits;
pub mod meta;
pub mod placement;
pub mod table;

pub use column::ColumnType;
pub use command::{Append, Command, CommandBody, Part};
pub use error::error_chain;
pub use ids::{
    BodyDigest, ClusterId, Epoch, GroupId, KeyDigest, LogId, LogIndex, LogTime, PartitionId, ReplicaId, SchemaVersion,
    StoreId, TableId,
};
pub use table::{Column, Table};
