//! Openraft's conformance suite over the real log, one group of it for each of its tests.
#![allow(clippy::unwrap_used)]

#[path = "../tests/suite/common/machine.rs"]
mod machine;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use openraft::storage::{IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::{Entry as RaftEntry, EntryPayload, RaftLogReader, StorageError};
use raftduck_model::{GroupId, LogId, ReplicaId};
use raftduck_wal::{Options, RealDisk, Wal, abort_process};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::applier::Applier;
use crate::counters::Counters;
use crate::storage::LogStore;
use crate::types::{Command, Types, Vote, from_raft, to_raft};
use machine::MemoryMachine;

struct Builder {
    wal: Wal,
    folder: TempDir,
    next: AtomicU32,
}

fn open(folder: &TempDir) -> Wal {
    Wal::open(Arc::new(RealDisk), &folder.path().join("log"), Options::default(), abort_process()).unwrap()
}

impl StoreBuilder<Types, LogStore, Applier> for Builder {
    async fn build(&self) -> Result<((), LogStore, Applier), StorageError<Types>> {
        let group = GroupId(self.next.fetch_add(1, Ordering::Relaxed));
        let machine = Arc::new(MemoryMachine::lax(&self.folder.path().join(format!("machine-{group}"))));
        // The suite applies what it never appended.
        let everything = LogId { term: u64::MAX, leader: ReplicaId(u64::MAX), index: u64::MAX };
        let (_, durable) = watch::channel(Some(everything));
        let (applier, _, _) = Applier::start(machine, Arc::new(Counters::default()), durable).await.unwrap();
        Ok(((), LogStore::new(self.wal.group(group)), applier))
    }
}

#[test]
fn the_store_conforms_to_openrafts_suite() {
    let folder = tempfile::tempdir().unwrap();
    let wal = open(&folder);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(Suite::test_all(Builder { wal, folder, next: AtomicU32::new(1) })).unwrap();
}

fn entry(
    term: u64,
    index: u64,
    data: &[u8],
) -> RaftEntry<crate::types::LeaderId, EntryPayload<Command, u64, crate::types::Node>> {
    let id = LogId { term, leader: ReplicaId(1), index };
    RaftEntry { log_id: to_raft(id), payload: EntryPayload::Normal(Command::new(data)) }
}

#[tokio::test]
async fn a_reopened_log_has_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let vote: Vote = openraft::Vote::new_committed(3, 1);
    {
        let wal = open(&folder);
        let mut log = LogStore::new(wal.group(GroupId(7)));
        log.save_vote(&vote).await.unwrap();
        let (flushed, done) = Types::oneshot();
        let entries: Vec<_> = (0..10).map(|index| entry(3, index, &[index as u8; 100])).collect();
        log.append(entries, IOFlushed::signal(flushed)).await.unwrap();
        done.await.unwrap().unwrap();
        log.truncate_after(Some(entry(3, 7, b"").log_id)).await.unwrap();
        log.purge(entry(3, 2, b"").log_id).await.unwrap();
        log.save_committed(Some(entry(3, 5, b"").log_id)).await.unwrap();
        // Makes what came before it durable, as an append would.
        log.save_vote(&vote).await.unwrap();
        wal.close();
    }
    let wal = open(&folder);
    let mut log = LogStore::new(wal.group(GroupId(7)));
    assert_eq!(log.read_vote().await.unwrap(), Some(vote));
    let state = log.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(entry(3, 2, b"").log_id));
    assert_eq!(state.last_log_id, Some(entry(3, 7, b"").log_id));
    assert_eq!(log.read_committed().await.unwrap(), Some(entry(3, 5, b"").log_id));
    let entries = log.try_get_log_entries(..).await.unwrap();
    let expected: Vec<_> = (3..8).map(|index| entry(3, index, &[index as u8; 100])).collect();
    assert_eq!(entries, expected);
}

#[tokio::test]
async fn a_read_for_a_follower_is_bounded_in_bytes_and_has_an_entry_at_least() {
    let folder = tempfile::tempdir().unwrap();
    let wal = open(&folder);
    let mut log = LogStore::new(wal.group(GroupId(1)));
    let (flushed, done) = Types::oneshot();
    let entries: Vec<_> = (0..8).map(|index| entry(1, index, &vec![0; 900 << 10])).collect();
    log.append(entries, IOFlushed::signal(flushed)).await.unwrap();
    done.await.unwrap().unwrap();
    let read = log.limited_get_log_entries(0, 8).await.unwrap();
    assert!((1..=3).contains(&read.len()), "{} entries of 900 KiB in one frame", read.len());
    let all: Vec<_> = futures::StreamExt::collect::<Vec<_>>(log.entries_stream(0..8).await).await;
    assert_eq!(all.len(), 8);
}

#[tokio::test]
async fn nothing_is_applied_that_is_not_on_this_stores_disk() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Arc::new(MemoryMachine::lax(folder.path()));
    let (on_disk, durable) = watch::channel(Some(from_raft(entry(1, 0, b"").log_id)));
    let (mut applier, progress, _) =
        Applier::start(machine.clone(), Arc::new(Counters::default()), durable).await.unwrap();
    let mut applied = progress.subscribe();
    for index in 0..3 {
        let committed = futures::stream::iter([Ok((entry(1, index, b"x"), None))]);
        applier.apply(committed).await.unwrap();
        // On this runtime whoever can go on has done so after a few turns.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(machine.state().commands, 1);
    let last = from_raft(entry(1, 2, b"").log_id);
    on_disk.send_replace(Some(last));
    applied.wait_for(|applied| applied.last == Some(last)).await.unwrap();
    assert_eq!(machine.state().commands, 3);
}
