//! What a store knows of its partitions, shared by the apply thread, which alone changes it after
//! each commit, and everybody who reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use raftduck_model::{KeyDigest, LogId, LogIndex, LogTime, PartitionId};
use tokio::sync::watch;

use crate::keys::{KeyIndex, KeyRecord};

/// How far a partition's log is applied.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// The last applied entry; none before the first.
    pub last: Option<LogId>,
    /// The last applied entry's log time.
    pub time: LogTime,
    /// The last applied membership, as it came; empty before the first.
    pub membership: Bytes,
}

impl Applied {
    /// The last applied entry's index; 0 before the first, which is no entry's that matters.
    pub fn index(&self) -> LogIndex {
        LogIndex(self.last.map_or(0, |id| id.index))
    }
}

/// One partition's state in this store. Cheap to clone. It stays the partition's through a removal:
/// it is empty then, and follows whatever comes of the partition later.
#[derive(Clone, Debug)]
pub struct Partition(pub(crate) Arc<PartitionState>);

#[derive(Debug)]
pub(crate) struct PartitionState {
    pub applied: watch::Sender<Applied>,
    /// What the last finished checkpoint holds at least; none before the first.
    pub checkpointed: watch::Sender<Option<LogId>>,
    pub keys: Mutex<KeyIndex>,
}

impl Partition {
    pub(crate) fn new(applied: Applied, keys: KeyIndex) -> Self {
        // What was read from the file at opening is on the disk.
        let checkpointed = applied.last;
        Self(Arc::new(PartitionState {
            applied: watch::Sender::new(applied),
            checkpointed: watch::Sender::new(checkpointed),
            keys: Mutex::new(keys),
        }))
    }

    /// Empties it for all who hold it, once the partition is removed.
    pub(crate) fn clear(&self, remembered: usize) {
        // First of all the log may not be purged on the strength of what is gone.
        self.0.checkpointed.send_replace(None);
        *self.0.keys.lock() = KeyIndex::new(remembered);
        self.0.applied.send_replace(Applied::default());
    }

    /// How far the log is applied, visible to queries that begin now. Nothing, where the partition
    /// was removed.
    pub fn applied(&self) -> Applied {
        self.0.applied.borrow().clone()
    }

    /// Follows [`Self::applied`].
    pub fn watch_applied(&self) -> watch::Receiver<Applied> {
        self.0.applied.subscribe()
    }

    /// Up to where the log may be purged, as far as this store goes: after a crash it begins again
    /// no earlier than here.
    pub fn checkpointed(&self) -> Option<LogId> {
        *self.0.checkpointed.borrow()
    }

    /// Follows [`Self::checkpointed`].
    pub fn watch_checkpointed(&self) -> watch::Receiver<Option<LogId>> {
        self.0.checkpointed.subscribe()
    }

    /// What was written under the key, where the partition still remembers it.
    pub fn key(&self, key: KeyDigest) -> Option<KeyRecord> {
        let now = self.0.applied.borrow().time;
        self.0.keys.lock().get(key, now)
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.0.keys.lock().len()
    }
}

/// All partitions that a store has ever been told of.
#[derive(Debug)]
pub(crate) struct Partitions {
    map: RwLock<BTreeMap<PartitionId, Partition>>,
    keys_per_partition: usize,
}

impl Partitions {
    pub fn new(map: BTreeMap<PartitionId, Partition>, keys_per_partition: usize) -> Self {
        Self { map: RwLock::new(map), keys_per_partition }
    }

    /// The partition, which is empty if it was never heard of.
    pub fn get(&self, id: PartitionId) -> Partition {
        if let Some(found) = self.map.read().get(&id) {
            return found.clone();
        }
        let new = || Partition::new(Applied::default(), KeyIndex::new(self.keys_per_partition));
        self.map.write().entry(id).or_insert_with(new).clone()
    }

    /// Every partition.
    pub fn all(&self) -> Vec<(PartitionId, Partition)> {
        self.map.read().iter().map(|(id, partition)| (*id, partition.clone())).collect()
    }
}
