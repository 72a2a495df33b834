//! A follower behind a purged log, and a network that damages what it carries.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::common::cluster::{Cluster, PATIENCE, until};
use crate::common::proxy::Fault;
use raftduck_model::GroupId;
use tokio::time::timeout;

/// A snapshot's bytes besides the state.
const BALLAST: usize = 5 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_behind_a_purged_log_gets_a_snapshot_and_no_damaged_or_half_one() {
    let group = GroupId(1);
    let mut cluster = Cluster::start(1).await;
    let leader = cluster.leader(group).await;
    let away = 1 + leader % 3;
    cluster.write(group, b"first").await;
    cluster.settled(group).await;
    let machines = cluster.stop(away).await;

    for number in 0..50 {
        cluster.write(group, format!("{number}").as_bytes()).await;
    }
    let purged = cluster.write(group, b"last before the purge").await;
    for number in cluster.nodes.keys() {
        cluster.machine(*number, group).ballast.store(BALLAST, Ordering::Relaxed);
        timeout(PATIENCE, cluster.group(*number, group).wait_applied(purged)).await.expect("in time").unwrap();
        timeout(PATIENCE, cluster.group(*number, group).purge(purged)).await.expect("in time").unwrap();
        until(&cluster.group(*number, group), "the log is purged", |status| status.purged == Some(purged)).await;
    }

    cluster.open_with(away, 1, machines).await;
    let proxy = cluster.detour(away).await;
    proxy.fail(&[Fault::Flip, Fault::Cut, Fault::Flip, Fault::Cut]);
    // The connections of before the detour must go: another store would still use them.
    let others: Vec<usize> = cluster.nodes.keys().copied().filter(|number| *number != away).collect();
    for number in others {
        let kept = cluster.stop(number).await;
        kept.values().for_each(|machine| machine.ballast.store(BALLAST, Ordering::Relaxed));
        cluster.open_with(number, 1, kept).await;
    }
    cluster.write(group, b"after").await;
    let state = cluster.settled(group).await;
    assert_eq!(state.commands, 53);
    let machine = cluster.machine(away, group);
    assert_eq!(machine.installed.load(Ordering::Relaxed), 1, "one snapshot was installed");
    assert!(proxy.has_failed(), "four others were damaged or cut short on their way");
    let left = || std::fs::read_dir(cluster.path(away, "incoming")).map_or(0, |files| files.count());
    timeout(PATIENCE, async {
        while left() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("nothing of them is left");

    // What was installed survives a restart, as does the purge behind it.
    let kept: HashMap<_, _> = cluster.stop(away).await;
    cluster.open_with(away, 1, kept).await;
    cluster.write(group, b"and on").await;
    assert_eq!(cluster.settled(group).await.commands, 54);
}
