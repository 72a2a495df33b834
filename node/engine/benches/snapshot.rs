//! How fast a partition moves between two stores, and what memory that takes.
//!
//! `cargo bench --workspace --bench snapshot -- [ROWS-IN-MILLIONS [MEMORY-IN-MIB]]`
//!
//! Two partitions hold the rows between them; one of them moves, twice: into an empty store, and
//! again over what is there then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use raftduck_engine::{ApplyBatch, EngineEntry, EntryKind, Store, StoreOptions};
use raftduck_model::{LogId, PartitionId, ReplicaId};
use support::entry;

/// Rows of one entry, close to the 1 MiB that one may have.
const ENTRY_ROWS: i64 = 16_000;

fn open(folder: &Path, memory_mib: u64) -> Store {
    let halt = Arc::new(|reason: &str| panic!("the store halted: {reason}"));
    let options = StoreOptions::new(memory_mib << 20, 2, folder.join("spill"), halt);
    Store::open(&folder.join("rows"), options).unwrap()
}

async fn apply(store: &Store, partition: u32, index: u64) {
    let kind = EntryKind::Command(entry(partition, index, ENTRY_ROWS));
    let id = LogId { term: 1, leader: ReplicaId(1), index };
    let entries = vec![EngineEntry { id, kind, done: None }];
    store.apply(ApplyBatch { partition: PartitionId(partition), entries }).await.unwrap();
}

/// The most that the process has held since it was last asked, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or_default();
    // Linux forgets the peak on a 5.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    kib >> 10
}

fn report(what: &str, rows: i64, began: Instant) {
    let took = began.elapsed();
    let rate = rows as f64 / took.as_secs_f64() / 1e6;
    println!("{what:<32}{:>8.2} s{rate:>8.2} M rows/s{:>8} MiB at most", took.as_secs_f64(), peak_mib());
}

#[tokio::main]
async fn main() {
    let mut arguments = support::arguments();
    let entries = arguments.next().unwrap_or(2) * 1_000_000 / ENTRY_ROWS as u64;
    let memory = arguments.next().unwrap_or(512);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(from.path(), memory);
    let began = Instant::now();
    for index in 1..=entries / 2 + 1 {
        for partition in [1, 2] {
            apply(&store, partition, index).await;
        }
    }
    let moved = entries as i64 / 2 * ENTRY_ROWS;
    report("apply both partitions", moved * 2, began);

    let began = Instant::now();
    let exported = store.export(PartitionId(1)).await.unwrap();
    report("export one", moved, began);
    let files: Vec<_> = std::fs::read_dir(&exported.folder).unwrap().map(|file| file.unwrap()).collect();
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    println!("{} files, {} MiB", files.len(), bytes >> 20);
    store.close();
    drop(store);

    let other = open(to.path(), memory);
    peak_mib();
    for what in ["install into an empty store", "install over the same rows"] {
        let began = Instant::now();
        let before = other.stats().checkpoint_micros;
        other.install(PartitionId(1), &exported.folder).await.unwrap();
        report(what, moved, began);
        println!("  of which checkpoints {:.2} s", (other.stats().checkpoint_micros - before) as f64 / 1e6);
    }
    println!("the file has {} MiB", other.stats().file_bytes >> 20);
    other.close();
}
