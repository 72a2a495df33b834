//! Prints proposals per second of three stores in one process, over loopback and real logs:
//! `cargo bench -p raftduck-consensus --bench proposals -- [groups clients bytes]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/suite/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::cluster::Cluster;
use raftduck_consensus::Timing;
use raftduck_model::GroupId;

const SECONDS: u64 = 4;

async fn measure(cluster: &Cluster, groups: u32, clients: usize, bytes: usize) {
    let mut leaders = vec![];
    for group in (1..=groups).map(GroupId) {
        let leader = cluster.leader(group).await;
        leaders.push(cluster.group(leader, group));
    }
    let (done, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let before: u64 = cluster.nodes.values().map(|node| node.wal.stats().syncs).sum();
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (group, done, failed) = (leaders[client % leaders.len()].clone(), done.clone(), failed.clone());
            tokio::spawn(async move {
                let command = vec![client as u8; bytes];
                let mut took = vec![];
                while Instant::now() < end {
                    let began = Instant::now();
                    match group.propose(&command).committed().await {
                        Ok(_) => done.fetch_add(1, Ordering::Relaxed),
                        Err(_) => failed.fetch_add(1, Ordering::Relaxed),
                    };
                    took.push(began.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = vec![];
    for task in tasks {
        took.extend(task.await.unwrap());
    }
    took.sort();
    let at = |part: usize| took.get(took.len() * part / 100).copied().unwrap_or_default();
    let done = done.load(Ordering::Relaxed);
    let syncs: u64 = cluster.nodes.values().map(|node| node.wal.stats().syncs).sum::<u64>() - before;
    println!(
        "{groups:>3} groups {clients:>4} clients {bytes:>8} B: {:>7}/s  median {:.2?}  p99 {:.2?}  failed {}  \
         {:.2} syncs a proposal on all three stores",
        done / SECONDS,
        at(50),
        at(99),
        failed.load(Ordering::Relaxed),
        syncs as f64 / done.max(1) as f64,
    );
}

#[tokio::main]
async fn main() {
    // `cargo bench` adds that word.
    let given: Vec<usize> =
        std::env::args().skip(1).filter(|word| word != "--bench").map(|word| word.parse().expect("a number")).collect();
    if let [groups, clients, bytes] = given[..] {
        let cluster = Cluster::start_with(groups as u32, Timing::default()).await;
        return measure(&cluster, groups as u32, clients, bytes).await;
    }
    for groups in [1, 12] {
        let cluster = Cluster::start_with(groups, Timing::default()).await;
        for (clients, bytes) in [(1, 256), (64, 256), (1000, 256), (8, 1 << 20)] {
            measure(&cluster, groups, clients, bytes).await;
        }
    }
}
