//! Three stores over loopback: elections, writes, a store that goes and comes back, transfers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::cluster::{Cluster, PATIENCE, replica, until};
use futures::future::join_all;
use raftduck_consensus::group::COMMAND_BYTES;
use raftduck_consensus::{InitializeError, OpenError, ProposeError, ReadError, Role, TransferError};
use raftduck_model::{GroupId, ReplicaId};
use tokio::time::timeout;

const GROUPS: u32 = 12;

/// Writes `count` commands to each group, many at a time, and waits for all of them.
async fn write_many(cluster: &Cluster, count: u32, round: u32) {
    join_all((1..=GROUPS).map(GroupId).map(|group| async move {
        let leader = cluster.leader(group).await;
        let handle = cluster.group(leader, group);
        let mut proposals: Vec<_> =
            (0..count).map(|number| handle.propose(format!("{group}/{round}/{number}"))).collect();
        let mut lost = 0;
        for proposal in &mut proposals {
            let applied = timeout(PATIENCE, proposal.applied()).await.expect("an outcome in time");
            lost += u32::from(applied.is_err());
        }
        // A leader may change under a busy machine; what it did not take is written again.
        for number in 0..lost {
            cluster.write(group, format!("{group}/{round}/again/{number}").as_bytes()).await;
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_was_away_catches_up_from_its_log_and_its_peers() {
    let mut cluster = Cluster::start(GROUPS).await;
    write_many(&cluster, 400, 1).await;
    cluster.stop(3).await;
    write_many(&cluster, 400, 2).await;
    cluster.open(3, GROUPS).await;
    write_many(&cluster, 50, 3).await;
    for group in (1..=GROUPS).map(GroupId) {
        let state = cluster.settled(group).await;
        assert!(state.commands >= 850, "{group} has {} commands", state.commands);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_stores_at_once_restart_with_everything_that_was_acknowledged() {
    let mut cluster = Cluster::start(3).await;
    let groups: Vec<GroupId> = (1..=3).map(GroupId).collect();
    for group in &groups {
        for number in 0..20 {
            cluster.write(*group, format!("{number}").as_bytes()).await;
        }
    }
    let before: Vec<u64> =
        join_all(groups.iter().map(|group| cluster.settled(*group))).await.iter().map(|state| state.digest).collect();
    for number in 1..=3 {
        cluster.stop(number).await;
    }
    for number in 1..=3 {
        cluster.open(number, 3).await;
    }
    let after: Vec<u64> =
        join_all(groups.iter().map(|group| cluster.settled(*group))).await.iter().map(|state| state.digest).collect();
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_hands_over_to_the_voter_it_is_told() {
    let group = GroupId(1);
    let cluster = Cluster::start(1).await;
    for _ in 0..3 {
        let leader = cluster.leader(group).await;
        let next = 1 + leader % 3;
        let to = replica(group, next).id;
        cluster.write(group, b"before").await;
        let handle = cluster.group(leader, group);
        assert_eq!(handle.transfer_leader(ReplicaId(999)).await, Err(TransferError::NotVoter(ReplicaId(999))));
        handle.transfer_leader(to).await.unwrap();
        until(&cluster.group(next, group), "the next leader leads", |status| status.role == Role::Leader).await;
        let follower = cluster.group(leader, group);
        until(&follower, "the old leader follows", |status| status.leader.is_some_and(|(leader, _)| leader == to))
            .await;
        assert_eq!(follower.transfer_leader(to).await, Err(TransferError::NotLeader));
        cluster.write(group, b"after").await;
    }
    assert_eq!(cluster.settled(group).await.commands, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_names_the_leader_and_takes_no_writes() {
    let group = GroupId(1);
    let cluster = Cluster::start(1).await;
    let leader = cluster.leader(group).await;
    let follower = cluster.group(1 + leader % 3, group);
    let expected = replica(group, leader);
    until(&follower, "it knows its leader", |status| status.leader == Some((expected.id, expected.store))).await;
    let named = Some((expected.id, expected.store));
    assert_eq!(follower.propose(b"x").committed().await, Err(ProposeError::NotLeader { leader: named }));
    assert_eq!(follower.read_index().await, Err(ReadError::NotLeader { leader: named }));
    let handle = cluster.group(leader, group);
    let too_large = vec![0; COMMAND_BYTES + 1];
    assert!(matches!(handle.propose(&too_large).committed().await, Err(ProposeError::TooLarge { .. })));
    let members = (1..=3).map(|number| replica(group, number)).collect();
    assert_eq!(handle.initialize(members).await, Err(InitializeError::Already));
    let again = cluster.nodes[&leader].host.open(group, expected.id, cluster.machine(leader, group)).await;
    assert!(matches!(again, Err(OpenError::Already(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn entries_as_large_as_they_may_be_get_to_every_replica() {
    let group = GroupId(1);
    let cluster = Cluster::start(1).await;
    let leader = cluster.leader(group).await;
    let handle = cluster.group(leader, group);
    let mut proposals: Vec<_> = (0..12u8).map(|number| handle.propose(vec![number; COMMAND_BYTES])).collect();
    for proposal in &mut proposals {
        timeout(PATIENCE, proposal.applied()).await.expect("in time").unwrap();
    }
    assert_eq!(cluster.settled(group).await.commands, 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_quorum_nothing_is_acknowledged_and_all_goes_on_when_it_is_back() {
    let group = GroupId(1);
    let mut cluster = Cluster::start(1).await;
    cluster.write(group, b"before").await;
    let leader = cluster.leader(group).await;
    let others: Vec<usize> = (1..=3).filter(|number| *number != leader).collect();
    for number in &others {
        cluster.stop(*number).await;
    }
    let handle = cluster.group(leader, group);
    let mut proposal = handle.propose(b"alone");
    let early = timeout(Duration::from_secs(2), proposal.committed()).await;
    assert!(!matches!(early, Ok(Ok(_))), "one of three acknowledged a write");
    assert!(matches!(
        timeout(PATIENCE, handle.read_index()).await,
        Ok(Err(ReadError::NoQuorum | ReadError::NotLeader { .. }))
    ));
    for number in &others {
        cluster.open(*number, 1).await;
    }
    cluster.write(group, b"after").await;
    assert!(cluster.settled(group).await.commands >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_without_room_votes_but_takes_no_entries() {
    let group = GroupId(1);
    let mut cluster = Cluster::start(1).await;
    let leader = cluster.leader(group).await;
    let full = 1 + leader % 3;
    cluster.nodes[&full].accepts.store(false, Ordering::Relaxed);
    let wrote = cluster.write(group, b"while it is full").await;
    let lagging = cluster.group(full, group);
    assert!(lagging.applied() < Some(wrote), "it took an entry");
    // With its vote alone the third store keeps its quorum.
    until(&cluster.group(leader, group), "the leader sees that it lags", |status| status.greatest_lag() > 0).await;
    cluster.nodes[&full].accepts.store(true, Ordering::Relaxed);
    timeout(PATIENCE, lagging.wait_applied(wrote)).await.expect("it catches up").unwrap();
    cluster.settled(group).await;
    cluster.stop(leader).await;
    cluster.write(group, b"with its vote").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_whose_state_machine_fails_says_so_and_stops_and_the_others_go_on() {
    let group = GroupId(1);
    let mut cluster = Cluster::start(1).await;
    cluster.write(group, b"before").await;
    cluster.settled(group).await;
    let broken = cluster.leader(group).await;
    let handle = cluster.group(broken, group);
    cluster.machine(broken, group).broken.store(true, Ordering::Relaxed);
    let wrote = cluster.write(group, b"fatal").await;
    let halted = until(&handle, "it halts", |status| status.halted.is_some()).await;
    assert!(halted.halted.unwrap().contains("the disk gave up"));
    assert_ne!(halted.role, Role::Leader);
    assert!(timeout(PATIENCE, handle.wait_applied(wrote)).await.expect("in time").is_err());
    let kept = cluster.stop(broken).await;
    cluster.write(group, b"after").await;
    // What was acknowledged is applied once the reason has gone.
    kept.values().for_each(|machine| machine.broken.store(false, Ordering::Relaxed));
    cluster.open_with(broken, 1, kept).await;
    // A write that met a leader's end may be there twice.
    assert!(cluster.settled(group).await.commands >= 3);
}
