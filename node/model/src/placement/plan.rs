//! Which replicas should come and which should go.
//!
//! The planner remembers nothing: it sees the map and who is there, and says which changes to begin
//! and which to give up. Asked again at any time, after any of them was done, it goes on from there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{GroupId, ReplicaId, StoreId};
use crate::meta::{Meta, MetaCommand, PartitionState, Replica};

mod balance;
mod cancel;
mod stores;

use stores::{Place, Stores};

/// What is known of the stores besides the map.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Observed {
    /// Connected now.
    pub reachable: BTreeSet<StoreId>,
    /// Silent for so long that their replicas are replaced.
    pub gone: BTreeSet<StoreId>,
    /// Too full to take more.
    pub full: BTreeSet<StoreId>,
}

/// The changes to begin and to cancel now, the most urgent first; none when all is as it should be
/// or nothing can be done. Only [`MetaCommand::BeginChange`] and [`MetaCommand::CancelChange`].
///
/// A store is *leaving* when it is draining, gone, retired or not registered. In this order:
///
/// 1. a replica on a store that is gone, retired or not registered is replaced;
/// 2. a group with too few replicas gets one;
/// 3. a group with too many loses one;
/// 4. a replica on a draining store moves;
/// 5. a replica moves where that leaves fewer voters of its group on one node, then in one zone;
/// 6. replicas move from stores with many to stores with few, until they differ by one at most.
///
/// Each group has one change at a time, and each store receives one replica at a time. No step
/// removes a replica from a group that has no more than it should, unless another takes its place.
/// Where the best target is receiving, a group waits: the second best would be moved again later.
///
/// A group without a majority of voters in reach can do nothing. It gets no change, and one it has
/// does not keep its target from others: healing the rest must not wait for what may never end.
pub fn plan(meta: &Meta, seen: &Observed) -> Vec<MetaCommand> {
    let mut planner = Planner::new(meta, seen);
    planner.cancel_pointless();
    let mut idle = planner.idle();
    idle.retain(|group| !planner.replace_lost(group));
    idle.retain(|group| !planner.add_missing(group));
    idle.retain(|group| !planner.remove_surplus(group));
    idle.retain(|group| !planner.empty_draining(group));
    idle.retain(|group| !planner.part_neighbours(group));
    planner.balance(&idle);
    planner.commands
}

/// In how many groups the store has a replica, there or coming. None: it can be removed.
pub fn depends_on(meta: &Meta, store: StoreId) -> usize {
    meta.groups().filter(|group| meta.replica_on(*group, store).is_some()).count()
}

/// A group that nothing is done to yet.
#[derive(Clone, Copy)]
struct Group<'a> {
    id: GroupId,
    voters: &'a [Replica],
    copies: usize,
}

impl Group<'_> {
    fn is_on(&self, store: StoreId) -> bool {
        self.voters.iter().any(|voter| voter.store == store)
    }
}

struct Planner<'a> {
    meta: &'a Meta,
    stores: Stores<'a>,
    /// Replicas of partitions on each store, those that come as there and those that go as gone.
    /// The meta group's are not counted: it is small, and not where queries run.
    loads: BTreeMap<StoreId, usize>,
    /// Stores that a replica is coming to.
    receiving: BTreeSet<StoreId>,
    commands: Vec<MetaCommand>,
}

impl<'a> Planner<'a> {
    fn new(meta: &'a Meta, seen: &'a Observed) -> Self {
        let mut planner = Planner {
            meta,
            stores: Stores::new(meta, seen),
            loads: BTreeMap::new(),
            receiving: BTreeSet::new(),
            commands: Vec::new(),
        };
        for id in meta.groups() {
            let Some((voters, change)) = meta.group(id) else { continue };
            voters.iter().for_each(|voter| planner.count(id, voter.store, 1));
            let Some(change) = change else { continue };
            if let Some(add) = change.add.filter(|_| planner.stores.has_majority(voters)) {
                planner.receiving.insert(add.store);
            }
            if !change.cancelled {
                let going = voters.iter().filter(|voter| Some(voter.id) == change.remove);
                going.for_each(|voter| planner.count(id, voter.store, -1));
                change.add.iter().for_each(|add| planner.count(id, add.store, 1));
            }
        }
        planner
    }

    fn count(&mut self, group: GroupId, store: StoreId, by: isize) {
        if group != GroupId::META {
            let load = self.loads.entry(store).or_default();
            *load = load.saturating_add_signed(by);
        }
    }

    fn load(&self, store: StoreId) -> usize {
        self.loads.get(&store).copied().unwrap_or_default()
    }

    /// The groups that can begin a change.
    fn idle(&self) -> Vec<Group<'a>> {
        let creating = |group: GroupId| {
            let partition = group.partition().and_then(|id| self.meta.partition(id));
            partition.is_some_and(|partition| partition.state == PartitionState::Creating)
        };
        let groups = self.meta.groups().filter_map(|id| {
            let (voters, change) = self.meta.group(id)?;
            let idle = change.is_none() && !creating(id) && self.stores.has_majority(voters);
            idle.then(|| Group { id, voters, copies: self.copies(id, voters) })
        });
        groups.collect()
    }

    /// How many replicas the group should have.
    fn copies(&self, group: GroupId, voters: &[Replica]) -> usize {
        match (group, self.meta.replication) {
            (GroupId::META, _) => self.stores.meta_copies(voters),
            (_, 0) => voters.len(),
            (_, copies) => copies as usize,
        }
    }

    // Each of these says whether the group is in the state that it deals with, and so is not for the next.

    fn replace_lost(&mut self, group: &Group<'a>) -> bool {
        let lost = group.voters.iter().find(|voter| self.stores.is_lost(voter.store));
        match lost {
            Some(lost) if group.voters.len() <= group.copies => self.move_away(group, *lost),
            _ => false,
        }
    }

    fn add_missing(&mut self, group: &Group<'a>) -> bool {
        let missing = group.voters.len() < group.copies;
        if missing && let Some(target) = self.target(group, None) {
            self.begin(group, Some(target), None);
        }
        missing
    }

    /// Rather a replica that must go anyway, then one that shares a node or zone, then one of the
    /// fullest store.
    fn remove_surplus(&mut self, group: &Group<'a>) -> bool {
        if group.voters.len() <= group.copies {
            return false;
        }
        let surplus = group.voters.iter().filter(|voter| self.stores.has_majority_without(group.voters, voter.id));
        let worst = surplus.max_by_key(|voter| {
            let store = voter.store;
            let clash = self.stores.place(store).clash(&self.stores.staying(group.voters, Some(voter.id)));
            (self.stores.is_lost(store), self.stores.is_leaving(store), clash, self.load(store), voter.id)
        });
        if let Some(worst) = worst {
            self.begin(group, None, Some(*worst));
        }
        true
    }

    fn empty_draining(&mut self, group: &Group<'a>) -> bool {
        let leaving = group.voters.iter().find(|voter| self.stores.is_leaving(voter.store));
        leaving.is_some_and(|leaving| self.move_away(group, *leaving))
    }

    fn part_neighbours(&mut self, group: &Group<'a>) -> bool {
        let mut best = None;
        for voter in group.voters {
            let staying = self.stores.staying(group.voters, Some(voter.id));
            let now = self.stores.place(voter.store).clash(&staying);
            for target in self.stores.targets.iter().filter(|target| !group.is_on(target.store)) {
                let then = target.clash(&staying);
                if then < now {
                    let gain = (now.0 as isize - then.0 as isize, now.1 as isize - then.1 as isize);
                    let loads = (self.load(target.store), Reverse(self.load(voter.store)));
                    let receiving = self.receiving.contains(&target.store);
                    let rank = (Reverse(gain), receiving, loads, target.store, voter.id);
                    best = Some(best.map_or(rank, |other| rank.min(other)));
                }
            }
        }
        let Some((_, receiving, _, target, voter)) = best else { return false };
        if !receiving {
            let voter = group.voters.iter().copied().find(|other| other.id == voter);
            self.begin(group, Some(target), voter);
        }
        true
    }

    fn move_away(&mut self, group: &Group<'a>, voter: Replica) -> bool {
        if let Some(target) = self.target(group, Some(voter.id)) {
            self.begin(group, Some(target), Some(voter));
        }
        true
    }

    /// Where a new replica of the group belongs, if that store can take it now.
    fn target(&self, group: &Group<'_>, without: Option<ReplicaId>) -> Option<StoreId> {
        let staying = self.stores.staying(group.voters, without);
        let open = self.stores.targets.iter().filter(|target| !group.is_on(target.store));
        let rank = |target: &Place<'_>| {
            let store = target.store;
            (target.clash(&staying), self.receiving.contains(&store), self.load(store), store)
        };
        open.map(rank).min().and_then(|(_, receiving, _, store)| (!receiving).then_some(store))
    }

    fn begin(&mut self, group: &Group<'_>, add: Option<StoreId>, remove: Option<Replica>) {
        if let Some(store) = add {
            self.receiving.insert(store);
            self.count(group.id, store, 1);
        }
        if let Some(replica) = remove {
            self.count(group.id, replica.store, -1);
        }
        let remove = remove.map(|replica| replica.id);
        self.commands.push(MetaCommand::BeginChange { group: group.id, add, remove });
    }
}

#[cfg(test)]
mod tests;
