//! A cluster that does what the planner says, in any order, and watches it.

use super::*;

/// The voters that the group's change leads to.
fn led_to(meta: &Meta, group: GroupId) -> Vec<Replica> {
    let (voters, change) = meta.group(group).unwrap();
    let change = change.unwrap();
    voters.iter().copied().filter(|voter| Some(voter.id) != change.remove).chain(change.add).collect()
}

/// The group's leader reports the end of its change, done or undone.
pub fn end_change(meta: &mut Meta, group: GroupId, done: bool) {
    let (voters, change) = meta.group(group).unwrap();
    let Some(change) = change else { return };
    let voters = if done { led_to(meta, group) } else { voters.to_vec() };
    meta.apply(MetaCommand::EndChange { group, change, voters }).unwrap();
}

/// SplitMix64, from Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

#[derive(Clone)]
pub struct Simulation {
    pub meta: Meta,
    pub seen: Observed,
    pub random: Random,
    /// In how many of four cases a change ends in the round.
    pub pace: usize,
    pub rounds: usize,
    /// Replicas that were copied to another store.
    pub copied: usize,
    pub cancelled: usize,
}

impl Simulation {
    pub fn new(meta: Meta, seen: Observed, seed: u64) -> Self {
        Simulation { meta, seen, random: Random(seed), pace: 2, rounds: 0, copied: 0, cancelled: 0 }
    }

    /// Until the plan is empty and nothing is under way, within a bound.
    pub fn run(mut self) -> Self {
        let replicas: usize = self.meta.groups().map(|group| self.meta.group(group).unwrap().0.len() + 5).sum();
        let bound = self.rounds + 50 + 4 * replicas;
        while self.round() {
            assert!(self.rounds < bound, "it does not end");
        }
        self
    }

    pub fn check(self, check: impl FnOnce(&Self)) -> Self {
        check(&self);
        self
    }

    pub fn stores(&self) -> Stores<'_> {
        Stores::new(&self.meta, &self.seen)
    }

    /// Whether the group can do anything, now or ever, while the stores are as they are.
    pub fn is_able(&self, group: GroupId) -> bool {
        let creating = group.partition().and_then(|id| self.meta.partition(id)).map(|found| found.state);
        let (voters, _) = self.meta.group(group).unwrap();
        creating != Some(PartitionState::Creating) && self.stores().has_majority(voters)
    }

    pub fn copies(&self, group: GroupId) -> usize {
        Planner::new(&self.meta, &self.seen).copies(group, self.meta.group(group).unwrap().0)
    }

    fn under_way(&self) -> Vec<GroupId> {
        let mut groups: Vec<GroupId> = self.meta.groups().collect();
        groups.retain(|group| self.meta.group(*group).unwrap().1.is_some() && self.is_able(*group));
        groups
    }

    /// Plans, begins, and ends some of what is under way. Whether there was anything to do.
    pub fn round(&mut self) -> bool {
        self.rounds += 1;
        let commands = plan(&self.meta, &self.seen);
        let coming = |group: GroupId| self.meta.group(group)?.1?.add;
        let mut coming: BTreeSet<StoreId> =
            self.under_way().into_iter().filter_map(coming).map(|replica| replica.store).collect();
        let before = self.meta.clone();
        for command in &commands {
            self.check_command(command, &mut coming);
            let epoch = self.meta.epoch;
            self.meta.apply(command.clone()).unwrap();
            assert!(self.meta.epoch > epoch, "{command:?} changes nothing");
        }
        self.check_state();
        self.check_cancelled(&before, &commands);
        let mut under_way = self.under_way();
        if commands.is_empty() && under_way.is_empty() {
            return false;
        }
        let sure = (!under_way.is_empty()).then(|| under_way.swap_remove(self.random.below(under_way.len())));
        let pace = self.pace;
        under_way.retain(|_| self.random.below(4) < pace);
        for group in under_way.into_iter().chain(sure) {
            let change = self.meta.group(group).unwrap().1.unwrap();
            let done = !change.cancelled || self.random.below(2) == 0;
            self.copied += usize::from(done && change.add.is_some());
            end_change(&mut self.meta, group, done);
        }
        self.check_state();
        true
    }

    fn check_command(&mut self, command: &MetaCommand, coming: &mut BTreeSet<StoreId>) {
        match command {
            MetaCommand::BeginChange { group, add, remove } => {
                let (voters, change) = self.meta.group(*group).unwrap();
                assert_eq!(change, None, "one change a group");
                assert!(self.is_able(*group), "{command:?} cannot be done");
                if let Some(add) = add {
                    assert!(self.stores().targets.iter().any(|target| target.store == *add), "{command:?}");
                    assert!(coming.insert(*add), "{command:?}: it receives twice");
                } else {
                    assert!(remove.is_some() && voters.len() > self.copies(*group), "{command:?} leaves too few");
                    let mut rest = voters.to_vec();
                    rest.retain(|voter| Some(voter.id) != *remove);
                    assert!(self.stores().has_majority(&rest), "{command:?} leaves no majority");
                }
                if remove.is_none() {
                    assert!(voters.len() < self.copies(*group), "{command:?} makes too many");
                }
            }
            MetaCommand::CancelChange { .. } => self.cancelled += 1,
            other => panic!("{other:?} is not the planner's"),
        }
    }

    fn check_state(&self) {
        for group in self.meta.groups() {
            let (voters, change) = self.meta.group(group).unwrap();
            let add = change.and_then(|change| change.add);
            let stores: BTreeSet<StoreId> = voters.iter().chain(&add).map(|replica| replica.store).collect();
            assert_eq!(stores.len(), voters.len() + add.iter().count(), "{group}: two replicas on one store");
        }
    }

    /// What was cancelled and undone is not begun again at once, unless its old store gets a replica
    /// meanwhile: then that one is too full again.
    fn check_cancelled(&self, before: &Meta, commands: &[MetaCommand]) {
        let mut undone = self.meta.clone();
        let mut again = Vec::new();
        for command in commands {
            let MetaCommand::CancelChange { group } = *command else { continue };
            end_change(&mut undone, group, false);
            let (voters, change) = before.group(group).unwrap();
            let Change { add, remove, .. } = change.unwrap();
            let from = voters.iter().find(|voter| Some(voter.id) == remove).map(|voter| voter.store);
            again.push((MetaCommand::BeginChange { group, add: add.map(|add| add.store), remove }, from));
        }
        if again.is_empty() {
            return;
        }
        let next = plan(&undone, &self.seen);
        let filled = commands.iter().chain(&next).filter_map(|command| match command {
            MetaCommand::BeginChange { add, .. } => *add,
            _ => None,
        });
        let filled: BTreeSet<StoreId> = filled.collect();
        again.retain(|(_, from)| from.is_none_or(|from| !filled.contains(&from)));
        assert!(again.iter().all(|(command, _)| !next.contains(command)), "{again:?} {next:?}");
    }

    /// Replicas of partitions on the store.
    pub fn load(&self, store: StoreId) -> usize {
        let replicas = self.meta.partitions.iter().flat_map(|partition| &partition.replicas);
        replicas.filter(|replica| replica.store == store).count()
    }
}
