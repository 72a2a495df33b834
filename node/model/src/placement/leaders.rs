//! Which of its replicas should lead a group.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ids::{GroupId, ReplicaId, StoreId};
use crate::meta::{Meta, Partition};

/// Transfers that one call asks for at most. Each stops its group's writes for about 13 ms
/// (measured), so a few at a time hide it.
pub const MAX_TRANSFERS: usize = 4;

/// Who leads a group, as far as its stores have said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leadership {
    /// The store whose replica leads.
    pub store: StoreId,
    /// It has applied all earlier terms and takes writes. One that does not yet is left alone.
    pub ready: bool,
}

/// A wish that a group's leader hands over to another of its replicas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// The group.
    pub group: GroupId,
    /// The store that leads it now.
    pub from: StoreId,
    /// The replica that should lead it.
    pub to_replica: ReplicaId,
}

/// The transfers that bring the partitions' leaders nearer to an even spread over the stores in
/// `alive`: as even as the replicas' places allow, with a difference of at most one where every
/// store holds every partition. An even spread gives none, whoever leads what, so that leaders
/// rest; where something must move, it moves rather to a partition's first replica.
///
/// Leaders on stores outside `alive`, or outside the partition's replicas, are taken for unknown:
/// their groups are about to elect another. The meta group is not moved and not counted.
///
/// Groups whose replicas are changing rest until that is done, except that a leader may leave a
/// draining store; whoever does the change sees to a leader that is itself to go.
///
/// A draining store should lead nothing. Its leaders go first, each to the replica whose store leads
/// least, where there is one on a store that is alive and stays.
///
/// This is the search for cost-reducing paths of Harvey, Ladner, Lovász and Tamir, "Semi-matchings
/// for bipartite graphs and load balancing" (2003): a spread is as even as it can be when no chain
/// of transfers leads from a store to one with at least two leaders fewer. A chain is listed from
/// its far end, so that each transfer that is done, alone, leaves the rest a shorter way to go.
pub fn spread_leaders(
    meta: &Meta,
    leaders: &BTreeMap<GroupId, Leadership>,
    alive: &BTreeSet<StoreId>,
) -> Vec<Transfer> {
    let mut spread = Spread::new(meta, leaders, alive);
    let mut transfers = spread.leave_draining(leaders, alive);
    while transfers.len() < MAX_TRANSFERS {
        let Some(chain) = spread.chain() else { break };
        for step in chain {
            // A group that moved in this round already waits for the next: its leader is not yet
            // where the rest of the chain would take it from.
            if transfers.len() == MAX_TRANSFERS || transfers.iter().any(|done| done.group == step.group) {
                return transfers;
            }
            spread.apply(&step);
            transfers.push(Transfer { group: step.group, from: step.from, to_replica: step.to_replica });
        }
    }
    transfers
}

/// One transfer of a chain.
#[derive(Clone, Copy)]
struct Step {
    group: GroupId,
    from: StoreId,
    to: StoreId,
    to_replica: ReplicaId,
}

/// Which store leads which partition.
struct Spread<'a> {
    meta: &'a Meta,
    /// Only partitions with a leader that is known, alive, of the map and not on a draining store.
    leaders: BTreeMap<GroupId, Leadership>,
    /// Of every store that is alive, not draining, and holds a replica of a partition.
    loads: BTreeMap<StoreId, usize>,
}

impl<'a> Spread<'a> {
    fn new(meta: &'a Meta, leaders: &BTreeMap<GroupId, Leadership>, alive: &BTreeSet<StoreId>) -> Self {
        let mut spread = Spread { meta, leaders: BTreeMap::new(), loads: BTreeMap::new() };
        for partition in &meta.partitions {
            let group = partition.id.group();
            let may_lead = |store| alive.contains(store) && !meta.draining.contains(store);
            for replica in partition.replicas.iter().filter(|replica| may_lead(&replica.store)) {
                let load = spread.loads.entry(replica.store).or_default();
                if let Some(leader) = leaders.get(&group).filter(|leader| leader.store == replica.store) {
                    *load += 1;
                    spread.leaders.insert(group, *leader);
                }
            }
        }
        spread
    }

    /// The transfers from draining stores, which the rest of the spread counts as done.
    fn leave_draining(&mut self, leaders: &BTreeMap<GroupId, Leadership>, alive: &BTreeSet<StoreId>) -> Vec<Transfer> {
        let mut transfers = Vec::new();
        for partition in &self.meta.partitions {
            let group = partition.id.group();
            let from = leaders.get(&group).filter(|leader| {
                leader.ready && self.meta.draining.contains(&leader.store) && alive.contains(&leader.store)
            });
            let Some(from) = from.map(|leader| leader.store) else { continue };
            let leader = partition.replicas.iter().find(|replica| replica.store == from).map(|replica| replica.id);
            let goes = partition.change.and_then(|change| change.remove);
            if transfers.len() == MAX_TRANSFERS || leader.is_none() || leader == goes {
                continue;
            }
            let able = partition.replicas.iter();
            let able = able.filter(|replica| self.loads.contains_key(&replica.store) && Some(replica.id) != goes);
            let best = able.min_by_key(|replica| (self.load(replica.store), rank(partition, from, replica.store)));
            if let Some(to) = best {
                transfers.push(Transfer { group, from, to_replica: to.id });
                *self.loads.entry(to.store).or_default() += 1;
            }
        }
        transfers
    }

    fn load(&self, store: StoreId) -> usize {
        self.loads.get(&store).copied().unwrap_or_default()
    }

    fn apply(&mut self, step: &Step) {
        if let Some(leader) = self.leaders.get_mut(&step.group) {
            leader.store = step.to;
        }
        *self.loads.entry(step.from).or_default() -= 1;
        *self.loads.entry(step.to).or_default() += 1;
    }

    /// A shortest chain of transfers from a store to one with at least two leaders fewer, its far
    /// end first; from the most loaded store that has one.
    fn chain(&self) -> Option<Vec<Step>> {
        let mut starts: Vec<StoreId> = self.loads.keys().copied().collect();
        starts.sort_by_key(|store| std::cmp::Reverse(self.load(*store)));
        starts.into_iter().find_map(|start| self.chain_from(start))
    }

    fn chain_from(&self, start: StoreId) -> Option<Vec<Step>> {
        let mut reached: BTreeMap<StoreId, Option<Step>> = BTreeMap::from([(start, None)]);
        let mut queue = VecDeque::from([start]);
        while let Some(store) = queue.pop_front() {
            for step in self.steps_from(store) {
                if reached.contains_key(&step.to) {
                    continue;
                }
                reached.insert(step.to, Some(step));
                if self.load(step.to) + 2 <= self.load(start) {
                    return Some(backwards(&reached, step.to));
                }
                queue.push_back(step.to);
            }
        }
        None
    }

    /// One transfer to each store that could take a partition over from `store`: the least loaded
    /// first, and of the partitions the one that would best be led there.
    fn steps_from(&self, store: StoreId) -> Vec<Step> {
        let mut best: BTreeMap<StoreId, (u8, Step)> = BTreeMap::new();
        for partition in &self.meta.partitions {
            let group = partition.id.group();
            if partition.change.is_some() || self.leaders.get(&group) != Some(&Leadership { store, ready: true }) {
                continue;
            }
            for replica in partition.replicas.iter().filter(|replica| replica.store != store) {
                if !self.loads.contains_key(&replica.store) {
                    continue;
                }
                let rank = rank(partition, store, replica.store);
                let step = Step { group, from: store, to: replica.store, to_replica: replica.id };
                match best.get(&replica.store) {
                    Some((found, _)) if *found <= rank => {}
                    _ => drop(best.insert(replica.store, (rank, step))),
                }
            }
        }
        let mut steps: Vec<(u8, Step)> = best.into_values().collect();
        steps.sort_by_key(|(rank, step)| (self.load(step.to), *rank));
        steps.into_iter().map(|(_, step)| step).collect()
    }
}

/// How well a partition's leader moves from one store to another; the lowest is best. Its first
/// replica is where it should go, and what it should not be taken from.
fn rank(partition: &Partition, from: StoreId, to: StoreId) -> u8 {
    match partition.replicas.first().map(|replica| replica.store) {
        Some(first) if first == to => 0,
        Some(first) if first == from => 2,
        _ => 1,
    }
}

fn backwards(reached: &BTreeMap<StoreId, Option<Step>>, end: StoreId) -> Vec<Step> {
    std::iter::successors(reached.get(&end).copied().flatten(), |step| reached.get(&step.from).copied().flatten())
        .collect()
}

#[cfg(test)]
mod tests;
