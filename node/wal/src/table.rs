//! Every group's state as the log says it up to some record: what a segment's header carries,
//! what recovery replays, and what the log thread keeps beside what it writes.

use std::collections::BTreeMap;

use bytes::Bytes;
use raftduck_model::{GroupId, LogId};

use crate::format::record::{Change, Record};

/// One group's state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// The saved vote, opaque here.
    pub vote: Option<Bytes>,
    /// The saved committed position.
    pub committed: Option<LogId>,
    /// Everything up to here has left the log's front.
    pub purged: Option<LogId>,
    /// The log's end: the last entry, or `purged` where there is none.
    pub last: Option<LogId>,
    /// The index of the first entry that has to be there, if the log ever had one.
    pub first: Option<u64>,
}

/// The states of all groups.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    /// A group without a row has no state at all.
    pub rows: BTreeMap<GroupId, Row>,
}

impl Row {
    /// The first and the last index of the entries that have to be there, if any has.
    pub fn span(&self) -> Option<(u64, u64)> {
        let (first, last) = (self.first?, self.last?.index);
        (first <= last).then_some((first, last))
    }

    /// An entry joins the end.
    pub fn append(&mut self, id: LogId) {
        if self.last.is_none() {
            self.first = Some(id.index);
        }
        self.last = Some(id);
    }

    /// The end moves back to `last`.
    pub fn truncate(&mut self, last: Option<LogId>) {
        self.last = last;
        if last.is_none() {
            self.first = None;
        }
    }

    /// Moves the front; a purge beyond the end (after a snapshot) moves the end with it.
    pub fn purge(&mut self, upto: LogId) {
        if self.purged.is_none_or(|purged| upto.index > purged.index) {
            self.purged = Some(upto);
            let next = upto.index.saturating_add(1);
            self.first = Some(self.first.map_or(next, |first| first.max(next)));
            if self.last.is_none_or(|last| last.index <= upto.index) {
                self.last = Some(upto);
            }
        }
    }
}

impl Table {
    /// Takes one record in; an error names the rule that the record breaks.
    pub fn apply(&mut self, record: &Record) -> Result<(), &'static str> {
        if record.change == Change::Removed {
            self.rows.remove(&record.group);
            return Ok(());
        }
        let row = self.rows.entry(record.group).or_default();
        match &record.change {
            Change::Entry(stored) => {
                if row.last.is_some_and(|last| last.index.checked_add(1) != Some(stored.id.index)) {
                    return Err("an entry does not follow the one before it");
                }
                row.append(stored.id);
            }
            Change::Relocated(stored) => {
                if row.span().is_none_or(|(first, last)| !(first..=last).contains(&stored.id.index)) {
                    return Err("an entry was moved that the log no longer holds");
                }
            }
            Change::Vote(vote) => row.vote = Some(vote.clone()),
            Change::Committed(id) => row.committed = Some(*id),
            Change::Truncated(last) => row.truncate(*last),
            Change::Purged(upto) => row.purge(*upto),
            Change::Removed => {}
        }
        Ok(())
    }
}
