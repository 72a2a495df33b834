//! Everything callers and the log thread share, behind one lock. Nothing here touches the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use raftduck_model::{GroupId, LogId};

use crate::cache::{Cache, Cached};
use crate::disk::DiskFile;
use crate::fatal::Fatal;
use crate::format::record::{Change, Record, Stored, VOTE_BYTES};
use crate::group::{Group, Slot};
use crate::options::Options;
use crate::queue::{Queue, Stamp};
use crate::segments::{Place, Segments};
use crate::stats::Stats;
use crate::wal::{Done, Entry};

/// How far the log is from its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    #[default]
    Open,
    /// What waits is still written; nothing more is taken.
    Closing,
    /// The log thread is gone.
    Ended,
}

pub struct State {
    pub options: Options,
    pub groups: BTreeMap<GroupId, Group>,
    pub queue: Queue,
    pub segments: Segments,
    pub cache: Cache,
    pub phase: Phase,
    /// The volume had no space for the next segment.
    pub full: bool,
    /// Someone who found the log full asks to look again.
    pub look_again: bool,
    /// Space in the current segment and the spare one.
    pub reserve_bytes: u64,
    pub spare_bytes: u64,
    pub stats: Stats,
}

/// Where to read one entry.
pub struct Source {
    pub id: LogId,
    pub length: u32,
    pub crc: u32,
    pub at: SourceAt,
}

pub enum SourceAt {
    Memory(Bytes),
    Disk(Arc<dyn DiskFile>, Place),
}

/// An entry in an old segment that is to be written again.
#[derive(Clone, Copy, Debug)]
pub struct Pinned {
    pub group: GroupId,
    pub index: u64,
    pub stamp: Stamp,
}

impl State {
    fn push(&mut self, group: GroupId, change: Change, payload: Bytes, done: Option<Done>, urgent: bool) -> Stamp {
        let is_committed = matches!(change, Change::Committed(_));
        let stamp = self.queue.push(Some(Record { group, change }), payload, done, urgent);
        if let Some(group) = self.groups.get_mut(&group) {
            group.newest = Some((stamp, is_committed));
        }
        stamp
    }

    fn misused(&mut self, group: GroupId, why: &'static str) {
        self.queue.fatal.get_or_insert(Fatal::Misused { group, why });
    }

    pub fn append(&mut self, id: GroupId, entries: Vec<Entry>, crcs: Vec<u32>, mut done: Option<Done>) {
        if self.phase != Phase::Open {
            return;
        }
        let Some(first) = entries.first().map(|entry| entry.id.index) else {
            self.queue.push(None, Bytes::new(), done, true);
            return;
        };
        if let Err(why) = self.follows(id, &entries) {
            return self.misused(id, why);
        }
        let end = self.groups.entry(id).or_default().row.last;
        if end.is_some_and(|end| first <= end.index) {
            self.truncate_from(id, first);
        }
        let count = entries.len();
        for (position, (entry, crc)) in entries.into_iter().zip(crcs).enumerate() {
            let length = entry.payload.len() as u32;
            let done = if position + 1 == count { done.take() } else { None };
            let change = Change::Entry(Stored { id: entry.id, length, crc });
            let stamp = self.push(id, change, entry.payload.clone(), done, true);
            let group = self.groups.entry(id).or_default();
            group.row.append(entry.id);
            group.bytes += u64::from(length);
            let payload = Some(entry.payload);
            group.slots.push_back(Slot { id: entry.id, length, crc, stamp, place: None, payload });
            self.cache.add(Cached { group: id, index: entry.id.index, stamp }, length);
        }
        self.trim_cache();
    }

    /// Whether the entries join the log without a gap; they may replace its end.
    fn follows(&self, group: GroupId, entries: &[Entry]) -> Result<(), &'static str> {
        let limit = self.options.entry_bytes();
        if entries.iter().any(|entry| entry.payload.len() as u64 > limit) {
            return Err("an entry is larger than half a segment");
        }
        if !entries.windows(2).all(|pair| matches!(pair, [a, b] if a.id.index.checked_add(1) == Some(b.id.index))) {
            return Err("the entries of one append have gaps between them");
        }
        let (Some(first), Some(group)) = (entries.first(), self.groups.get(&group)) else { return Ok(()) };
        if group.row.last.is_some_and(|last| first.id.index > last.index.saturating_add(1)) {
            return Err("entries were appended behind a gap");
        }
        if group.row.purged.is_some_and(|purged| first.id.index <= purged.index) {
            return Err("entries were appended where the log is purged");
        }
        Ok(())
    }

    pub fn truncate_after(&mut self, id: GroupId, last: Option<LogId>) {
        let end = self.groups.get(&id).and_then(|group| group.row.last);
        if self.phase == Phase::Open && end.is_some_and(|end| last.is_none_or(|last| end.index > last.index)) {
            self.truncate_from(id, last.map_or(0, |last| last.index + 1));
        }
    }

    /// Takes out the entries from `index` on.
    fn truncate_from(&mut self, id: GroupId, index: u64) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let keep = group.slots.partition_point(|slot| slot.id.index < index);
        let removed = group.slots.split_off(keep);
        let last = group.slots.back().map(|slot| slot.id).or(group.row.purged);
        group.row.truncate(last);
        let stamp = self.push(id, Change::Truncated(last), Bytes::new(), None, true);
        self.release(id, removed, stamp);
    }

    pub fn purge(&mut self, id: GroupId, upto: LogId) {
        let purged = self.groups.get(&id).and_then(|group| group.row.purged);
        if self.phase != Phase::Open || purged.is_some_and(|purged| upto.index <= purged.index) {
            return;
        }
        let group = self.groups.entry(id).or_default();
        group.row.purge(upto);
        let from = group.slots.partition_point(|slot| slot.id.index <= upto.index);
        let kept = group.slots.split_off(from);
        let removed = std::mem::replace(&mut group.slots, kept);
        let stamp = self.push(id, Change::Purged(upto), Bytes::new(), None, true);
        self.release(id, removed, stamp);
    }

    pub fn save_vote(&mut self, id: GroupId, vote: Bytes, done: Option<Done>) {
        if self.phase != Phase::Open {
            return;
        }
        if vote.len() > VOTE_BYTES {
            return self.misused(id, "a vote is longer than 256 bytes");
        }
        self.groups.entry(id).or_default().row.vote = Some(vote.clone());
        self.push(id, Change::Vote(vote), Bytes::new(), done, true);
    }

    /// Never urgent: it rides with the next frame. Its place in the order matters all the same,
    /// since a committed position must not become durable before the entries it speaks of; so a
    /// waiting one is only replaced if the group asked for nothing else since.
    pub fn save_committed(&mut self, id: GroupId, committed: LogId) {
        if self.phase != Phase::Open {
            return;
        }
        let group = self.groups.entry(id).or_default();
        group.row.committed = Some(committed);
        if let Some((stamp, true)) = group.newest
            && let Some(item) = self.queue.waiting(stamp)
        {
            item.record = Some(Record { group: id, change: Change::Committed(committed) });
            return;
        }
        self.push(id, Change::Committed(committed), Bytes::new(), None, false);
    }

    pub fn remove_group(&mut self, id: GroupId) {
        if self.phase != Phase::Open {
            return;
        }
        let Some(group) = self.groups.remove(&id) else { return };
        let stamp = self.push(id, Change::Removed, Bytes::new(), None, true);
        self.release(id, group.slots, stamp);
    }

    fn release(&mut self, id: GroupId, slots: impl IntoIterator<Item = Slot>, by: Stamp) {
        let mut bytes = 0;
        for slot in slots {
            bytes += u64::from(slot.length);
            if let Some(place) = slot.place {
                self.segments.release(place.segment, slot.length, by);
            }
            if slot.payload.is_some() {
                self.cache.forget(slot.length);
            }
        }
        if let Some(group) = self.groups.get_mut(&id) {
            group.bytes = group.bytes.saturating_sub(bytes);
        }
        self.trim_cache();
    }

    /// The entry with that stamp is durable at `place`. A relocated one leaves its old segment.
    pub fn placed(&mut self, at: Pinned, length: u32, place: Place) {
        let newest = self.queue.newest();
        match self.groups.get_mut(&at.group).and_then(|group| group.slot_mut(at.index, at.stamp)) {
            Some(slot) => {
                let before = slot.place.replace(place);
                self.segments.hold(place.segment, length);
                if let Some(before) = before {
                    self.segments.release(before.segment, length, Stamp::default());
                }
            }
            None => self.segments.was_released(place.segment, newest),
        }
    }

    /// Lets the oldest payloads go that are durable, down to the cache's bound.
    pub fn trim_cache(&mut self) {
        let groups = &mut self.groups;
        while let Some(front) = self.cache.order.front().copied() {
            if let Some(slot) = groups.get_mut(&front.group).and_then(|group| group.slot_mut(front.index, front.stamp))
            {
                if slot.place.is_none() || self.cache.bytes <= self.options.cache_bytes as u64 {
                    break;
                }
                slot.payload = None;
                self.cache.forget(slot.length);
            }
            self.cache.order.pop_front();
        }
        if self.cache.is_mostly_stale() {
            self.cache.order.retain(|cached| {
                groups.get_mut(&cached.group).is_some_and(|group| group.slot_mut(cached.index, cached.stamp).is_some())
            });
        }
    }

    /// Where entries of `from..to` are, up to `most` bytes but at least one entry.
    pub fn sources(&self, id: GroupId, from: u64, to: u64, most: usize) -> Vec<Source> {
        let Some(group) = self.groups.get(&id) else { return Vec::new() };
        let mut bytes = 0;
        let mut sources: Vec<Source> = Vec::new();
        for slot in group.range(from, to) {
            bytes += slot.length as usize;
            if bytes > most && !sources.is_empty() {
                break;
            }
            let Some(source) = self.source(slot) else { break };
            sources.push(source);
        }
        sources
    }

    fn source(&self, slot: &Slot) -> Option<Source> {
        let at = match (&slot.payload, slot.place) {
            (Some(payload), _) => SourceAt::Memory(payload.clone()),
            (None, Some(place)) => SourceAt::Disk(self.segments.file(place.segment)?, place),
            (None, None) => return None,
        };
        Some(Source { id: slot.id, length: slot.length, crc: slot.crc, at })
    }

    /// The entries that still need the segment.
    pub fn pinned_to(&self, segment: u32) -> Vec<Pinned> {
        let in_group = |(id, group): (&GroupId, &Group)| {
            let id = *id;
            let of_segment = |slot: &&Slot| slot.place.is_some_and(|place| place.segment == segment);
            let pinned = move |slot: &Slot| Pinned { group: id, index: slot.id.index, stamp: slot.stamp };
            group.slots.iter().filter(of_segment).map(pinned).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(in_group).collect()
    }

    /// Where to read a pinned entry, unless it was truncated or purged since.
    pub fn still_pinned(&self, pinned: Pinned) -> Option<Source> {
        let slot = self.groups.get(&pinned.group)?.slot(pinned.index)?;
        (slot.stamp == pinned.stamp).then(|| self.source(slot)).flatten()
    }
}
