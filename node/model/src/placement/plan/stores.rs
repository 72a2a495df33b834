//! The stores as the planner sees them: which can take a replica, which are on their way out, and
//! which are neighbours.

use crate::ids::{ReplicaId, StoreId};
use crate::meta::{Meta, Replica};
use crate::placement::plan::Observed;

/// A store and what it shares with others. A store that nobody located shares nothing.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub store: StoreId,
    node: Option<&'a str>,
    zone: Option<&'a str>,
}

impl Place<'_> {
    /// How many of the others are on this node, and how many in this zone.
    pub fn clash(&self, others: &[Place<'_>]) -> (usize, usize) {
        let node = others.iter().filter(|other| self.node.is_some() && other.node == self.node);
        let zone = others.iter().filter(|other| self.zone.is_some() && other.zone == self.zone);
        (node.count(), zone.count())
    }
}

pub(super) struct Stores<'a> {
    meta: &'a Meta,
    seen: &'a Observed,
    /// Those that can take a replica, if they have none of its group.
    pub targets: Vec<Place<'a>>,
}

impl<'a> Stores<'a> {
    pub fn new(meta: &'a Meta, seen: &'a Observed) -> Self {
        let mut stores = Stores { meta, seen, targets: Vec::new() };
        let open =
            meta.stores.keys().copied().filter(|store| {
                !stores.is_leaving(*store) && seen.reachable.contains(store) && !seen.full.contains(store)
            });
        stores.targets = open.map(|store| stores.place(store)).collect();
        stores
    }

    /// Nothing can be expected of it any more.
    pub fn is_lost(&self, store: StoreId) -> bool {
        self.seen.gone.contains(&store) || !self.meta.stores.contains_key(&store)
    }

    pub fn is_leaving(&self, store: StoreId) -> bool {
        self.is_lost(store) || self.meta.draining.contains(&store)
    }

    pub fn place(&self, store: StoreId) -> Place<'a> {
        let location = self.meta.locations.get(&store);
        Place {
            store,
            node: location.and_then(|location| location.node.as_deref()),
            zone: location.and_then(|location| location.zone.as_deref()),
        }
    }

    /// Where the voters are that will still be there without this one.
    pub fn staying(&self, voters: &[Replica], without: Option<ReplicaId>) -> Vec<Place<'a>> {
        let staying = voters.iter().filter(|voter| Some(voter.id) != without && !self.is_leaving(voter.store));
        staying.map(|voter| self.place(voter.store)).collect()
    }

    /// Whether the group can commit anything now.
    pub fn has_majority(&self, voters: &[Replica]) -> bool {
        let here = voters.iter().filter(|voter| self.seen.reachable.contains(&voter.store)).count();
        here * 2 > voters.len()
    }

    /// Whether the group could still commit when this voter is removed and no other comes.
    pub fn has_majority_without(&self, voters: &[Replica], voter: ReplicaId) -> bool {
        let rest: Vec<Replica> = voters.iter().copied().filter(|other| other.id != voter).collect();
        self.has_majority(&rest)
    }

    /// How many replicas the meta group should have: 5, 3 or 1, as the stores permit.
    ///
    /// It shrinks to 3 with the stores that are left: 3 of 3 outlive one more, as 4 of 5 do. Below 3
    /// it shrinks only by replicas on stores that were told to leave, not by one that is gone and
    /// may return, nor by one on a store that stays: a single copy of the catalog would be a poor trade.
    pub fn meta_copies(&self, voters: &[Replica]) -> usize {
        let told_to_stay =
            |store: &StoreId| self.meta.stores.contains_key(store) && !self.meta.draining.contains(store);
        let stay = self.meta.stores.keys().filter(|store| !self.is_leaving(**store)).count();
        if stay >= 5 {
            return 5;
        }
        match self.meta.stores.keys().filter(|store| told_to_stay(store)).count() {
            0..3 => voters.iter().filter(|voter| told_to_stay(&voter.store)).count().clamp(1, 3),
            _ => 3,
        }
    }
}
