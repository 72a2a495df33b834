//! Which segments there are, and what still needs them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::format::record::ENTRY_RECORD_BYTES;
use crate::queue::Stamp;

/// Where an entry's payload stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub segment: u32,
    pub offset: u64,
}

#[derive(Debug)]
pub struct Segment {
    pub number: u32,
    pub file: Arc<dyn DiskFile>,
    pub bytes: u64,
    pub live_entries: u64,
    /// With their records.
    pub live_bytes: u64,
    /// The newest request that took an entry out of this segment. The file must not go before
    /// that request is durable: after a crash the entry would be missed.
    released_by: Stamp,
}

/// All begun segments, the oldest first; numbers have no gaps.
#[derive(Debug, Default)]
pub struct Segments(VecDeque<Segment>);

impl Segments {
    pub fn push(&mut self, number: u32, file: Arc<dyn DiskFile>, bytes: u64) {
        self.0.push_back(Segment {
            number,
            file,
            bytes,
            live_entries: 0,
            live_bytes: 0,
            released_by: Stamp::default(),
        });
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Segment> {
        let first = self.0.front()?.number;
        self.0.get_mut(number.checked_sub(first)? as usize)
    }

    pub fn file(&self, number: u32) -> Option<Arc<dyn DiskFile>> {
        let first = self.0.front()?.number;
        self.0.get(number.checked_sub(first)? as usize).map(|segment| segment.file.clone())
    }

    /// An entry of `length` now stands in the segment.
    pub fn hold(&mut self, number: u32, length: u32) {
        if let Some(segment) = self.get_mut(number) {
            segment.live_entries += 1;
            segment.live_bytes += entry_bytes(length);
        }
    }

    /// An entry of `length` in the segment is no longer needed once `by` is durable.
    pub fn release(&mut self, number: u32, length: u32, by: Stamp) {
        if let Some(segment) = self.get_mut(number) {
            segment.live_entries = segment.live_entries.saturating_sub(1);
            segment.live_bytes = segment.live_bytes.saturating_sub(entry_bytes(length));
            segment.released_by = segment.released_by.max(by);
        }
    }

    /// The segment holds an entry that `by`, or something before it, took out while the entry
    /// was being written.
    pub fn was_released(&mut self, number: u32, by: Stamp) {
        if let Some(segment) = self.get_mut(number) {
            segment.released_by = segment.released_by.max(by);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.0.iter()
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The oldest segment, unless it is the one being written.
    pub fn oldest(&self) -> Option<&Segment> {
        (self.0.len() > 1).then(|| self.0.front()).flatten()
    }

    /// The oldest segment if nobody needs it, given that everything up to `durable` is.
    pub fn unneeded(&self, durable: Stamp) -> Option<&Segment> {
        self.oldest().filter(|segment| segment.live_entries == 0 && segment.released_by <= durable)
    }

    pub fn remove_oldest(&mut self) {
        self.0.pop_front();
    }
}

/// What an entry takes on the volume.
fn entry_bytes(length: u32) -> u64 {
    ENTRY_RECORD_BYTES as u64 + u64::from(length)
}
