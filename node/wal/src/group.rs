//! One group's log in memory: its state and an index of its entries.

use std::collections::VecDeque;

use bytes::Bytes;
use raftduck_model::LogId;

use crate::queue::Stamp;
use crate::segments::Place;
use crate::table::Row;

/// One entry.
#[derive(Clone, Debug)]
pub struct Slot {
    pub id: LogId,
    pub length: u32,
    pub crc: u32,
    pub stamp: Stamp,
    /// None until it is durable.
    pub place: Option<Place>,
    /// Present until it is durable, and afterwards while the cache has room.
    pub payload: Option<Bytes>,
}

/// One group. `row` is ahead of the disk by what waits in the queue.
#[derive(Debug, Default)]
pub struct Group {
    pub row: Row,
    /// Without gaps in their indexes.
    pub slots: VecDeque<Slot>,
    /// The payloads' lengths, summed.
    pub bytes: u64,
    /// The newest request of this group, and whether it saves a committed position.
    pub newest: Option<(Stamp, bool)>,
}

impl Group {
    fn position(&self, index: u64) -> Option<usize> {
        let first = self.slots.front()?.id.index;
        usize::try_from(index.checked_sub(first)?).ok().filter(|position| *position < self.slots.len())
    }

    pub fn slot(&self, index: u64) -> Option<&Slot> {
        self.slots.get(self.position(index)?)
    }

    /// The entry of that index, if it is still the one that got `stamp`.
    pub fn slot_mut(&mut self, index: u64, stamp: Stamp) -> Option<&mut Slot> {
        let position = self.position(index)?;
        self.slots.get_mut(position).filter(|slot| slot.stamp == stamp)
    }

    /// Entries of `from..to`, those of them that are there.
    pub fn range(&self, from: u64, to: u64) -> impl Iterator<Item = &Slot> {
        let first = self.slots.front().map_or(0, |slot| slot.id.index);
        let clamp =
            |index: u64| usize::try_from(index.saturating_sub(first)).unwrap_or(usize::MAX).min(self.slots.len());
        let (from, to) = (clamp(from), clamp(to));
        self.slots.range(from.min(to)..to)
    }
}
