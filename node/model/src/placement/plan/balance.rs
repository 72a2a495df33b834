//! As many replicas on one store as on another.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::ids::{GroupId, StoreId};
use crate::meta::Replica;
use crate::placement::plan::{Group, Planner};

/// One replica of a group, to another store.
struct Move<'a> {
    group: Group<'a>,
    voter: Replica,
    to: StoreId,
}

/// The groups that may move, by the stores that they have replicas on.
type Held<'a> = BTreeMap<StoreId, BTreeMap<GroupId, (Group<'a>, Replica)>>;

impl<'a> Planner<'a> {
    /// Goes through all the moves that even the stores out, from the fullest to the emptiest each
    /// time, and begins those whose target takes one now. The others are only counted: without
    /// them a fuller store would be filled while the emptiest is receiving, and emptied again.
    pub(super) fn balance(&mut self, settled: &[Group<'a>]) {
        let mut held: Held<'a> = BTreeMap::new();
        for group in settled.iter().filter(|group| group.id != GroupId::META) {
            for voter in group.voters {
                held.entry(voter.store).or_default().insert(group.id, (*group, *voter));
            }
        }
        let mut loads = self.loads.clone();
        while self.stores.targets.iter().any(|target| !self.receiving.contains(&target.store)) {
            let Some(Move { group, voter, to }) = self.next_move(&held, &loads) else { break };
            for replica in group.voters {
                held.entry(replica.store).or_default().remove(&group.id);
            }
            loads.entry(voter.store).and_modify(|load| *load = load.saturating_sub(1));
            *loads.entry(to).or_default() += 1;
            if !self.receiving.contains(&to) && self.load(voter.store) >= self.load(to) + 2 {
                self.begin(&group, Some(to), Some(voter));
            }
        }
    }

    fn next_move(&self, held: &Held<'a>, loads: &BTreeMap<StoreId, usize>) -> Option<Move<'a>> {
        let load = |store: StoreId| loads.get(&store).copied().unwrap_or_default();
        let mut sources: Vec<StoreId> = held.keys().copied().collect();
        sources.sort_by_key(|store| (Reverse(load(*store)), *store));
        let mut targets = self.stores.targets.clone();
        targets.sort_by_key(|target| (load(target.store), target.store));
        for from in sources {
            for to in targets.iter().take_while(|to| load(from) >= load(to.store) + 2) {
                let movable = held.get(&from).into_iter().flat_map(BTreeMap::values).find(|(group, voter)| {
                    let staying = self.stores.staying(group.voters, Some(voter.id));
                    !group.is_on(to.store) && to.clash(&staying) <= self.stores.place(from).clash(&staying)
                });
                if let Some((group, voter)) = movable {
                    return Some(Move { group: *group, voter: *voter, to: to.store });
                }
            }
        }
        None
    }
}
