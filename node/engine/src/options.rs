//! What a store is opened with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use raftduck_model::limits;

/// Called once, with the reason, when the store can neither apply nor be trusted any more. The
/// process should end: at its next start it recovers from the last checkpoint and the log.
pub type HaltHook = Arc<dyn Fn(&str) + Send + Sync>;

/// The shares of the machine and the bounds that one store keeps to. Nothing is taken from the
/// machine's size: several processes share it.
#[derive(Clone)]
pub struct StoreOptions {
    /// What DuckDB may hold in memory, in bytes, apply and queries together.
    pub memory_bytes: u64,
    /// What the operators of one query may hold; `concurrent_queries` times it must leave a
    /// reserve of `memory_bytes` for apply.
    pub query_memory_bytes: u64,
    /// DuckDB's threads.
    pub threads: usize,
    /// Where queries and large transactions spill; emptied at opening.
    pub spill: PathBuf,
    /// What they may spill, in bytes.
    pub spill_bytes: u64,
    /// Entries that wait for the apply thread, in bytes; whoever adds more waits.
    pub apply_queue_bytes: usize,
    /// Entries that become one transaction, in bytes.
    pub transaction_bytes: usize,
    /// A checkpoint begins after this many bytes of rows: about 100 ms of its work, measured at
    /// 0.2 to 0.4 ms for 1,000 rows.
    pub checkpoint_bytes: u64,
    /// And after this many rows.
    pub checkpoint_rows: u64,
    /// And this long after the first change that no checkpoint holds, so that the log can be
    /// purged of it.
    pub checkpoint_age: Duration,
    /// Queries that run at once.
    pub concurrent_queries: usize,
    /// Queries that wait for their turn; one more is refused.
    pub waiting_queries: usize,
    /// How long any read transaction may stay open, whatever its query asks for.
    pub longest_query: Duration,
    /// How long an export's read transaction may stay open.
    pub longest_export: Duration,
    /// Idempotency keys a partition remembers. It decides what apply does, so it must be the same
    /// on all replicas.
    pub keys_per_partition: usize,
    /// Who is told that the store has halted.
    pub on_halt: HaltHook,
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions").field("memory_bytes", &self.memory_bytes).finish_non_exhaustive()
    }
}

impl StoreOptions {
    /// Options for a store that may use this much memory and this many threads.
    pub fn new(memory_bytes: u64, threads: usize, spill: PathBuf, on_halt: HaltHook) -> Self {
        let concurrent_queries = 4;
        Self {
            memory_bytes,
            query_memory_bytes: memory_bytes / (concurrent_queries as u64 + 1),
            threads,
            spill,
            spill_bytes: 4 << 30,
            apply_queue_bytes: 64 << 20,
            transaction_bytes: 32 << 20,
            checkpoint_bytes: 64 << 20,
            checkpoint_rows: 250_000,
            checkpoint_age: Duration::from_secs(30),
            concurrent_queries,
            waiting_queries: 64,
            longest_query: Duration::from_secs(300),
            longest_export: Duration::from_secs(1_800),
            keys_per_partition: limits::KEYS_PER_PARTITION,
            on_halt,
        }
    }
}
