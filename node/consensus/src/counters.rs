//! What a group counts, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Running totals of one group since it was opened.
#[derive(Default, Debug)]
pub struct Counters {
    proposed: AtomicU64,
    committed: AtomicU64,
    failed: AtomicU64,
    commit_micros: AtomicU64,
    elections: AtomicU64,
    applied: AtomicU64,
    batches: AtomicU64,
    apply_micros: AtomicU64,
}

/// [`Counters`] at one moment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Totals {
    /// Proposals taken here.
    pub proposed: u64,
    /// Proposals whose commit was waited for and came.
    pub committed: u64,
    /// Proposals that were refused, or whose outcome nobody will know.
    pub failed: u64,
    /// Microseconds between proposal and commit, of all `committed` together.
    pub commit_micros: u64,
    /// How often this replica saw a new term with a leader in it.
    pub elections: u64,
    /// Entries applied.
    pub applied: u64,
    /// Calls that applied them.
    pub batches: u64,
    /// Microseconds in those calls.
    pub apply_micros: u64,
}

impl Counters {
    pub(crate) fn proposed(&self) {
        self.proposed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self, took: Duration) {
        self.committed.fetch_add(1, Ordering::Relaxed);
        self.commit_micros.fetch_add(micros(took), Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn elected(&self) {
        self.elections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn applied(&self, entries: usize, took: Duration) {
        self.applied.fetch_add(entries as u64, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.apply_micros.fetch_add(micros(took), Ordering::Relaxed);
    }

    /// The totals now.
    pub(crate) fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            proposed: read(&self.proposed),
            committed: read(&self.committed),
            failed: read(&self.failed),
            commit_micros: read(&self.commit_micros),
            elections: read(&self.elections),
            applied: read(&self.applied),
            batches: read(&self.batches),
            apply_micros: read(&self.apply_micros),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
