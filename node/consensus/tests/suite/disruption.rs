//! Replicas that hear nothing, that know more than their log, and leaders that hand over badly.

use std::sync::Arc;

use crate::common::cluster::{Cluster, PATIENCE, patient, replica, timing, until};
use raftduck_consensus::{ProposeError, Role};
use raftduck_model::GroupId;
use raftduck_wal::{Options, RealDisk, Wal, abort_process};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_hears_nobody_and_is_heard_unseats_no_leader() {
    let group = GroupId(1);
    let (cluster, proxies) = Cluster::start_behind_proxies(1, patient()).await;
    cluster.write(group, b"before").await;
    cluster.settled(group).await;
    let leader = cluster.leader(group).await;
    let deaf = 1 + leader % 3;
    let term = cluster.group(leader, group).status().borrow().term;
    proxies[&deaf].carries.send_replace(false);
    // Time for it to ask for votes a few times, which nobody keeps it from.
    let enough = 4 * patient().election_max.as_millis() as u64;
    let silent = |status: &raftduck_consensus::Status| {
        let deaf = replica(group, deaf);
        status.followers.iter().any(|other| other.replica == deaf && other.silent_millis.is_some_and(|ms| ms > enough))
    };
    let handle = cluster.group(leader, group);
    timeout(PATIENCE, async {
        while !silent(&handle.status().borrow()) {
            // Each write moves the status.
            cluster.write(group, b"meanwhile").await;
        }
    })
    .await
    .expect("the leader notices");
    let terms = |cluster: &Cluster| cluster.statuses(group).iter().map(|status| status.term).collect::<Vec<_>>();
    assert_eq!(terms(&cluster), [term; 3], "it did not even raise its own term");
    proxies[&deaf].carries.send_replace(true);
    let wrote = cluster.write(group, b"after").await;
    timeout(PATIENCE, cluster.group(deaf, group).wait_applied(wrote)).await.expect("it catches up").unwrap();
    cluster.settled(group).await;
    assert_eq!(cluster.leader(group).await, leader);
    assert_eq!(terms(&cluster), [term; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_groups_share_one_connection_per_peer_and_class() {
    const GROUPS: u32 = 24;
    let (cluster, proxies) = Cluster::start_behind_proxies(GROUPS, timing()).await;
    for group in (1..=GROUPS).map(GroupId) {
        cluster.write(group, b"something").await;
        cluster.settled(group).await;
    }
    for (number, proxy) in &proxies {
        // Votes and heartbeats, and entries; from two peers.
        assert!(proxy.connections() <= 4, "store {number} has {} connections", proxy.connections());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_that_is_told_to_hand_over_to_itself_goes_on() {
    let group = GroupId(1);
    let cluster = Cluster::start_with(1, patient()).await;
    cluster.write(group, b"before").await;
    let leader = cluster.leader(group).await;
    let handle = cluster.group(leader, group);
    let term = handle.status().borrow().term;
    handle.transfer_leader(handle.replica()).await.unwrap();
    handle.propose(b"at once").applied().await.unwrap();
    let status = handle.status().borrow().clone();
    assert_eq!((status.role, status.term), (Role::Leader, term));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_that_hands_over_to_a_dead_store_is_followed_by_another_one() {
    let group = GroupId(1);
    let mut cluster = Cluster::start(1).await;
    cluster.write(group, b"before").await;
    let leader = cluster.leader(group).await;
    let dead = 1 + leader % 3;
    cluster.stop(dead).await;
    let handle = cluster.group(leader, group);
    let term = handle.status().borrow().term;
    handle.transfer_leader(replica(group, dead).id).await.unwrap();
    cluster.write(group, b"after").await;
    until(&handle, "there was an election", |status| status.term > term).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_state_machine_that_is_ahead_of_its_log_goes_on_from_there() {
    let group = GroupId(1);
    let mut cluster = Cluster::start(1).await;
    for number in 0..20 {
        cluster.write(group, format!("{number}").as_bytes()).await;
    }
    cluster.settled(group).await;
    let behind = 1 + cluster.leader(group).await % 3;
    let kept = cluster.stop(behind).await;
    // A power cut may take the log's last entries, while others have them and these were applied.
    let options = Options { segment_bytes: 16 << 20, ..Options::default() };
    let folder = cluster.path(behind, "log");
    let wal = Wal::open(Arc::new(RealDisk), &folder, options, abort_process()).unwrap();
    let log = wal.group(group);
    let last = log.state().last.unwrap();
    let earlier = log.read(0, last.index - 4, usize::MAX).unwrap().pop().unwrap().id;
    log.truncate_after(Some(earlier));
    wal.close();
    drop(log);
    cluster.open_with(behind, 1, kept).await;
    cluster.write(group, b"after").await;
    assert_eq!(cluster.settled(group).await.commands, 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_told_that_a_command_was_not_proposed_which_may_yet_be_committed() {
    let group = GroupId(1);
    let (cluster, proxies) = Cluster::start_behind_proxies(1, patient()).await;
    cluster.write(group, b"before").await;
    let leader = cluster.leader(group).await;
    let handle = cluster.group(leader, group);
    let before = handle.status().borrow().last;
    proxies.iter().filter(|(number, _)| **number != leader).for_each(|(_, proxy)| {
        proxy.carries.send_replace(false);
    });
    let mut proposal = handle.propose(b"in its log only");
    until(&handle, "it is in the leader's log", |status| status.last > before).await;
    cluster.nodes[&leader].host.close(group).await;
    let outcome = timeout(PATIENCE, proposal.committed()).await.expect("an outcome");
    assert_eq!(outcome, Err(ProposeError::Unknown));
    assert_eq!(proposal.applied().await, Err(ProposeError::Unknown), "also when asked again");
}
