//! What the log says about itself.

use std::time::Duration;

/// Whether more entries may be proposed or accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// They may.
    Ok,
    /// More than [`crate::Options::queue_bytes`] wait for the disk; it passes by itself.
    Busy,
    /// The volume has no space for the next segment; what is left is for votes, purges and what
    /// is under way. It passes when space is freed or old segments can go.
    Full,
}

/// Figures since the log was opened, and how things stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Segments in use, without the spare one.
    pub segments: u64,
    /// Their bytes and the spare's on the volume.
    pub disk_bytes: u64,
    /// Bytes of entries that are still needed.
    pub live_bytes: u64,
    /// What can be written without any new space from the volume.
    pub reserve_bytes: u64,
    /// Records and payloads that wait for the disk.
    pub queue_bytes: u64,
    /// Payloads in memory that were written already, and those that wait.
    pub cache_bytes: u64,
    /// Entries, over all groups.
    pub entries: u64,
    /// Entries that were written again so that an old segment could go.
    pub relocated: u64,
    /// Bytes of all frames.
    pub written_bytes: u64,
    /// Syncs of frames.
    pub syncs: u64,
    /// Their time, in microseconds.
    pub sync_micros: u64,
    /// The longest of them, in microseconds.
    pub sync_micros_most: u64,
    /// How many took less than 2^i microseconds and at least half of that; the last one has
    /// whatever took longer.
    pub sync_histogram: [u64; 24],
}

impl Stats {
    pub(crate) fn synced(&mut self, took: Duration) {
        let micros = took.as_micros().min(u64::MAX.into()) as u64;
        self.syncs += 1;
        self.sync_micros += micros;
        self.sync_micros_most = self.sync_micros_most.max(micros);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        let last = self.sync_histogram.len() - 1;
        if let Some(count) = self.sync_histogram.get_mut(bucket.min(last)) {
            *count += 1;
        }
    }
}
