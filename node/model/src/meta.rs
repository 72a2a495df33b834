//! The meta group's state machine: one plain struct, one pure [`Meta::apply`].
//!
//! Serialised as JSON with a version, in its log, in its snapshot and to whoever watches it;
//! `tests/golden.rs` holds the text. Field names are on volumes: add, never rename or reuse.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterId, Epoch, GroupId, PartitionId, ReplicaId, StoreId, TableId};
use crate::table::{Column, Table};

mod apply;
mod change;
mod level;
mod recovery;
mod reply;
mod stores;

pub use level::LEVEL;
pub use recovery::{RecoveredPartition, Recovery};
pub use reply::{MetaError, MetaReply};

/// The catalog, the stores and the partition map.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Meta {
    /// None until the cluster was bootstrapped.
    pub cluster: Option<ClusterId>,
    /// Everything on disk and on the wire goes by it; releases of this level and of the next may work on the cluster.
    pub level: u32,
    /// Raised by every change of stores, replicas or partitions.
    pub epoch: Epoch,
    /// Raised by every change of `tables`.
    pub catalog_version: u64,
    /// Every store that ever registered and was not retired.
    pub stores: BTreeMap<StoreId, StoreInfo>,
    /// Stores that are to be emptied; each is one of `stores`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub draining: BTreeSet<StoreId>,
    /// Stores that are gone for good: never taken in again, whatever their volumes say.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retired: BTreeSet<StoreId>,
    /// Where stores are, as far as somebody said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub locations: BTreeMap<StoreId, Location>,
    /// The store that may be restarted now, at most one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartPermit>,
    /// Copies of each partition; 0 in a state from before it was written down: as many as there are.
    #[serde(default)]
    pub replication: u32,
    /// The meta group's own voters.
    pub replicas: Vec<Replica>,
    /// What the meta group's replicas are on their way to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Partition `p` stands at index `p - 1`.
    pub partitions: Vec<Partition>,
    /// Every table that was not dropped, at its newest version.
    pub tables: BTreeMap<TableId, Table>,
    /// The next replica id that was never used.
    pub next_replica: ReplicaId,
    /// The next table id that was never used.
    pub next_table: TableId,
}

/// One store, as it registered itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreInfo {
    /// `host:port`, resolved afresh at every connection.
    pub address: String,
    /// The newest level that its program knows.
    #[serde(default = "level::first", skip_serializing_if = "level::is_first")]
    pub level: u32,
}

/// Where a store runs: no two voters of a group on one node where that can be helped, nor in one zone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Location {
    /// The machine's name.
    pub node: Option<String>,
    /// The zone's name.
    pub zone: Option<String>,
}

/// Leave to end a store's process for a while. Nobody else has one meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RestartPermit {
    /// The store.
    pub store: StoreId,
    /// When it ends by itself: microseconds since the Unix epoch, by the clock of whoever asks next.
    pub until: u64,
}

/// A group's replicas on their way to being others. At most one comes and one goes, and the one
/// that goes does so in the same step in which the one that comes gets its vote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The replica that comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<Replica>,
    /// The voter that goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<ReplicaId>,
    /// Not wanted any more: the group's leader goes back, unless the voters have changed already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
}

/// One copy of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Replica {
    /// Never reused.
    pub id: ReplicaId,
    /// The store that holds it.
    pub store: StoreId,
}

/// One partition of the map.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Partition {
    /// Its number, from 1.
    pub id: PartitionId,
    /// Its voters; the first is preferred to lead the group.
    pub replicas: Vec<Replica>,
    /// Whether its group was initialised; it is never initialised again.
    pub state: PartitionState,
    /// What its replicas are on their way to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// How far a partition's creation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    /// Its replicas wait for one of them to initialise the group, see [`Meta::creator`].
    Creating,
    /// The group elected a leader once: a replica without its data is lost, not new.
    Created,
}

/// One change of [`Meta`]. Every command may arrive twice; the second time changes nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum MetaCommand {
    /// Makes the cluster: its stores, its partitions and who holds them.
    Bootstrap {
        /// The new cluster.
        cluster: ClusterId,
        /// Its stores, in the order the operator named them.
        stores: Vec<(StoreId, StoreInfo)>,
        /// The meta group's replicas, already initialised.
        replicas: Vec<Replica>,
        /// How many partitions, for ever.
        partitions: u32,
        /// Copies of each partition.
        replication: u32,
    },
    /// A store says who and where it is.
    RegisterStore {
        /// The store.
        store: StoreId,
        /// Where it is.
        info: StoreInfo,
    },
    /// Empties a store, or stops emptying it.
    DrainStore {
        /// The store.
        store: StoreId,
        /// Whether it is to be emptied.
        draining: bool,
    },
    /// A store is gone for good. Its replicas are replaced; if it comes back, it is refused.
    RetireStore {
        /// The store.
        store: StoreId,
    },
    /// A store is to be restarted; whoever proposes this has seen that its groups keep a quorum.
    PermitRestart {
        /// The store.
        store: StoreId,
        /// The proposer's clock, in microseconds since the Unix epoch.
        now: u64,
        /// When the permit ends by itself, on the same clock.
        until: u64,
    },
    /// A store's restart is over.
    EndRestart {
        /// The store.
        store: StoreId,
    },
    /// Where a store runs.
    LocateStore {
        /// The store.
        store: StoreId,
        /// Where it is.
        location: Location,
    },
    /// A group's replicas are to become others.
    BeginChange {
        /// The group; the meta group too.
        group: GroupId,
        /// Where a new replica is to be, which gets an id that was never used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        add: Option<StoreId>,
        /// Which voter is to go.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remove: Option<ReplicaId>,
    },
    /// The change is not wanted any more.
    CancelChange {
        /// The group.
        group: GroupId,
    },
    /// The group's leader has done or undone the change; these are the committed voters now.
    EndChange {
        /// The group.
        group: GroupId,
        /// The change that ended.
        change: Change,
        /// The group's voters.
        voters: Vec<Replica>,
    },
    /// In how many groups a store has a replica, or is to have one. Changes nothing: it is a command so
    /// that its answer has a place among the others.
    CountGroups {
        /// The store.
        store: StoreId,
    },
    /// The cluster begins again from the stores that are left. Nobody proposes it: `raftduck recover`
    /// writes it into the log of the meta group's only voter.
    Recover(Recovery),
    /// The cluster goes by the next level from now on, which is not taken back.
    RaiseLevel {
        /// The level.
        to: u32,
    },
    /// A partition's group has a leader.
    PartitionCreated {
        /// The partition.
        partition: PartitionId,
    },
    /// CREATE TABLE.
    CreateTable {
        /// The name people will use.
        name: String,
        /// Its columns.
        columns: Vec<Column>,
        /// The partition key's index in `columns`.
        key: usize,
        /// IF NOT EXISTS.
        if_not_exists: bool,
    },
    /// DROP TABLE.
    DropTable {
        /// The table's name.
        name: String,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// ALTER TABLE … ADD COLUMN.
    AddColumn {
        /// The table's name.
        table: String,
        /// What to add, at the end.
        column: Column,
        /// IF NOT EXISTS.
        if_not_exists: bool,
    },
}

impl Meta {
    /// The partition's entry in the map.
    pub fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get((id.0 as usize).checked_sub(1)?)
    }

    /// Who initialises the partition's group; none once it is created. Where that store is retired before it is known
    /// to have done so the next one does it: all of them begin from one membership, which makes the same first entry
    /// of the log, so that two of them did it is no harm. None of them has lost its log: then it would be another store.
    pub fn creator(&self, partition: &Partition) -> Option<Replica> {
        let there = |replica: &&Replica| self.stores.contains_key(&replica.store);
        let creating = partition.state == PartitionState::Creating;
        partition.replicas.iter().filter(|_| creating).find(there).copied()
    }

    /// The group's voters and what they are on their way to; none for a group that is not there.
    pub fn group(&self, id: GroupId) -> Option<(&[Replica], Option<Change>)> {
        match id.partition() {
            None => Some((&self.replicas, self.change)),
            Some(partition) => self.partition(partition).map(|found| (found.replicas.as_slice(), found.change)),
        }
    }

    /// Every group: the meta group, then the partitions.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        (0..=self.partitions.len() as u32).map(GroupId)
    }

    /// The store's replica of the group, which votes or is to vote; none where it has none.
    pub fn replica_on(&self, group: GroupId, store: StoreId) -> Option<Replica> {
        let (voters, change) = self.group(group)?;
        let coming = change.and_then(|change| change.add);
        voters.iter().copied().chain(coming).find(|replica| replica.store == store)
    }

    /// Whether the replica was one of the group's once and never will be again.
    pub fn is_removed(&self, group: GroupId, replica: ReplicaId) -> bool {
        let Some((voters, change)) = self.group(group) else { return false };
        let coming = change.and_then(|change| change.add);
        replica < self.next_replica && !voters.iter().chain(&coming).any(|known| known.id == replica)
    }

    /// How many partitions there are, for ever; none before the cluster was bootstrapped.
    pub fn partition_count(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.partitions.len() as u32)
    }

    /// The table of that name, without regard to ASCII case.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.values().find(|table| table.name.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests;
