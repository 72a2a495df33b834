//! The bounds of everything that input or the network can grow, in one place, in bytes unless
//! the name says otherwise.

use std::time::Duration;

/// One log entry's data, and the most rows of it that one proposal carries. Ongaro's thesis §10.2
/// and our measurements agree: beyond 1 MiB latency grows and throughput does not.
pub const ENTRY_BYTES: usize = 1 << 20;
/// One frame between stores: an entry that was appended just under the limit, and its headers.
pub const FRAME_BYTES: usize = 4 << 20;
/// A request's body as sent.
pub const BODY_BYTES: usize = 64 << 20;
/// A request's body after decompression.
pub const INFLATED_BODY_BYTES: usize = 256 << 20;
/// The text of one SQL statement.
pub const STATEMENT_BYTES: usize = 1 << 20;
/// Columns of one table.
pub const COLUMNS: usize = 1_600;
/// How deep JSON may nest.
pub const JSON_DEPTH: usize = 64;
/// An `Idempotency-Key` header.
pub const KEY_BYTES: usize = 255;
/// Idempotency keys a partition remembers; the oldest by log index goes first.
pub const KEYS_PER_PARTITION: usize = 100_000;
/// How long a partition remembers an idempotency key, in log time.
pub const KEY_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How far a leader's clock may carry log time forward in one entry.
pub const LOG_TIME_JUMP: Duration = Duration::from_secs(60 * 60);
/// Partitions of one cluster: eight times what the design is drawn for.
pub const PARTITIONS: u32 = 4_096;
/// Tables of one cluster; the catalog goes whole to every store.
pub const TABLES: usize = 4_096;
/// The name of a table or column.
pub const NAME_BYTES: usize = 255;
