//! Stores that come and go, and the replicas with them.

use super::*;

/// A cluster of four stores, whose partition 1 has the replicas 4 and 5 on the stores 1 and 2.
fn created() -> Meta {
    let mut meta = cluster();
    meta.apply(MetaCommand::RegisterStore { store: store(4), info: info("s:1") }).unwrap();
    meta.apply(MetaCommand::PartitionCreated { partition: PartitionId(1) }).unwrap();
    assert_eq!(meta.group(GroupId(1)), Some(([replica(4, 1), replica(5, 2)].as_slice(), None)));
    meta
}

/// Applies the command twice: the first time raises the epoch by one, the second changes nothing.
fn raises_the_epoch_once(meta: &mut Meta, command: MetaCommand) {
    let epoch = meta.epoch.0;
    meta.apply(command.clone()).unwrap();
    let once = meta.clone();
    assert_eq!(once.epoch.0, epoch + 1, "{command:?}");
    assert_eq!(meta.apply(command), Ok(MetaReply::Done));
    assert_eq!(*meta, once);
}

#[test]
fn a_store_is_drained_and_taken_back_and_located() {
    let mut meta = cluster();
    let located = Location { node: Some("n".to_owned()), zone: None };
    raises_the_epoch_once(&mut meta, MetaCommand::DrainStore { store: store(1), draining: true });
    assert_eq!(meta.draining, [store(1)].into());
    raises_the_epoch_once(&mut meta, MetaCommand::DrainStore { store: store(1), draining: false });
    assert_eq!(meta.draining, [].into());
    raises_the_epoch_once(&mut meta, MetaCommand::LocateStore { store: store(1), location: located.clone() });
    assert_eq!(meta.locations, [(store(1), located)].into());
    for unknown in [
        MetaCommand::DrainStore { store: store(7), draining: true },
        MetaCommand::RetireStore { store: store(7) },
        MetaCommand::LocateStore { store: store(7), location: Location::default() },
    ] {
        assert_eq!(refused(&mut meta, unknown), MetaError::NoSuchStore { store: store(7) });
    }
}

#[test]
fn a_store_that_the_copies_need_is_not_drained_and_one_that_counts_its_groups_changes_nothing() {
    let mut meta = created();
    for leaving in [1, 3] {
        meta.apply(MetaCommand::DrainStore { store: store(leaving), draining: true }).unwrap();
    }
    let too_few = MetaError::TooFewStores { left: 1, copies: 2 };
    assert_eq!(refused(&mut meta, MetaCommand::DrainStore { store: store(2), draining: true }), too_few);
    meta.apply(MetaCommand::DrainStore { store: store(1), draining: true }).unwrap();
    let before = meta.clone();
    let holds = meta.groups().filter(|group| meta.replica_on(*group, store(1)).is_some()).count();
    assert_eq!(meta.apply(MetaCommand::CountGroups { store: store(1) }), Ok(MetaReply::Groups { count: holds }));
    assert_eq!(meta.apply(MetaCommand::CountGroups { store: store(9) }), Ok(MetaReply::Groups { count: 0 }));
    assert_eq!(meta, before);
}

#[test]
fn one_store_at_a_time_may_restart_until_its_permit_ends_or_is_given_back() {
    let mut meta = created();
    let permit = |number, now, until| MetaCommand::PermitRestart { store: store(number), now, until };
    raises_the_epoch_once(&mut meta, permit(1, 100, 200));
    let taken = MetaError::RestartTaken { store: store(1) };
    assert_eq!(refused(&mut meta, permit(2, 199, 300)), taken);
    raises_the_epoch_once(&mut meta, permit(1, 150, 250));
    assert_eq!(refused(&mut meta, permit(2, 200, 300)), taken);
    raises_the_epoch_once(&mut meta, permit(2, 250, 350));
    // The first store's late word is not about the second one's permit.
    meta.apply(MetaCommand::EndRestart { store: store(1) }).unwrap();
    assert_eq!(meta.restart, Some(RestartPermit { store: store(2), until: 350 }));
    raises_the_epoch_once(&mut meta, MetaCommand::EndRestart { store: store(2) });
    raises_the_epoch_once(&mut meta, permit(3, 0, 1_000));
    meta.apply(MetaCommand::RetireStore { store: store(3) }).unwrap();
    assert_eq!(meta.restart, None);
    assert_eq!(refused(&mut meta, permit(3, 0, 1)), MetaError::NoSuchStore { store: store(3) });
}

#[test]
fn a_retired_store_keeps_its_replicas_in_the_map_and_never_returns() {
    let mut meta = created();
    meta.apply(MetaCommand::DrainStore { store: store(2), draining: true }).unwrap();
    meta.apply(MetaCommand::LocateStore { store: store(2), location: Location::default() }).unwrap();
    raises_the_epoch_once(&mut meta, MetaCommand::RetireStore { store: store(2) });
    assert!(!meta.stores.contains_key(&store(2)) && meta.draining.is_empty() && meta.locations.is_empty());
    assert_eq!(meta.replica_on(GroupId(1), store(2)), Some(replica(5, 2)));
    let back = MetaCommand::RegisterStore { store: store(2), info: info("s:1") };
    assert_eq!(refused(&mut meta, back), MetaError::Retired { store: store(2) });
    assert!(matches!(refused(&mut meta, begin(1, Some(2), None)), MetaError::Invalid { .. }));
}

#[test]
fn a_change_gives_a_new_id_and_ends_with_the_voters_in_their_places() {
    let mut meta = created();
    let new = replica(meta.next_replica.0, 4);
    raises_the_epoch_once(&mut meta, begin(1, Some(4), Some(4)));
    let change = Change { add: Some(new), remove: Some(ReplicaId(4)), cancelled: false };
    assert_eq!(meta.group(GroupId(1)), Some(([replica(4, 1), replica(5, 2)].as_slice(), Some(change))));
    assert_eq!(meta.replica_on(GroupId(1), store(4)), Some(new));
    assert!(!meta.is_removed(GroupId(1), new.id) && !meta.is_removed(GroupId(1), ReplicaId(4)));
    let end = MetaCommand::EndChange { group: GroupId(1), change, voters: vec![replica(5, 2), new] };
    raises_the_epoch_once(&mut meta, end);
    assert_eq!(meta.group(GroupId(1)), Some(([new, replica(5, 2)].as_slice(), None)));
    assert!(meta.is_removed(GroupId(1), ReplicaId(4)) && !meta.is_removed(GroupId(1), new.id));
    assert!(!meta.is_removed(GroupId(1), meta.next_replica), "an id that nobody has yet");
}

#[test]
fn a_cancelled_change_ends_with_the_old_voters_and_its_id_is_not_used_again() {
    let mut meta = created();
    let old = meta.partitions[0].replicas.clone();
    meta.apply(begin(1, Some(4), Some(4))).unwrap();
    let begun = meta.partitions[0].change.unwrap();
    raises_the_epoch_once(&mut meta, MetaCommand::CancelChange { group: GroupId(1) });
    assert!(meta.partitions[0].change.unwrap().cancelled);
    assert!(matches!(refused(&mut meta, begin(1, Some(4), Some(4))), MetaError::Invalid { .. }));
    // The leader may report the change as it was before it was cancelled.
    raises_the_epoch_once(
        &mut meta,
        MetaCommand::EndChange { group: GroupId(1), change: begun, voters: old.iter().rev().copied().collect() },
    );
    assert_eq!(meta.group(GroupId(1)), Some((old.as_slice(), None)));
    assert!(meta.is_removed(GroupId(1), begun.add.unwrap().id));
    meta.apply(begin(1, Some(4), Some(4))).unwrap();
    assert!(meta.partitions[0].change.unwrap().add.unwrap().id > begun.add.unwrap().id);
    let late = MetaCommand::EndChange { group: GroupId(1), change: begun, voters: vec![replica(5, 2)] };
    let before = meta.clone();
    assert_eq!(meta.apply(late), Ok(MetaReply::Done));
    assert_eq!(meta, before, "a report of the change before it ends nothing");
}

#[test]
fn the_meta_group_grows_and_shrinks_by_one() {
    let mut meta = created();
    let new = replica(meta.next_replica.0, 4);
    meta.apply(begin(0, Some(4), None)).unwrap();
    let mut voters = meta.replicas.clone();
    voters.push(new);
    let change = meta.change.unwrap();
    meta.apply(MetaCommand::EndChange { group: GroupId::META, change, voters: voters.clone() }).unwrap();
    assert_eq!((&meta.replicas, meta.change), (&voters, None));
    meta.apply(begin(0, None, Some(1))).unwrap();
    voters.remove(0);
    let change = meta.change.unwrap();
    meta.apply(MetaCommand::EndChange { group: GroupId::META, change, voters: voters.clone() }).unwrap();
    assert_eq!(meta.replicas, voters);
}

#[test]
fn a_change_that_cannot_be_is_refused() {
    let mut meta = created();
    for (command, what) in [
        (begin(9, Some(4), None), "no such group"),
        (begin(2, Some(4), None), "not created"),
        (begin(1, None, None), "nothing to do"),
        (begin(1, Some(7), None), "no such store"),
        (begin(1, Some(2), Some(4)), "the store has one already"),
        (begin(1, Some(4), Some(6)), "another group's replica"),
        (begin(1, None, Some(6)), "another group's replica"),
        (MetaCommand::CancelChange { group: GroupId(9) }, "no such group"),
    ] {
        assert!(matches!(refused(&mut meta, command), MetaError::Invalid { .. }), "{what}");
    }
    meta.apply(begin(1, None, Some(4))).unwrap();
    assert!(matches!(refused(&mut meta, begin(1, None, Some(5))), MetaError::Invalid { .. }), "one at a time");
    let change = meta.partitions[0].change.unwrap();
    for voters in [vec![], vec![replica(5, 2), replica(5, 2)], vec![replica(5, 2), replica(6, 2)], vec![replica(99, 2)]]
    {
        let end = MetaCommand::EndChange { group: GroupId(1), change, voters };
        assert!(matches!(refused(&mut meta, end), MetaError::Invalid { .. }));
    }
    meta.apply(MetaCommand::EndChange { group: GroupId(1), change, voters: vec![replica(5, 2)] }).unwrap();
    assert!(matches!(refused(&mut meta, begin(1, None, Some(5))), MetaError::Invalid { .. }), "the last one");
}

#[test]
fn without_a_cluster_nothing_is_moved_or_retired() {
    let mut meta = Meta::default();
    meta.apply(MetaCommand::RegisterStore { store: store(1), info: info("s:1") }).unwrap();
    for command in [begin(0, Some(1), None), MetaCommand::RetireStore { store: store(1) }] {
        assert_eq!(refused(&mut meta, command), MetaError::NotBootstrapped);
    }
}
