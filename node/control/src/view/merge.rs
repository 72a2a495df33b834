//! Many stores' words into one view, purely.

use std::collections::BTreeMap;
use std::sync::Arc;

use raftduck_model::meta::Meta;
use raftduck_model::{GroupId, ReplicaId, StoreId};
use raftduck_wire::proto::store::{GroupStatus, Role, WatchUpdate};

use super::{ClusterView, GroupView, Leader, StoreView};

/// All that was said so far.
#[derive(Clone, Debug, Default)]
pub struct Merge {
    meta: Arc<Meta>,
    stores: BTreeMap<StoreId, StoreView>,
}

/// An update that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// No store's UUID.
    #[error("{0:?} is no store")]
    Store(String),
    /// No cluster state of a version this build reads.
    #[error("the cluster state cannot be read")]
    Meta(#[from] serde_json::Error),
}

impl Merge {
    /// Takes a store's update in, and says whose it was.
    pub fn update(&mut self, update: &WatchUpdate) -> Result<StoreId, UpdateError> {
        let store: StoreId = update.store.parse().map_err(|_| UpdateError::Store(update.store.clone()))?;
        if !update.meta.is_empty() {
            let told: Meta = serde_json::from_slice(&update.meta)?;
            // A store that lags tells an old state; a state only ever replaces an older one.
            if (told.epoch, told.catalog_version) > (self.meta.epoch, self.meta.catalog_version)
                || self.meta.cluster.is_none()
            {
                self.meta = Arc::new(told);
            }
        }
        let entry = self.stores.entry(store).or_default();
        entry.connected = true;
        if !update.groups.is_empty() {
            entry.groups = update.groups.iter().map(|status| (GroupId(status.group), group_view(status))).collect();
        }
        Ok(store)
    }

    /// The store's stream ended: what it said is kept for now.
    pub fn lost(&mut self, store: StoreId) {
        if let Some(entry) = self.stores.get_mut(&store) {
            entry.connected = false;
        }
    }

    /// The store has been away for long: what it said counts no more. The map stays.
    pub fn forget(&mut self, store: StoreId) {
        if let Some(entry) = self.stores.get_mut(&store).filter(|entry| !entry.connected) {
            entry.groups.clear();
        }
    }

    /// The view of it all.
    pub fn view(&self) -> ClusterView {
        let mut leaders: BTreeMap<GroupId, Leader> = BTreeMap::new();
        for (store, said) in &self.stores {
            for (group, status) in &said.groups {
                let Some(claim) = self.claim(*store, *group, status) else { continue };
                let known = leaders.get(group).map(|known| (known.term, known.ready));
                if known.is_none_or(|known| known < (claim.term, claim.ready)) {
                    leaders.insert(*group, claim);
                }
            }
        }
        ClusterView { meta: self.meta.clone(), leaders, stores: self.stores.clone() }
    }

    /// Whom a replica takes for its group's leader.
    fn claim(&self, store: StoreId, group: GroupId, status: &GroupView) -> Option<Leader> {
        if status.role == Role::Leader {
            return Some(Leader { store, term: status.term, ready: status.ready });
        }
        let replicas = match group.partition() {
            None => &self.meta.replicas,
            Some(partition) => &self.meta.partition(partition)?.replicas,
        };
        let leader = replicas.iter().find(|replica| Some(replica.id) == status.leader)?;
        Some(Leader { store: leader.store, term: status.term, ready: false })
    }
}

fn group_view(status: &GroupStatus) -> GroupView {
    GroupView {
        replica: ReplicaId(status.replica),
        role: status.role(),
        term: status.term,
        leader: (status.leader_replica != 0).then_some(ReplicaId(status.leader_replica)),
        applied: status.applied,
        ready: status.ready,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use raftduck_model::meta::{Partition, PartitionState, Replica};
    use raftduck_model::{ClusterId, Epoch, PartitionId};
    use uuid::Uuid;

    use super::*;

    fn store(number: u128) -> StoreId {
        StoreId(Uuid::from_u128(number))
    }

    fn meta(epoch: u64, catalog_version: u64) -> Meta {
        let replicas = (1..=3).map(|n| Replica { id: ReplicaId(n), store: store(n.into()) }).collect();
        Meta {
            cluster: Some(ClusterId(Uuid::nil())),
            epoch: Epoch(epoch),
            catalog_version,
            partitions: vec![Partition { id: PartitionId(1), replicas, state: PartitionState::Created, change: None }],
            ..Meta::default()
        }
    }

    fn update(from: u128, meta: Option<Meta>, status: Option<(Role, u64, u64)>) -> WatchUpdate {
        WatchUpdate {
            meta: meta.map(|meta| serde_json::to_vec(&meta).unwrap()).unwrap_or_default().into(),
            store: store(from).to_string(),
            tight: false,
            groups: status
                .map(|(role, term, leader_replica)| GroupStatus {
                    group: 1,
                    replica: from as u64,
                    role: role.into(),
                    term,
                    leader_replica,
                    applied: 0,
                    ready: role == Role::Leader,
                })
                .into_iter()
                .collect(),
        }
    }

    fn leader(merge: &Merge) -> Option<(StoreId, u64)> {
        merge.view().leader(GroupId(1)).map(|leader| (leader.store, leader.term))
    }

    #[test]
    fn the_highest_term_names_the_leader_whoever_tells_it() {
        let mut merge = Merge::default();
        merge.update(&update(1, Some(meta(1, 1)), Some((Role::Leader, 4, 1)))).unwrap();
        assert_eq!(leader(&merge), Some((store(1), 4)));
        merge.update(&update(2, None, Some((Role::Follower, 5, 3)))).unwrap();
        assert_eq!(leader(&merge), Some((store(3), 5)), "a follower knows of a newer leader");
        merge.update(&update(3, None, Some((Role::Leader, 5, 3)))).unwrap();
        assert!(merge.view().leader(GroupId(1)).unwrap().ready, "its own word says that it is ready");
    }

    #[test]
    fn a_lost_store_keeps_its_claims_until_it_is_forgotten_and_the_map_stays() {
        let mut merge = Merge::default();
        merge.update(&update(1, Some(meta(1, 1)), Some((Role::Leader, 4, 1)))).unwrap();
        merge.lost(store(1));
        assert_eq!(leader(&merge), Some((store(1), 4)));
        assert_eq!(merge.view().connected().count(), 0);
        merge.forget(store(1));
        assert_eq!(leader(&merge), None);
        assert_eq!(merge.view().meta.partitions.len(), 1);
        merge.update(&update(1, None, Some((Role::Leader, 4, 1)))).unwrap();
        merge.forget(store(1));
        assert_eq!(leader(&merge), Some((store(1), 4)), "a store that came back is not forgotten");
    }

    #[test]
    fn a_store_that_lags_does_not_turn_the_catalog_back() {
        let mut merge = Merge::default();
        for (told, kept) in [((1, 5), (1, 5)), ((1, 4), (1, 5)), ((2, 5), (2, 5)), ((1, 5), (2, 5))] {
            merge.update(&update(1, Some(meta(told.0, told.1)), None)).unwrap();
            let meta = merge.view().meta;
            assert_eq!((meta.epoch.0, meta.catalog_version), kept);
        }
    }

    #[test]
    fn an_update_that_cannot_be_read_changes_nothing() {
        let mut merge = Merge::default();
        merge.update(&update(1, Some(meta(1, 1)), Some((Role::Leader, 4, 1)))).unwrap();
        let before = merge.view();
        let broken = [
            WatchUpdate { store: "nobody".to_owned(), ..WatchUpdate::default() },
            WatchUpdate { meta: b"{".to_vec().into(), ..update(1, None, None) },
        ];
        broken.iter().for_each(|update| assert!(merge.update(update).is_err()));
        assert_eq!(merge.view(), before);
    }

    #[test]
    fn only_connected_stores_with_every_partition_may_answer_for_all() {
        let mut merge = Merge::default();
        merge.update(&update(1, Some(meta(1, 1)), None)).unwrap();
        merge.update(&update(9, None, None)).unwrap();
        assert_eq!(merge.view().holders_of_all(&[PartitionId(1)]), [store(1)]);
        assert_eq!(merge.view().holders_of_all(&[PartitionId(1), PartitionId(2)]), []);
    }
}
