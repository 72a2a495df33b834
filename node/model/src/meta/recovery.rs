//! Beginning again from what is left of a cluster that lost a majority for ever.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, ReplicaId, StoreId, TableId};
use crate::meta::{Meta, MetaError, MetaReply, PartitionState, Replica};
use crate::table::Table;

/// What [`super::MetaCommand::Recover`] makes of a state. Every number is above all that were ever
/// given out, those by the lost majority's last entries included, which nobody has any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recovery {
    /// The stores that are left. Every other one is retired.
    pub stores: BTreeSet<StoreId>,
    /// The meta group's only voter.
    pub meta: Replica,
    /// Each partition's only voter, in the partitions' order.
    pub partitions: Vec<RecoveredPartition>,
    /// Tables that partitions know, and the catalog not, or not in that version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// The map's next version.
    pub epoch: Epoch,
    /// The catalog's next version.
    pub catalog_version: u64,
    /// The next replica id, above those named here.
    pub next_replica: ReplicaId,
    /// The next table id.
    pub next_table: TableId,
}

/// One partition's share of a [`Recovery`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecoveredPartition {
    /// Its only voter.
    pub replica: Replica,
    /// Nothing of it is left: it is created again, without a row.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
}

impl Meta {
    pub(super) fn recover(&mut self, to: Recovery) -> Result<MetaReply, MetaError> {
        if self.cluster.is_none() {
            return Err(MetaError::NotBootstrapped);
        }
        if self.epoch >= to.epoch {
            // It was done before, and other changes perhaps since.
            return Ok(MetaReply::Done);
        }
        self.check_recovery(&to)
            .map_err(|reason| MetaError::Invalid { reason: format!("the cluster is not recovered: {reason}") })?;
        let (left, lost): (BTreeSet<StoreId>, BTreeSet<StoreId>) =
            self.stores.keys().partition(|store| to.stores.contains(store));
        self.retired.extend(lost);
        self.stores.retain(|store, _| left.contains(store));
        self.locations.retain(|store, _| left.contains(store));
        // There is nowhere to drain to now; whoever still wants it asks again.
        self.draining.clear();
        self.restart = None;
        self.change = None;
        self.replicas = vec![to.meta];
        for (partition, recovered) in self.partitions.iter_mut().zip(to.partitions) {
            partition.replicas = vec![recovered.replica];
            partition.change = None;
            if recovered.empty {
                partition.state = PartitionState::Creating;
            }
        }
        self.tables.extend(to.tables.into_iter().map(|table| (table.id, table)));
        self.epoch = to.epoch;
        self.catalog_version = to.catalog_version;
        self.next_replica = to.next_replica;
        self.next_table = to.next_table;
        Ok(MetaReply::Done)
    }

    fn check_recovery(&self, to: &Recovery) -> Result<(), &'static str> {
        if to.partitions.len() != self.partitions.len() {
            return Err("it names another number of partitions than there are");
        }
        let replicas = || to.partitions.iter().map(|recovered| recovered.replica).chain([to.meta]);
        let ids: BTreeSet<ReplicaId> = replicas().map(|replica| replica.id).collect();
        if ids.len() <= to.partitions.len() || ids.first() < Some(&self.next_replica) {
            return Err("a replica's id was given out before, or is given out twice");
        }
        if ids.last() >= Some(&to.next_replica) || to.next_table < self.next_table {
            return Err("an id that is given out now would be given out again");
        }
        if to.tables.iter().any(|table| table.id >= to.next_table) {
            return Err("a table's id would be given out again");
        }
        if to.catalog_version < self.catalog_version {
            return Err("the catalog's version would go back");
        }
        if !replicas().all(|replica| to.stores.contains(&replica.store)) {
            return Err("a replica is on a store that is given up");
        }
        match to.stores.iter().any(|store| self.retired.contains(store)) {
            true => Err("a store that is to stay was retired"),
            false => Ok(()),
        }
    }
}
