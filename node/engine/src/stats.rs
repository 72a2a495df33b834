//! What a store counts, for whoever turns it into metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The upper bounds of [`EngineStats::apply_buckets`], in microseconds.
pub const APPLY_BUCKETS: [u64; 12] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];

/// A store's counters at one moment, since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Transactions of the apply thread.
    pub transactions: u64,
    /// Rows they wrote.
    pub rows: u64,
    /// Batches that were applied, each waited for by one group.
    pub batches: u64,
    /// Microseconds from a batch's arrival in the queue until it was applied, summed.
    pub apply_micros: u64,
    /// How many batches took at most [`APPLY_BUCKETS`] microseconds, each counted once, the rest
    /// not at all.
    pub apply_buckets: [u64; APPLY_BUCKETS.len()],
    /// Bytes in the apply queue.
    pub queued_bytes: u64,
    /// Bytes of rows that no checkpoint holds.
    pub unchecked_bytes: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Microseconds they took, summed.
    pub checkpoint_micros: u64,
    /// Queries that run now.
    pub running_queries: u64,
    /// The file's bytes.
    pub file_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    transactions: AtomicU64,
    rows: AtomicU64,
    batches: AtomicU64,
    apply_micros: AtomicU64,
    apply_buckets: [AtomicU64; APPLY_BUCKETS.len()],
    checkpoints: AtomicU64,
    checkpoint_micros: AtomicU64,
}

impl Counters {
    pub fn applied_transaction(&self, rows: u64) {
        self.transactions.fetch_add(1, Relaxed);
        self.rows.fetch_add(rows, Relaxed);
    }

    pub fn applied_batch(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        self.batches.fetch_add(1, Relaxed);
        self.apply_micros.fetch_add(micros, Relaxed);
        let bucket = APPLY_BUCKETS.iter().zip(&self.apply_buckets).find(|(bound, _)| micros <= **bound);
        if let Some((_, count)) = bucket {
            count.fetch_add(1, Relaxed);
        }
    }

    pub fn checkpointed(&self, took: Duration) {
        self.checkpoints.fetch_add(1, Relaxed);
        self.checkpoint_micros.fetch_add(took.as_micros() as u64, Relaxed);
    }

    /// The counters' part of the snapshot; the rest is zero.
    pub fn read(&self) -> EngineStats {
        EngineStats {
            transactions: self.transactions.load(Relaxed),
            rows: self.rows.load(Relaxed),
            batches: self.batches.load(Relaxed),
            apply_micros: self.apply_micros.load(Relaxed),
            apply_buckets: self.apply_buckets.each_ref().map(|count| count.load(Relaxed)),
            checkpoints: self.checkpoints.load(Relaxed),
            checkpoint_micros: self.checkpoint_micros.load(Relaxed),
            ..EngineStats::default()
        }
    }
}
