//! What the log's tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use raftduck_model::{GroupId, LogId, ReplicaId};
use raftduck_wal::testing::MemDisk;
use raftduck_wal::{Done, Entry, Fatal, FatalHook, GroupLog, GroupState, OpenError, Options, Wal};

pub const FOLDER: &str = "/log";

/// Small sizes, so that tests go through many segments.
pub const SMALL: Options =
    Options { segment_bytes: 32 << 10, batch_bytes: 8 << 10, cache_bytes: 4 << 10, queue_bytes: 64 << 10 };

/// A hook for tests in which nothing may fail.
pub fn must_not_fail() -> FatalHook {
    Box::new(|fatal| panic!("the log cannot go on: {fatal:?}"))
}

/// A hook that reports what it was called with.
pub fn reporting() -> (FatalHook, mpsc::Receiver<Fatal>) {
    let (sender, receiver) = mpsc::channel();
    (Box::new(move |fatal| sender.send(fatal).unwrap()), receiver)
}

pub fn open(disk: &MemDisk) -> Wal {
    try_open(disk).unwrap()
}

pub fn try_open(disk: &MemDisk) -> Result<Wal, OpenError> {
    Wal::open(Arc::new(disk.clone()), Path::new(FOLDER), SMALL, must_not_fail())
}

pub fn log_id(term: u64, index: u64) -> LogId {
    LogId { term, leader: ReplicaId(7), index }
}

pub fn entry(term: u64, index: u64, payload: impl Into<Bytes>) -> Entry {
    Entry { id: log_id(term, index), payload: payload.into() }
}

/// A call to wait for.
pub fn done() -> (Done, mpsc::Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    (Box::new(move || sender.send(()).unwrap_or_default()), receiver)
}

/// Appends and waits until it is durable.
pub fn append(log: &GroupLog, entries: Vec<Entry>) {
    let (done, receiver) = done();
    log.append(entries, done);
    receiver.recv().expect("the log thread ended");
}

pub fn save_vote(log: &GroupLog, vote: &'static [u8]) {
    let (done, receiver) = done();
    log.save_vote(Bytes::from_static(vote), done);
    receiver.recv().expect("the log thread ended");
}

/// Everything that can be read of every group.
pub fn everything(wal: &Wal) -> Vec<(GroupId, GroupState, Vec<Entry>)> {
    let all = |group| {
        let log = wal.group(group);
        (group, log.state(), log.read(0, u64::MAX, usize::MAX).unwrap())
    };
    wal.groups().into_iter().map(all).collect()
}
