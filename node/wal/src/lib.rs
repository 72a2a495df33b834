//! One write-ahead log for all Raft groups of a store.
//!
//! Whoever appends gets control back at once and a call when the bytes are durable. One thread
//! takes whatever waits, writes it as one [frame](format::frame), syncs once and calls everyone:
//! batches come from the time a sync takes, there is no timer. Votes, entries, truncations and
//! purges of all groups keep the order in which they were asked for.
//!
//! # What is bounded, and by what
//! * Waiting bytes: by whoever asks [`Wal::room`] before it proposes or accepts entries. Calls
//!   never block and never fail, since Raft cannot take back what it said it appended; so what
//!   was admitted while the queue had room is all that can exceed [`Options::queue_bytes`].
//! * Recent payloads in memory: [`Options::cache_bytes`] and the waiting ones.
//! * The index: about 100 bytes for each entry of the log, so by what consensus leaves unpurged.
//! * The volume: three times the live entries, and five segments.
//!
//! # What a failure comes to
//! * A failing write or sync ends the process through the [`FatalHook`]; it is never retried,
//!   because after a failed sync the kernel may hold pages as clean that no disk has.
//! * A full disk: one segment is always allocated ahead. While it cannot be, [`Wal::room`] says
//!   [`Room::Full`] and votes, purges and what is under way still find that segment.
//! * A torn frame at the log's end was never acknowledged and is dropped. Everything else that
//!   does not read back as written is [`OpenError::Damaged`].

mod batch;
mod cache;
pub mod disk;
mod fatal;
pub mod format;
mod group;
mod open;
mod options;
mod queue;
mod recover;
mod segments;
mod state;
mod stats;
pub mod table;
pub mod testing;
mod upkeep;
mod wal;
mod writer;

pub use disk::{Disk, DiskFile, RealDisk};
pub use fatal::{Fatal, FatalHook, abort_process};
pub use open::OpenError;
pub use options::Options;
pub use stats::{Room, Stats};
pub use wal::{Done, Entry, GroupLog, GroupState, Wal};
pub use writer::{Driver, Round};
