#![allow(clippy::unwrap_used)]

use raftduck_model::{LogId, StoreId};
use uuid::Uuid;

use super::*;

fn replica(id: u64) -> Replica {
    Replica { id: ReplicaId(id), store: StoreId(Uuid::from_u128(id.into())) }
}

fn members(voters: &[u64], learners: &[u64]) -> Members {
    Members {
        at: Some(LogId { term: 1, leader: ReplicaId(1), index: 9 }),
        committed: true,
        voters: voters.iter().copied().map(replica).collect(),
        learners: learners.iter().copied().map(replica).collect(),
        joint: false,
    }
}

fn follower(id: u64, matched: Option<u64>, silent_millis: Option<u64>) -> Follower {
    Follower { replica: replica(id), matched: matched.map(LogIndex), silent_millis }
}

fn change(add: Option<u64>, remove: Option<u64>) -> Change {
    Change { add: add.map(replica), remove: remove.map(ReplicaId), cancelled: false }
}

/// What replica 1 does as leader at index 1,000.
fn leader(change: Change, members: &Members, followers: &[Follower]) -> Next {
    next(&change, Seen { me: ReplicaId(1), members, followers, last: Some(LogIndex(1_000)) })
}

fn voters(ids: &[u64]) -> Next {
    Next::Step(MemberStep::SetVoters(ids.iter().copied().map(ReplicaId).collect()))
}

#[test]
fn a_replica_copies_then_votes_while_another_goes_and_only_then_is_it_told() {
    let swap = change(Some(4), Some(3));
    assert_eq!(leader(swap, &members(&[1, 2, 3], &[]), &[]), Next::Step(MemberStep::AddLearner(replica(4))));
    let copying = members(&[1, 2, 3], &[4]);
    for far in [
        vec![],
        vec![follower(4, None, Some(0))],
        vec![follower(4, Some(1_000 - CLOSE - 1), Some(0))],
        vec![follower(4, Some(1_000), None)],
        vec![follower(4, Some(1_000), Some(RECENT_MILLIS))],
    ] {
        assert_eq!(leader(swap, &copying, &far), Next::Wait, "{far:?}");
    }
    let near = [follower(4, Some(1_000 - CLOSE), Some(0))];
    assert_eq!(leader(swap, &copying, &near), voters(&[1, 2, 4]));
    let between = Members { joint: true, ..members(&[1, 2, 3, 4], &[]) };
    assert_eq!(leader(swap, &between, &[]), voters(&[1, 2, 4]));
    let done = members(&[1, 2, 4], &[]);
    assert_eq!(leader(swap, &done, &[]), Next::Report([1, 2, 4].map(replica).to_vec()));
    assert_eq!(leader(swap, &Members { committed: false, ..done }, &[]), Next::Wait);
}

#[test]
fn a_leader_that_is_to_go_hands_over_to_the_furthest_that_answers() {
    let swap = change(Some(4), Some(1));
    let followers =
        [follower(2, Some(900), Some(10)), follower(3, Some(950), Some(5_000)), follower(4, Some(999), Some(0))];
    assert_eq!(leader(swap, &members(&[1, 2, 3], &[4]), &followers), Next::HandOver(ReplicaId(2)));
    assert_eq!(leader(swap, &members(&[1, 2, 3], &[4]), &followers[1..]), Next::Wait);
}

#[test]
fn a_change_that_is_cancelled_goes_back_until_the_votes_have_changed() {
    let cancelled = Change { cancelled: true, ..change(Some(4), Some(3)) };
    let old = Next::Report([1, 2, 3].map(replica).to_vec());
    assert_eq!(leader(cancelled, &members(&[1, 2, 3], &[]), &[]), old);
    let copying = members(&[1, 2, 3], &[4]);
    assert_eq!(leader(cancelled, &copying, &[]), Next::Step(MemberStep::RemoveLearner(ReplicaId(4))));
    let between = Members { joint: true, ..members(&[1, 2, 3, 4], &[]) };
    assert_eq!(leader(cancelled, &between, &[]), voters(&[1, 2, 4]));
    assert_eq!(leader(cancelled, &members(&[1, 2, 4], &[]), &[]), Next::Report([1, 2, 4].map(replica).to_vec()));
}

#[test]
fn a_group_grows_and_shrinks_too() {
    let grow = change(Some(4), None);
    assert_eq!(leader(grow, &members(&[1, 2, 3], &[4]), &[follower(4, Some(1_000), Some(0))]), voters(&[1, 2, 3, 4]));
    assert_eq!(leader(grow, &members(&[1, 2, 3, 4], &[]), &[]), Next::Report([1, 2, 3, 4].map(replica).to_vec()));
    let shrink = change(None, Some(2));
    assert_eq!(leader(shrink, &members(&[1, 2, 3], &[]), &[]), voters(&[1, 3]));
    let cancelled = Change { cancelled: true, ..shrink };
    assert_eq!(leader(cancelled, &members(&[1, 2, 3], &[]), &[]), Next::Report([1, 2, 3].map(replica).to_vec()));
}
