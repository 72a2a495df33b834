//! What may be chosen.

/// Sizes, all in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The length of a segment: a multiple of 4096, from 16 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// How much one frame, and so one sync, takes; a larger entry gets a frame for itself.
    pub batch_bytes: usize,
    /// Payloads kept in memory after they were written, over all groups.
    pub cache_bytes: usize,
    /// Where [`crate::Wal::room`] starts to say [`crate::Room::Busy`].
    pub queue_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, batch_bytes: 8 << 20, cache_bytes: 32 << 20, queue_bytes: 64 << 20 }
    }
}

impl Options {
    /// Says what is wrong with the options, if something is.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if !(16 << 10..=1 << 30).contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(4096) {
            return Err("segment_bytes has to be a multiple of 4096 from 16 KiB to 1 GiB");
        }
        Ok(())
    }

    /// The largest entry: whatever else a segment holds, this fits into a fresh one.
    pub(crate) fn entry_bytes(&self) -> u64 {
        self.segment_bytes / 2
    }

    /// The largest segment header.
    pub(crate) fn header_bytes(&self) -> u64 {
        self.segment_bytes / 4
    }

    /// One frame's records and payloads.
    pub(crate) fn frame_bytes(&self) -> u64 {
        (self.batch_bytes as u64).min(self.entry_bytes())
    }
}
