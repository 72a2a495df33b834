//! What waits for the disk, in the order it was asked for.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::fatal::Fatal;
use crate::format::record::Record;
use crate::wal::Done;

/// A place in the order of everything ever asked for. An entry keeps its own, so that one that
/// was truncated while it was being written is not taken for another of the same index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Stamp(pub u64);

/// One record, or only the wish to be called.
pub struct Item {
    pub stamp: Stamp,
    pub record: Option<Record>,
    pub payload: Bytes,
    pub done: Option<Done>,
    /// False for what may wait until something else needs a sync.
    pub urgent: bool,
}

impl Item {
    /// What the item adds to a frame.
    pub fn bytes(&self) -> u64 {
        (self.record.as_ref().map_or(0, Record::encoded_bytes) + self.payload.len()) as u64
    }
}

#[derive(Default)]
pub struct Queue {
    items: VecDeque<Item>,
    next: Stamp,
    urgent: usize,
    /// Waiting and being written.
    pub bytes: u64,
    pub fatal: Option<Fatal>,
}

impl Queue {
    pub fn starting_at(next: Stamp) -> Self {
        Self { next, ..Self::default() }
    }

    pub fn push(&mut self, record: Option<Record>, payload: Bytes, done: Option<Done>, urgent: bool) -> Stamp {
        let item = Item { stamp: self.next, record, payload, done, urgent };
        self.next.0 += 1;
        self.bytes += item.bytes();
        self.urgent += usize::from(urgent);
        self.items.push_back(item);
        Stamp(self.next.0 - 1)
    }

    /// The newest stamp handed out, waiting or not.
    pub fn newest(&self) -> Stamp {
        Stamp(self.next.0.saturating_sub(1))
    }

    /// The item, if it still waits.
    pub fn waiting(&mut self, stamp: Stamp) -> Option<&mut Item> {
        let front = self.items.front()?.stamp.0;
        self.items.get_mut(usize::try_from(stamp.0.checked_sub(front)?).ok()?)
    }

    pub fn has_urgent(&self) -> bool {
        self.urgent > 0
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Takes everything out; nobody will write it.
    pub fn clear(&mut self) -> VecDeque<Item> {
        self.urgent = 0;
        std::mem::take(&mut self.items)
    }

    /// Takes items from the front up to `budget` bytes; the first one up to `room`.
    pub fn take(&mut self, budget: u64, room: u64) -> Vec<Item> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(front) = self.items.front() {
            let limit = if taken.is_empty() { room } else { budget.min(room) };
            if bytes + front.bytes() > limit {
                break;
            }
            let Some(item) = self.items.pop_front() else { break };
            bytes += item.bytes();
            self.urgent -= usize::from(item.urgent);
            taken.push(item);
        }
        taken
    }
}
