//! A store that is killed (SIGKILL) in the middle of a checkpoint under load: what it holds when it
//! is opened again is one point of every partition's log, whole.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::crash::{self, Victim};
use crate::support::*;
use raftduck_engine::{Store, StoreOptions};
use raftduck_model::{CommandBody, KeyDigest, LogIndex, PartitionId};

const PARTITIONS: u32 = 4;
const ROUNDS: u64 = 15;

/// How many rows entry `index` adds: from none to many at once.
fn count(index: u64) -> i64 {
    (index * 7919 % 1_500) as i64
}

fn key(partition: u32, index: u64) -> u128 {
    u128::from(partition) << 64 | u128::from(index)
}

fn first(partition: u32, index: u64) -> i64 {
    i64::from(partition) << 40 | (index as i64) << 12
}

/// The last query of the process that killed this one's predecessor may let go of the file a little after its store is
/// closed.
fn open_busy(folder: &Path) -> Store {
    let patient = Instant::now() + Duration::from_secs(30);
    loop {
        let options = StoreOptions { checkpoint_rows: 20_000, ..options(folder) };
        match Store::open(&folder.join("rows"), options) {
            Ok(store) => return store,
            Err(error) if format!("{error:?}").contains("Could not set lock") && Instant::now() < patient => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// The child: goes on from wherever each partition is, as after a restart the log does, and asks
/// for checkpoints all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_applies_and_checkpoints() {
    let Some(folder) = crash::folder() else { return };
    let store = open_busy(&folder);
    println!("\nopened");
    for partition in 1..=PARTITIONS {
        let store = store.clone();
        tokio::spawn(async move {
            let mut index = store.partition(PartitionId(partition)).applied().index().0 + 1;
            loop {
                let kind = match index {
                    1 => CommandBody::SetSchema(events()),
                    _ => {
                        let rows = rows(first(partition, index), count(index));
                        append(&events(), vec![part(key(partition, index), &rows)])
                    }
                };
                apply(&store, partition, index, command(index, kind)).await;
                index += 1;
            }
        });
    }
    loop {
        println!("checkpoint begins");
        store.checkpoint().await.unwrap();
        println!("checkpoint ends");
    }
}

/// Rows, keys and applied index agree, and are at least at `least`. Returns where the log is.
async fn check(store: &Store, partition: u32, least: u64) -> u64 {
    let state = store.partition(PartitionId(partition));
    let applied = state.applied().index().0;
    assert!(applied >= least, "partition {partition} went back from {least} to {applied}");
    assert_eq!(state.checkpointed().map(|id| id.index).unwrap_or_default(), applied);
    let per_entry = format!(
        "SELECT _idx, count(*), count(DISTINCT _ord), min(_ord), max(_ord), sum(c0), count(c1)
         FROM store.main.t1 WHERE _part = {partition} GROUP BY 1 ORDER BY 1"
    );
    let expected: Vec<_> = (2..=applied)
        .filter(|index| count(*index) > 0)
        .map(|index| {
            let (from, count) = (first(partition, index), count(index));
            let texts = (from..from + count).filter(|key| key % 7 > 0).count();
            let sum = i128::from(from) * i128::from(count) + i128::from(count * (count - 1) / 2);
            format!("{index}|{count}|{count}|0|{}|{sum}|{texts}", count - 1)
        })
        .collect();
    if applied > 0 {
        assert_eq!(text(store, &per_entry, &[]).await, expected, "partition {partition} at {applied}");
    }
    assert_eq!(state.keys() as u64, applied.saturating_sub(1));
    for index in 2..=applied {
        let found = state.key(KeyDigest(key(partition, index))).map(|found| (found.index, i64::from(found.rows)));
        assert_eq!(found, Some((LogIndex(index), count(index))));
    }
    applied
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_keys_and_applied_index_agree_after_a_kill_during_a_checkpoint_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut at = vec![0; PARTITIONS as usize];
    let (mut within, mut moved) = (0, 0);
    for round in 0..ROUNDS {
        let victim = Victim::start("checkpoint_crash::child_that_applies_and_checkpoints", folder.path());
        victim.until("opened");
        let delay = Duration::from_millis(20 + round * 7919 % 600);
        let said = victim.kill_at("never said", delay);
        within += usize::from(said.last().is_some_and(|line| line == "checkpoint begins"));

        let path = folder.path().to_owned();
        let store = Arc::new(tokio::task::spawn_blocking(move || open(&path)).await.unwrap());
        for (partition, at) in (1..).zip(&mut at) {
            let now = check(&store, partition, *at).await;
            moved += usize::from(now > *at);
            *at = now;
        }
        store.close();
    }
    println!("{within} of {ROUNDS} kills came during a checkpoint; partitions are at {at:?}");
    assert!(within >= 3, "only {within} kills came during a checkpoint");
    assert!(moved >= 3, "hardly any checkpoint was ever written");
}
