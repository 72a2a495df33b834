//! One transaction, decided before anything is written: which rows go in, which parts were in
//! already, and what everybody is told.

use std::collections::{BTreeMap, HashMap};

use arrow::array::RecordBatch;
use bytes::Bytes;
use raftduck_model::{KeyDigest, LogId, LogIndex, LogTime, PartitionId, TableId};

use crate::decode::{Rows, RowsPart, Wanted};
use crate::keys::{KeyIndex, KeyRecord, Remembered};
use crate::reply::{ApplyOutcome, PartOutcome};

/// One entry, read.
#[derive(Debug)]
pub(crate) struct Read {
    pub part: PartitionId,
    pub id: LogId,
    pub wanted: Wanted,
}

/// Rows of one part and where they stand in the partition's log.
#[derive(Debug)]
pub(crate) struct Placed {
    pub part: PartitionId,
    pub index: u64,
    /// The first row's place in its entry.
    pub first: u32,
    pub rows: RecordBatch,
}

/// A key that is written with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewKey {
    pub part: PartitionId,
    pub key: KeyDigest,
    pub record: KeyRecord,
    pub time: LogTime,
    /// The key's place in its entry.
    pub ord: u32,
}

/// How far a partition is after the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advance {
    pub last: LogId,
    pub time: LogTime,
    pub membership: Option<Bytes>,
}

/// What one transaction does.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub rows: BTreeMap<TableId, Vec<Placed>>,
    pub keys: Vec<NewKey>,
    pub advances: BTreeMap<PartitionId, Advance>,
    /// One for each entry, in order.
    pub outcomes: Vec<ApplyOutcome>,
}

/// What a partition remembers before the transaction.
pub(crate) struct Before<'a> {
    pub keys: &'a KeyIndex,
    pub time: LogTime,
}

/// The plan for these entries, which must be in log order for each partition. The result is the
/// same however entries are shared out among transactions.
pub(crate) fn plan<'a>(entries: &[Read], before: impl Fn(PartitionId) -> Option<&'a Before<'a>>) -> Plan {
    let mut plan = Plan::default();
    let mut fresh: HashMap<PartitionId, HashMap<KeyDigest, Remembered>> = HashMap::new();
    let mut written: HashMap<PartitionId, u64> = HashMap::new();
    for entry in entries {
        let Some(known) = before(entry.part) else { continue };
        let previous = plan.advances.get(&entry.part).map_or(known.time, |advance| advance.time);
        // Leaders' clocks may stand behind one another; log time never goes back.
        let time = previous.max(entry.wanted.time().unwrap_or_default());
        let outcome = match &entry.wanted {
            Wanted::Nothing | Wanted::Timed(_) | Wanted::Membership(_) => ApplyOutcome::Done,
            Wanted::Rejected { reason, .. } => ApplyOutcome::Rejected { reason: reason.clone() },
            Wanted::Rows(rows) => {
                let mut keys = Keys {
                    known: known.keys,
                    fresh: fresh.entry(entry.part).or_default(),
                    written: written.entry(entry.part).or_insert(known.keys.next_sequence()),
                };
                append(&mut plan, &mut keys, entry, rows, time)
            }
        };
        plan.outcomes.push(outcome);
        let advance = plan.advances.entry(entry.part).or_insert(Advance { last: entry.id, time, membership: None });
        advance.last = entry.id;
        advance.time = time;
        if let Wanted::Membership(membership) = &entry.wanted {
            advance.membership = Some(membership.clone());
        }
    }
    plan
}

/// A partition's keys as they are in the middle of the transaction.
struct Keys<'a> {
    known: &'a KeyIndex,
    fresh: &'a mut HashMap<KeyDigest, Remembered>,
    written: &'a mut u64,
}

impl Keys<'_> {
    fn get(&self, key: KeyDigest, now: LogTime) -> Option<KeyRecord> {
        let found = self.fresh.get(&key).or_else(|| self.known.find(key))?;
        self.known.is_live(found, *self.written, now).then_some(found.record)
    }

    fn insert(&mut self, key: KeyDigest, record: KeyRecord, time: LogTime) {
        self.fresh.insert(key, Remembered { record, time, sequence: *self.written });
        *self.written += 1;
    }
}

fn append(plan: &mut Plan, keys: &mut Keys<'_>, entry: &Read, rows: &Rows, time: LogTime) -> ApplyOutcome {
    let mut first = 0;
    let mut outcomes = Vec::with_capacity(rows.parts.len());
    for (ord, part) in rows.parts.iter().enumerate() {
        let RowsPart { key, body, rows: batch } = part;
        let count = batch.num_rows() as u32;
        outcomes.push(match keys.get(*key, time) {
            Some(found) if found.body == *body => PartOutcome::Duplicate { index: found.index, rows: found.rows },
            Some(found) => PartOutcome::KeyReused { index: found.index },
            None => {
                let record = KeyRecord { body: *body, rows: count, index: LogIndex(entry.id.index) };
                keys.insert(*key, record, time);
                plan.keys.push(NewKey { part: entry.part, key: *key, record, time, ord: ord as u32 });
                if count > 0 {
                    plan.rows.entry(rows.table).or_default().push(Placed {
                        part: entry.part,
                        index: entry.id.index,
                        first,
                        rows: batch.clone(),
                    });
                }
                PartOutcome::Written { rows: count }
            }
        });
        first += count;
    }
    ApplyOutcome::Parts(outcomes)
}

#[cfg(test)]
#[path = "tests/plan.rs"]
mod tests;
