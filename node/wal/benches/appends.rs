//! Prints what the log takes: appends that wait until they are durable, and how long opening lasts.
//! `cargo bench -p raftduck-wal --bench appends -- [folder]`; the folder says which disk.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use raftduck_model::{GroupId, LogId, ReplicaId};
use raftduck_wal::{Entry, Options, RealDisk, Wal, abort_process};

const SECONDS: u64 = 3;

fn open(folder: &Path) -> Wal {
    Wal::open(Arc::new(RealDisk), folder, Options::default(), abort_process()).unwrap()
}

/// Appends and waits, one entry after the other, and says how long each took.
fn append(wal: &Wal, group: GroupId, bytes: usize, until: Instant) -> Vec<Duration> {
    let log = wal.group(group);
    let payload = vec![group.0 as u8; bytes];
    let mut took = Vec::new();
    for index in 1.. {
        let began = Instant::now();
        if began >= until {
            break;
        }
        let id = LogId { term: 1, leader: ReplicaId(1), index };
        let (sender, durable) = mpsc::channel();
        let done = Box::new(move || sender.send(()).unwrap_or_default());
        log.append(vec![Entry { id, payload: payload.clone().into() }], done);
        durable.recv().unwrap();
        took.push(began.elapsed());
        if index % 64 == 0 {
            log.purge(LogId { index: index - 32, ..id });
        }
    }
    took
}

fn measure(folder: &Path, groups: u32, bytes: usize) {
    let wal = open(folder);
    let until = Instant::now() + Duration::from_secs(SECONDS);
    let threads: Vec<_> = (1..=groups)
        .map(|group| {
            let wal = wal.clone();
            thread::spawn(move || append(&wal, GroupId(group), bytes, until))
        })
        .collect();
    let mut took: Vec<Duration> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    took.sort();
    let at = |part: usize| took.get(took.len() * part / 100).copied().unwrap_or_default();
    let stats = wal.stats();
    println!(
        "{groups:>4} groups {bytes:>8} B: {:>7} appends/s {:>6.1} MB/s  median {:.2?}  p99 {:.2?}  {:.3} syncs an append",
        took.len() as u64 / SECONDS,
        (took.len() * bytes) as f64 / 1e6 / SECONDS as f64,
        at(50),
        at(99),
        stats.syncs as f64 / took.len().max(1) as f64,
    );
}

fn main() {
    // `cargo bench` adds that word.
    let place = std::env::args().skip(1).find(|word| word != "--bench").map_or_else(std::env::temp_dir, Into::into);
    for (groups, bytes) in [(1, 256), (12, 256), (64, 256), (512, 256), (1, 1 << 20), (8, 1 << 20)] {
        let folder = tempfile::tempdir_in(&place).unwrap();
        measure(folder.path(), groups, bytes);
    }
    let folder = tempfile::tempdir_in(&place).unwrap();
    let wal = open(folder.path());
    let (sender, durable) = mpsc::channel();
    for number in 0..400_000_u32 {
        let id = LogId { term: 1, leader: ReplicaId(1), index: u64::from(number / 12) };
        let entry = Entry { id, payload: vec![7; 1024].into() };
        let sender = sender.clone();
        let done = Box::new(move || sender.send(()).unwrap_or_default());
        wal.group(GroupId(number % 12)).append(vec![entry], done);
    }
    drop(sender);
    durable.iter().for_each(drop);
    let bytes = wal.stats().disk_bytes;
    wal.close();
    let began = Instant::now();
    let entries = open(folder.path()).stats().entries;
    println!("opening {entries} entries in {} MB took {:.2?}", bytes / 1_000_000, began.elapsed());
}
