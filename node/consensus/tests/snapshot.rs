//! A follower behind a purged log, and a network that damages what it carries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::cluster::{Cluster, PATIENCE, store, until};
use common::machine::MARK;
use raftduck_model::GroupId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A proxy to `target` that flips a bit a little behind [`MARK`], the first `times` it comes by.
async fn damaging_proxy(target: String, times: u32, damaged: Arc<AtomicU32>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(&target).await else { continue };
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let damaged = damaged.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 256 << 10];
                loop {
                    let read = match from_client.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => read,
                    };
                    let bytes = &mut buffer[..read];
                    let mark = bytes.windows(MARK.len()).position(|window| window == MARK);
                    if let Some(byte) = mark.and_then(|at| bytes.get_mut(at + MARK.len() + 1))
                        && damaged.load(Ordering::Relaxed) < times
                    {
                        damaged.fetch_add(1, Ordering::Relaxed);
                        *byte ^= 1;
                    }
                    if to_server.write_all(bytes).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_behind_a_purged_log_gets_a_snapshot_and_no_damaged_one() {
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
        cluster.machine(*number, group).ballast.store(3 << 20, Ordering::Relaxed);
        timeout(PATIENCE, cluster.group(*number, group).wait_applied(purged)).await.expect("in time").unwrap();
        timeout(PATIENCE, cluster.group(*number, group).purge(purged)).await.expect("in time").unwrap();
        until(&cluster.group(*number, group), "the log is purged", |status| status.purged == Some(purged)).await;
    }

    cluster.open_with(away, 1, machines).await;
    let direct = cluster.book.0.lock()[&store(away)].clone();
    let damaged = Arc::new(AtomicU32::new(0));
    let proxy = damaging_proxy(direct, 2, damaged.clone()).await;
    cluster.book.0.lock().insert(store(away), proxy);
    // The connections of before the detour must go: another store would still use them.
    let others: Vec<usize> = cluster.nodes.keys().copied().filter(|number| *number != away).collect();
    for number in others {
        let kept = cluster.stop(number).await;
        kept.values().for_each(|machine| machine.ballast.store(3 << 20, Ordering::Relaxed));
        cluster.open_with(number, 1, kept).await;
    }
    cluster.write(group, b"after").await;
    let state = cluster.settled(group).await;
    assert_eq!(state.commands, 53);
    let machine = cluster.machine(away, group);
    assert_eq!(machine.installed.load(Ordering::Relaxed), 1, "one snapshot was installed");
    assert_eq!(damaged.load(Ordering::Relaxed), 2, "two others were damaged on their way");

    // What was installed survives a restart, as does the purge behind it.
    let kept: HashMap<_, _> = cluster.stop(away).await;
    cluster.open_with(away, 1, kept).await;
    cluster.write(group, b"and on").await;
    assert_eq!(cluster.settled(group).await.commands, 54);
}
