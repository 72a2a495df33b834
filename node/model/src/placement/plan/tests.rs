#![allow(clippy::unwrap_used, clippy::panic)]

use uuid::Uuid;

use super::*;
use crate::ids::{ClusterId, PartitionId};
use crate::meta::{Change, Location, StoreInfo};

mod figures;
mod properties;
mod simulation;

use simulation::{Simulation, end_change};

fn store(number: usize) -> StoreId {
    StoreId(Uuid::from_u128(number as u128 + 1))
}

/// Partitions of `copies` replicas on stores that are all there, the meta group on the first three.
fn cluster(stores: usize, partitions: u32, copies: u32) -> (Meta, Observed) {
    let mut meta = Meta::default();
    let info = |number| (store(number), StoreInfo::at(format!("{number}:1")));
    let replica = |number| Replica { id: ReplicaId(number as u64 + 1), store: store(number) };
    meta.apply(MetaCommand::Bootstrap {
        cluster: ClusterId(Uuid::nil()),
        stores: (0..stores).map(info).collect(),
        replicas: (0..stores.min(3)).map(replica).collect(),
        partitions,
        replication: copies,
    })
    .unwrap();
    for number in 1..=partitions {
        meta.apply(MetaCommand::PartitionCreated { partition: PartitionId(number) }).unwrap();
    }
    (meta, Observed { reachable: (0..stores).map(store).collect(), ..Observed::default() })
}

fn register(meta: &mut Meta, seen: &mut Observed, number: usize) {
    let info = StoreInfo::at(format!("{number}:1"));
    meta.apply(MetaCommand::RegisterStore { store: store(number), info }).unwrap();
    seen.reachable.insert(store(number));
}

/// Not by a command, which may be refused: a drain that was fine when it began may have too few stores now.
fn drain(meta: &mut Meta, number: usize, draining: bool) {
    match draining {
        true => meta.draining.insert(store(number)),
        false => meta.draining.remove(&store(number)),
    };
}

fn lose(seen: &mut Observed, number: usize) {
    seen.reachable.remove(&store(number));
    seen.gone.insert(store(number));
}

fn locate(meta: &mut Meta, number: usize, node: &str, zone: &str) {
    let location = Location { node: Some(node.to_owned()), zone: Some(zone.to_owned()) };
    meta.apply(MetaCommand::LocateStore { store: store(number), location }).unwrap();
}

/// The replicas of the group stand on these stores.
fn place(meta: &mut Meta, group: u32, stores: &[usize]) {
    let replicas = stores.iter().map(|number| {
        let id = meta.next_replica;
        meta.next_replica.0 += 1;
        Replica { id, store: store(*number) }
    });
    let replicas = replicas.collect();
    match group {
        0 => meta.replicas = replicas,
        _ => meta.partitions[group as usize - 1].replicas = replicas,
    }
}

fn holders(meta: &Meta, group: u32) -> BTreeSet<usize> {
    let (voters, _) = meta.group(GroupId(group)).unwrap();
    voters.iter().map(|voter| voter.store.0.as_u128() as usize - 1).collect()
}

fn begin(meta: &Meta, group: u32, add: Option<usize>, remove: Option<usize>) -> MetaCommand {
    let remove = remove.map(|number| meta.replica_on(GroupId(group), store(number)).unwrap().id);
    MetaCommand::BeginChange { group: GroupId(group), add: add.map(store), remove }
}

fn cancel(group: u32) -> MetaCommand {
    MetaCommand::CancelChange { group: GroupId(group) }
}

/// Begins what is planned, and says what that was.
fn go(meta: &mut Meta, seen: &Observed) -> Vec<MetaCommand> {
    let commands = plan(meta, seen);
    commands.iter().for_each(|command| drop(meta.apply(command.clone()).unwrap()));
    commands
}

#[test]
fn a_balanced_cluster_rests_and_so_does_one_that_was_never_bootstrapped() {
    let (meta, seen) = cluster(3, 12, 3);
    assert_eq!(plan(&meta, &seen), []);
    assert_eq!(plan(&Meta::default(), &seen), []);
    assert_eq!(depends_on(&meta, store(0)), 13);
    assert_eq!(depends_on(&meta, store(7)), 0);
}

#[test]
fn a_store_that_is_gone_is_replaced_one_replica_a_target_at_a_time() {
    let (mut meta, mut seen) = cluster(4, 2, 3);
    place(&mut meta, 1, &[0, 1, 2]);
    place(&mut meta, 2, &[0, 1, 3]);
    lose(&mut seen, 0);
    let wanted = [begin(&meta, 0, Some(3), Some(0)), begin(&meta, 2, Some(2), Some(0))];
    assert_eq!(go(&mut meta, &seen), wanted, "partition 1 waits for store 3");
    assert_eq!(plan(&meta, &seen), []);
    assert_eq!(depends_on(&meta, store(3)), 2, "what is coming counts");
    end_change(&mut meta, GroupId::META, true);
    assert_eq!(plan(&meta, &seen), [begin(&meta, 1, Some(3), Some(0))]);
}

#[test]
fn nothing_is_removed_without_a_target() {
    let (mut meta, mut seen) = cluster(3, 2, 3);
    drain(&mut meta, 2, true);
    assert_eq!(plan(&meta, &seen), [begin(&meta, 0, None, Some(2))], "the meta group keeps two that stay");
    drain(&mut meta, 2, false);
    lose(&mut seen, 2);
    assert_eq!(plan(&meta, &seen), [], "a store that is gone may return");
    meta.apply(MetaCommand::RetireStore { store: store(2) }).unwrap();
    assert_eq!(go(&mut meta, &seen), [begin(&meta, 0, None, Some(2))]);
    end_change(&mut meta, GroupId::META, true);
    assert_eq!(plan(&meta, &seen), [], "two copies of the catalog rather than one");
}

#[test]
fn a_voter_too_many_stays_while_the_majority_needs_it() {
    let (mut meta, mut seen) = cluster(5, 1, 3);
    place(&mut meta, 1, &[0, 1, 2, 3, 4]);
    drain(&mut meta, 0, true);
    place(&mut meta, 0, &[1, 2, 3]);
    seen.reachable.remove(&store(3));
    seen.reachable.remove(&store(4));
    assert_eq!(go(&mut meta, &seen), [begin(&meta, 1, None, Some(4))], "not the draining one, yet");
    end_change(&mut meta, GroupId(1), true);
    assert_eq!(plan(&meta, &seen), [begin(&meta, 1, None, Some(0))]);
}

#[test]
fn a_group_without_a_majority_in_reach_is_left_alone_and_does_not_hold_up_others() {
    let (mut meta, mut seen) = cluster(5, 2, 3);
    place(&mut meta, 0, &[2, 3, 4]);
    place(&mut meta, 1, &[0, 1, 2]);
    place(&mut meta, 2, &[1, 2, 3]);
    seen.full = [store(4)].into();
    lose(&mut seen, 0);
    meta.apply(begin(&meta, 1, Some(3), Some(0))).unwrap();
    lose(&mut seen, 1);
    seen.full.clear();
    place(&mut meta, 2, &[1, 2, 4]);
    assert_eq!(plan(&meta, &seen), [begin(&meta, 2, Some(3), Some(1))]);
    seen.reachable.remove(&store(2));
    assert_eq!(plan(&meta, &seen), [], "only out of reach, but too many");
}

#[test]
fn copies_are_added_and_removed_as_the_number_asks() {
    let (mut meta, seen) = cluster(4, 1, 2);
    meta.replication = 3;
    assert_eq!(go(&mut meta, &seen), [begin(&meta, 1, Some(2), None)]);
    end_change(&mut meta, GroupId(1), true);
    meta.replication = 2;
    drain(&mut meta, 0, true);
    let removal = begin(&meta, 1, None, Some(0));
    let wanted = [removal, begin(&meta, 0, Some(3), Some(0))];
    assert_eq!(go(&mut meta, &seen), wanted, "of those too many rather one that must go anyway");
    meta.replication = 0;
    end_change(&mut meta, GroupId::META, true);
    end_change(&mut meta, GroupId(1), true);
    assert_eq!(plan(&meta, &seen), [], "no number: as many as there are");
}

#[test]
fn the_meta_group_grows_to_five_and_shrinks_to_what_stays() {
    let (mut meta, mut seen) = cluster(5, 1, 1);
    for number in [3, 4] {
        assert_eq!(go(&mut meta, &seen), [begin(&meta, 0, Some(number), None)]);
        end_change(&mut meta, GroupId::META, true);
    }
    assert_eq!(plan(&meta, &seen), []);
    lose(&mut seen, 4);
    assert_eq!(go(&mut meta, &seen), [begin(&meta, 0, None, Some(4))]);
    end_change(&mut meta, GroupId::META, true);
    assert_eq!(go(&mut meta, &seen).len(), 1);
    end_change(&mut meta, GroupId::META, true);
    assert_eq!(plan(&meta, &seen), [], "three of the four that stay");
    meta.replicas.sort_by_key(|replica| replica.store);
    place(&mut meta, 0, &[1, 2, 3]);
    (1..4).for_each(|number| drain(&mut meta, number, true));
    Simulation::new(meta, seen, 1).run().check(|end| assert_eq!(holders(&end.meta, 0), [0].into()));
}

#[test]
fn a_target_is_chosen_by_node_then_zone_then_load() {
    let (mut meta, mut seen) = cluster(7, 2, 3);
    let places = [("a", "x"), ("b", "x"), ("a", "x"), ("c", "x"), ("d", "y"), ("e", "y"), ("f", "z")];
    places.iter().enumerate().for_each(|(number, (node, zone))| locate(&mut meta, number, node, zone));
    place(&mut meta, 0, &[0, 2, 3, 4, 5]);
    place(&mut meta, 1, &[0, 1, 4]);
    place(&mut meta, 2, &[0, 3, 4]);
    lose(&mut seen, 1);
    for (full, best) in [(vec![], 6), (vec![6], 5), (vec![6, 5], 3), (vec![6, 5, 3], 2)] {
        seen.full = full.into_iter().map(store).collect();
        assert_eq!(plan(&meta, &seen).first(), Some(&begin(&meta, 1, Some(best), Some(1))));
    }
}

#[test]
fn a_group_waits_for_its_best_target_rather_than_take_another() {
    let (mut meta, mut seen) = cluster(5, 2, 3);
    (0..5).for_each(|number| locate(&mut meta, number, &number.to_string(), ["x", "y", "z", "y", "x"][number]));
    place(&mut meta, 0, &[0, 2, 3]);
    (1..=2).for_each(|group| place(&mut meta, group, &[0, 1, 2]));
    lose(&mut seen, 1);
    assert_eq!(go(&mut meta, &seen), [begin(&meta, 1, Some(3), Some(1))]);
    end_change(&mut meta, GroupId(1), true);
    assert_eq!(go(&mut meta, &seen).first(), Some(&begin(&meta, 2, Some(3), Some(1))));
}

#[test]
fn neighbours_are_parted_where_that_can_be() {
    let (mut meta, mut seen) = cluster(3, 1, 2);
    place(&mut meta, 0, &[0]);
    (0..3).for_each(|number| locate(&mut meta, number, ["a", "a", "b"][number], "z"));
    place(&mut meta, 0, &[0, 1, 2]);
    place(&mut meta, 1, &[0, 1]);
    assert_eq!(plan(&meta, &seen), [begin(&meta, 1, Some(2), Some(0))]);
    seen.full = [store(2)].into();
    assert_eq!(plan(&meta, &seen), []);
}

#[test]
fn a_new_store_is_filled_and_no_other_meanwhile() {
    let (mut meta, mut seen) = cluster(3, 12, 2);
    register(&mut meta, &mut seen, 3);
    for _ in 0..6 {
        let [MetaCommand::BeginChange { group, add: Some(add), .. }] = go(&mut meta, &seen)[..] else {
            panic!("one at a time")
        };
        assert_eq!((add, plan(&meta, &seen)), (store(3), vec![]));
        end_change(&mut meta, group, true);
    }
    assert_eq!(plan(&meta, &seen), []);
    assert_eq!(depends_on(&meta, store(3)), 6);
}

#[test]
fn a_change_whose_target_leaves_is_cancelled_and_goes_elsewhere() {
    let (mut meta, mut seen) = cluster(5, 1, 3);
    place(&mut meta, 0, &[0, 1, 2, 3, 4]);
    lose(&mut seen, 0);
    place(&mut meta, 0, &[1, 2, 3]);
    assert_eq!(go(&mut meta, &seen), [begin(&meta, 1, Some(3), Some(0))]);
    seen.reachable.remove(&store(3));
    assert_eq!(plan(&meta, &seen), [], "it may come back");
    seen.reachable.insert(store(3));
    drain(&mut meta, 3, true);
    let wanted = [cancel(1), begin(&meta, 0, Some(4), Some(3))];
    assert_eq!(go(&mut meta, &seen), wanted);
    assert_eq!(plan(&meta, &seen), [], "a cancelled change ends before another begins");
    end_change(&mut meta, GroupId(1), false);
    assert_eq!(plan(&meta, &seen), [], "store 4 is receiving");
    end_change(&mut meta, GroupId::META, true);
    assert_eq!(plan(&meta, &seen), [begin(&meta, 1, Some(4), Some(0))]);
}

#[test]
fn a_drain_that_is_taken_back_cancels_its_moves_and_leaves_those_that_balance() {
    let (mut meta, seen) = cluster(4, 4, 3);
    let balanced = meta.clone();
    drain(&mut meta, 3, true);
    assert_eq!(go(&mut meta, &seen).len(), 3);
    drain(&mut meta, 3, false);
    let given_up = go(&mut meta, &seen);
    assert!(given_up.len() == 3 && given_up.iter().all(|command| matches!(command, MetaCommand::CancelChange { .. })));
    (1..=4).for_each(|group| end_change(&mut meta, GroupId(group), false));
    assert_eq!(plan(&meta, &seen), []);
    assert_eq!(meta.partitions, balanced.partitions);

    let (mut meta, mut seen) = cluster(3, 12, 2);
    register(&mut meta, &mut seen, 3);
    let [MetaCommand::BeginChange { group, .. }] = go(&mut meta, &seen)[..] else { panic!("no balancing") };
    let (voters, change) = meta.group(group).unwrap();
    let from = voters.iter().find(|voter| Some(voter.id) == change.unwrap().remove).unwrap().store;
    for draining in [true, false] {
        drain(&mut meta, from.0.as_u128() as usize - 1, draining);
        assert!(!plan(&meta, &seen).contains(&MetaCommand::CancelChange { group }));
    }
}

#[test]
fn a_change_of_numbers_that_is_not_wanted_any_more_is_cancelled() {
    let (mut meta, seen) = cluster(4, 1, 2);
    meta.replication = 3;
    go(&mut meta, &seen);
    meta.replication = 2;
    assert_eq!(go(&mut meta, &seen), [cancel(1)]);
    end_change(&mut meta, GroupId(1), false);
    meta.replication = 1;
    go(&mut meta, &seen);
    meta.replication = 2;
    assert_eq!(go(&mut meta, &seen), [cancel(1)]);
    end_change(&mut meta, GroupId(1), false);
    assert_eq!((plan(&meta, &seen), holders(&meta, 1)), (vec![], [0, 1].into()));
}

#[test]
fn a_partition_that_was_not_created_yet_is_left_alone() {
    let (mut meta, seen) = cluster(5, 1, 3);
    place(&mut meta, 0, &[0, 3, 4]);
    drain(&mut meta, 0, true);
    meta.partitions[0].state = PartitionState::Creating;
    assert_eq!(plan(&meta, &seen), [begin(&meta, 0, Some(1), Some(0))]);
}
