//! Replicas that come to a group and go, while it is written to.

use std::collections::BTreeSet;

use crate::common::cluster::{Cluster, PATIENCE, replica, timing};
use raftduck_consensus::{ChangeError, Group, MemberStep, Members, Status};
use raftduck_model::{GroupId, LogIndex, ReplicaId};
use tokio::time::timeout;

const GROUP: GroupId = GroupId(1);

fn ids(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<ReplicaId> {
    numbers.into_iter().map(|number| replica(GROUP, number).id).collect()
}

fn voters(members: &Members) -> BTreeSet<ReplicaId> {
    members.voters.iter().map(|voter| voter.id).collect()
}

/// The members, once the last change of them is known to be committed.
async fn committed(group: &Group) -> Members {
    let mut status = group.status();
    let seen = async {
        while !group.members().committed {
            status.changed().await.unwrap();
        }
        group.members()
    };
    timeout(PATIENCE, seen).await.expect("a membership is committed")
}

async fn until(group: &Group, what: impl Fn(&Status) -> bool) {
    timeout(PATIENCE, group.status().wait_for(what)).await.expect("it comes in time").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_copies_gets_its_vote_as_another_goes_and_counts_from_then_on() {
    let mut cluster = Cluster::start_with(1, timing()).await;
    for number in 0..50_u8 {
        cluster.write(GROUP, &[number]).await;
    }
    let leader = cluster.leader(GROUP).await;
    let gone = 1 + leader % 3;
    let stays = 6 - leader - gone;
    let group = cluster.group(leader, GROUP);
    // The store that comes is not there yet: its replica is a learner all the same.
    group.change_members(&committed(&group).await, MemberStep::AddLearner(replica(GROUP, 4))).await.unwrap();
    assert!(committed(&group).await.learns(replica(GROUP, 4).id));
    cluster.open(4, 1).await;
    let last = cluster.write(GROUP, b"after").await;
    let caught_up = |status: &Status| {
        let copy = status.followers.iter().find(|follower| follower.replica == replica(GROUP, 4));
        copy.is_some_and(|copy| copy.matched >= Some(last) && copy.silent_millis.is_some())
    };
    until(&group, caught_up).await;
    let swap = MemberStep::SetVoters(ids([leader, stays, 4]));
    group.change_members(&committed(&group).await, swap.clone()).await.unwrap();
    let members = committed(&group).await;
    assert_eq!((voters(&members), members.learners.len(), members.joint), (ids([leader, stays, 4]), 0, false));
    // Taken again from what it led to, it changes nothing.
    group.change_members(&members, swap).await.unwrap();
    assert_eq!(voters(&committed(&group).await), ids([leader, stays, 4]));
    // A quorum without the one that went and without one that stayed.
    cluster.stop(gone).await;
    cluster.stop(stays).await;
    cluster.write(GROUP, b"on two of the new three").await;
    let state = cluster.settled(GROUP).await;
    assert_eq!(state.commands, 52, "{state:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_step_from_members_that_have_changed_is_not_taken() {
    let mut cluster = Cluster::start_with(1, timing()).await;
    cluster.open(4, 1).await;
    let leader = cluster.leader(GROUP).await;
    let group = cluster.group(leader, GROUP);
    let old = committed(&group).await;
    group.change_members(&old, MemberStep::AddLearner(replica(GROUP, 4))).await.unwrap();
    let late = group.change_members(&old, MemberStep::SetVoters(ids(1..=2))).await;
    assert_eq!(late, Err(ChangeError::Superseded));
    let members = committed(&group).await;
    assert_eq!((voters(&members), members.learners.len()), (ids(1..=3), 1));

    let follower = cluster.group(1 + leader % 3, GROUP);
    let elsewhere = follower.change_members(&follower.members(), MemberStep::SetVoters(ids(1..=2))).await;
    assert_eq!(elsewhere, Err(ChangeError::NotLeader));
    let unknown = group.change_members(&members, MemberStep::SetVoters(ids(1..=5))).await;
    assert!(matches!(unknown, Err(ChangeError::Refused(_))), "{unknown:?}");
    group.change_members(&members, MemberStep::RemoveLearner(replica(GROUP, 4).id)).await.unwrap();
    assert_eq!(committed(&group).await.learners, []);
    let wrote: LogIndex = cluster.write(GROUP, b"and goes on").await;
    timeout(PATIENCE, group.wait_applied(wrote)).await.unwrap().unwrap();
}
