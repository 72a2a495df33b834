//! The idempotency keys a partition remembers.
//!
//! What is remembered depends on the log alone: the last `limit` keys that were written, less
//! those older than [`limits::KEY_AGE`] by log time. Both rules forget the oldest first, so what
//! is remembered is always the end of the sequence of all keys ever written, and whatever is left
//! of the forgotten ones, in memory or in the file, changes no answer.

use std::collections::{HashMap, VecDeque};

use raftduck_model::{BodyDigest, KeyDigest, LogIndex, LogTime, limits};

/// What was written under a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyRecord {
    /// What was sent.
    pub body: BodyDigest,
    /// How many rows.
    pub rows: u32,
    /// The entry that wrote them.
    pub index: LogIndex,
}

/// A key's record, and what says when it is forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Remembered {
    /// What was written.
    pub record: KeyRecord,
    /// The log time of the entry.
    pub time: LogTime,
    /// How many keys the partition had written before, counted from an arbitrary start.
    pub sequence: u64,
}

/// One partition's keys.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    limit: u64,
    keys: HashMap<KeyDigest, Remembered>,
    order: VecDeque<KeyDigest>,
    next: u64,
}

impl KeyIndex {
    /// An empty index that remembers at most `limit` keys.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit as u64, keys: HashMap::new(), order: VecDeque::new(), next: 0 }
    }

    /// The sequence number of the key that is written next.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Whether the key is still remembered when `written` keys precede and the log's time is `now`.
    pub(crate) fn is_live(&self, key: &Remembered, written: u64, now: LogTime) -> bool {
        let age = limits::KEY_AGE.as_micros() as u64;
        key.sequence + self.limit >= written && key.time.0.saturating_add(age) >= now.0
    }

    /// What was written under the key, as remembered after the last applied entry of time `now`.
    pub(crate) fn get(&self, key: KeyDigest, now: LogTime) -> Option<KeyRecord> {
        self.find(key).filter(|found| self.is_live(found, self.next, now)).map(|found| found.record)
    }

    /// The key's entry, forgotten or not: [`Self::is_live`] decides.
    pub(crate) fn find(&self, key: KeyDigest) -> Option<&Remembered> {
        self.keys.get(&key)
    }

    /// Takes in a key that is not remembered. Returns its sequence number.
    pub(crate) fn insert(&mut self, key: KeyDigest, record: KeyRecord, time: LogTime) -> u64 {
        let sequence = self.next;
        self.next += 1;
        self.keys.insert(key, Remembered { record, time, sequence });
        self.order.push_back(key);
        sequence
    }

    /// Frees what is forgotten at log time `now`. Returns how many keys went.
    pub(crate) fn trim(&mut self, now: LogTime) -> usize {
        let mut gone = 0;
        while let Some(oldest) = self.order.front().copied() {
            let sequence = self.next - self.order.len() as u64;
            // A key written again after it was forgotten stands in the order twice; the map holds
            // the later one.
            match self.keys.get(&oldest) {
                Some(found) if found.sequence == sequence => {
                    if self.is_live(found, self.next, now) {
                        break;
                    }
                    self.keys.remove(&oldest);
                }
                _ => {}
            }
            self.order.pop_front();
            gone += 1;
        }
        gone
    }

    /// The entry of the oldest key in memory; the file needs none before it.
    pub(crate) fn oldest_index(&self) -> Option<LogIndex> {
        self.order.front().and_then(|key| self.keys.get(key)).map(|found| found.record.index)
    }

    /// How many keys are in memory.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
#[path = "tests/keys.rs"]
mod tests;
