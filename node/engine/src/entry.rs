//! Committed entries, as consensus hands them on.

use bytes::Bytes;
use raftduck_model::{LogId, PartitionId};

use crate::reply::ApplyOutcome;

/// Called with what an entry came to, once that is visible to queries.
pub type Done = Box<dyn FnOnce(ApplyOutcome) + Send>;

/// A committed entry of a partition's log.
pub struct EngineEntry {
    /// Where it stands.
    pub id: LogId,
    /// What it says.
    pub kind: EntryKind,
    /// Who waits for it here.
    pub done: Option<Done>,
}

/// What a committed entry says.
#[derive(Clone, Debug)]
pub enum EntryKind {
    /// Nothing: a new leader's first.
    Blank,
    /// The group's members, in a form that only `consensus` reads.
    Membership(Bytes),
    /// A [`raftduck_model::Command`]'s bytes.
    Command(Bytes),
}

/// Entries of one partition, in log order.
pub struct ApplyBatch {
    /// Whose.
    pub partition: PartitionId,
    /// The entries.
    pub entries: Vec<EngineEntry>,
}

impl ApplyBatch {
    /// What the batch counts for in the apply queue.
    pub(crate) fn bytes(&self) -> usize {
        const HEAD: usize = 128;
        let of = |entry: &EngineEntry| match &entry.kind {
            EntryKind::Blank => HEAD,
            EntryKind::Membership(bytes) | EntryKind::Command(bytes) => HEAD + bytes.len(),
        };
        self.entries.iter().map(of).sum()
    }
}
