//! The replicas whose data is on this store's volume: how one is opened, and how one goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;
use parking_lot::Mutex;
use raftduck_consensus::StateMachine;
use raftduck_model::meta::Replica;
use raftduck_model::{GroupId, ReplicaId};
use tokio::sync::oneshot;

use crate::hosted::Hosted;
use crate::leadership::Applied;
use crate::member::Member;
use crate::metamachine::MetaMachine;
use crate::partition::PartitionMachine;
use crate::volume::{Records, Replicas, VolumeError};

/// The meta group's folder on the volume.
pub const META_FOLDER: &str = "meta";

/// Whose data is on the volume, as its record says.
pub struct Recorded {
    pub volume: Records,
    replicas: Mutex<Replicas>,
    /// Groups with a log from before there was a record: whoever opens one first is taken for its owner.
    unnamed: BTreeSet<GroupId>,
    /// The volume never had a record: a cluster's first store, or one from before there was one.
    fresh: bool,
}

impl Recorded {
    /// Reads the record; `logs` are the groups that have a log here.
    pub fn read(volume: Records, logs: Vec<GroupId>) -> Result<Self, VolumeError> {
        let found = volume.replicas()?;
        let fresh = found.is_none();
        let unnamed = if fresh { logs.into_iter().collect() } else { BTreeSet::new() };
        Ok(Self { volume, replicas: Mutex::new(found.unwrap_or_default()), unnamed, fresh })
    }

    /// Every group that has data here, and of which replica.
    pub fn all(&self) -> Vec<(GroupId, ReplicaId)> {
        self.replicas.lock().replicas.iter().map(|(group, replica)| (*group, *replica)).collect()
    }

    /// Whether the group's data here, if there is any, is this replica's.
    fn is_of(&self, group: GroupId, replica: ReplicaId) -> bool {
        match self.replicas.lock().replicas.get(&group) {
            Some(found) => *found == replica,
            None => self.unnamed.contains(&group),
        }
    }

    fn set(&self, group: GroupId, replica: Option<ReplicaId>) -> Result<(), VolumeError> {
        let mut replicas = self.replicas.lock();
        let mut changed = replicas.clone();
        match replica {
            Some(replica) => changed.replicas.insert(group, replica),
            None => changed.replicas.remove(&group),
        };
        if changed != *replicas {
            self.volume.set_replicas(&changed)?;
            *replicas = changed;
        }
        Ok(())
    }
}

impl Member {
    /// This store's replica of the meta group, which is opened before the map is known.
    pub fn recorded_meta(&self) -> Option<Replica> {
        let recorded = self.recorded.replicas.lock().replicas.get(&GroupId::META).copied();
        let first = || self.membership.meta.iter().find(|replica| replica.store == self.store).copied();
        match recorded {
            Some(id) => Some(Replica { id, store: self.store }),
            None if self.recorded.fresh => first(),
            None => None,
        }
    }

    /// Whether the volume holds the replica's log. Where it does not, a replica that voted is lost.
    pub fn holds(&self, group: GroupId, replica: ReplicaId) -> bool {
        self.recorded.is_of(group, replica) && !self.wal.group(group).state().is_empty()
    }

    /// Whether anything of any replica of the group may be here. A deletion waits for a checkpoint and a
    /// sync, which a new cluster's groups are spared.
    fn has_data(&self, group: GroupId) -> bool {
        let rows = || group.partition().is_some_and(|id| self.engine.partitions().contains_key(&id));
        self.recorded.replicas.lock().replicas.contains_key(&group)
            || !self.wal.group(group).state().is_empty()
            || rows()
    }

    /// Starts this store's replica of a group, after whatever an earlier replica of the group left here
    /// was deleted.
    ///
    /// # Errors
    /// Where the volume refuses, or the log and the state contradict each other.
    pub async fn open_replica(self: &Arc<Self>, group: GroupId, replica: Replica) -> anyhow::Result<()> {
        if !self.recorded.is_of(group, replica.id) && self.has_data(group) {
            self.delete(group).await?;
        }
        self.recorded.set(group, Some(replica.id))?;
        let (machine, applied): (Arc<dyn StateMachine>, Option<Arc<dyn Applied>>) = match group.partition() {
            None => {
                let folder = self.recorded.volume.subfolder(META_FOLDER)?;
                let machine = Arc::new(MetaMachine::open(&folder, self.publish_meta.clone())?);
                *self.meta_machine.write() = Some(machine.clone());
                (machine, None)
            }
            Some(partition) => {
                let machine = Arc::new(PartitionMachine::new(self.engine.clone(), partition));
                (machine.clone(), Some(machine))
            }
        };
        let opened = self.host.open(group, replica.id, machine).await?;
        let changed = self.groups_changed.clone();
        let changed = move || changed.send_replace(());
        let hosted = Hosted::start(opened, replica, applied, changed, self.stop.clone());
        self.groups.write().insert(group, hosted);
        self.groups_changed.send_replace(());
        Ok(())
    }

    /// Ends a replica that the cluster has removed, and deletes its data. Done again, it goes on where
    /// it was interrupted.
    ///
    /// # Errors
    /// Where the volume refuses or the store halts.
    pub async fn remove_replica(&self, group: GroupId) -> anyhow::Result<()> {
        // First, so that no statement begins on rows that are about to go.
        self.groups.write().remove(&group);
        self.groups_changed.send_replace(());
        self.host.close(group).await;
        self.delete(group).await?;
        self.recorded.set(group, None)?;
        Ok(())
    }

    /// Deletes a group's state, then its log; returns once both would stay away after a crash.
    async fn delete(&self, group: GroupId) -> anyhow::Result<()> {
        match group.partition() {
            None => {
                *self.meta_machine.write() = None;
                let folder = self.recorded.volume.subfolder(META_FOLDER)?;
                std::fs::remove_dir_all(&folder).with_context(|| format!("cannot delete {}", folder.display()))?;
            }
            Some(partition) => self.engine.remove(partition).await?,
        }
        self.wal.remove_group(group);
        // Called back in the order in which it was asked: after the removal.
        let (durable, removed) = oneshot::channel();
        self.wal.group(group).append(Vec::new(), Box::new(move || _ = durable.send(())));
        removed.await.context("the log has ended")
    }
}
