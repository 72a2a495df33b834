//! Which payloads are in memory, and which of them leaves next.

use std::collections::VecDeque;

use raftduck_model::GroupId;

use crate::queue::Stamp;

/// A payload that was put into the cache; it may have left since.
#[derive(Clone, Copy, Debug)]
pub struct Cached {
    pub group: GroupId,
    pub index: u64,
    pub stamp: Stamp,
}

/// Payloads in the order they came.
#[derive(Debug, Default)]
pub struct Cache {
    pub order: VecDeque<Cached>,
    pub bytes: u64,
    pub entries: usize,
}

impl Cache {
    pub fn add(&mut self, cached: Cached, length: u32) {
        self.order.push_back(cached);
        self.bytes += u64::from(length);
        self.entries += 1;
    }

    pub fn forget(&mut self, length: u32) {
        self.bytes = self.bytes.saturating_sub(length.into());
        self.entries = self.entries.saturating_sub(1);
    }

    /// Whether `order` names mostly payloads that left by purge or truncation.
    pub fn is_mostly_stale(&self) -> bool {
        self.order.len() > 2 * self.entries + 1024
    }
}
