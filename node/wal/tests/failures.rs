//! Disks that fail or fill up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::{FOLDER, SMALL, append, done, entry, everything, log_id, open, reporting, save_vote};
use raftduck_model::GroupId;
use raftduck_wal::testing::MemDisk;
use raftduck_wal::{Fatal, GroupLog, Room, Wal};

const PATIENCE: Duration = Duration::from_secs(60);

fn open_reporting(disk: &MemDisk) -> (Wal, mpsc::Receiver<Fatal>) {
    let (hook, fatals) = reporting();
    (Wal::open(Arc::new(disk.clone()), Path::new(FOLDER), SMALL, hook).unwrap(), fatals)
}

/// Asks for room until it is what it should be.
fn until_room(wal: &Wal, room: Room) {
    let began = Instant::now();
    while wal.room() != room {
        assert!(began.elapsed() < PATIENCE, "{:?}: {:?}", wal.room(), wal.stats());
        thread::yield_now();
    }
}

/// Appends 3,000 bytes at `index` and says whether it became durable.
fn try_append(log: &GroupLog, index: u64) -> bool {
    let (done, receiver) = done();
    log.append(vec![entry(1, index, vec![index as u8; 3000])], done);
    receiver.recv().is_ok()
}

/// A log on a disk of `segments` segments, filled until it says so, and its last index.
fn filled(segments: u64) -> (MemDisk, Wal, u64) {
    let disk = MemDisk::new();
    disk.set_capacity(segments * SMALL.segment_bytes);
    let wal = open(&disk);
    let mut index = 0;
    while wal.room() != Room::Full {
        index += 1;
        append(&wal.group(GroupId(1)), vec![entry(1, index, vec![index as u8; 3000])]);
    }
    (disk, wal, index)
}

#[test]
fn after_a_failed_sync_nothing_is_written_synced_or_acknowledged_again() {
    type Break = fn(&MemDisk);
    let breaks: [(Break, bool); 2] = [(|disk| disk.fail_sync(0), true), (|disk| disk.fail_write(0), false)];
    for (break_it, is_sync) in breaks {
        let disk = MemDisk::new();
        let (wal, fatals) = open_reporting(&disk);
        let log = wal.group(GroupId(1));
        assert!(try_append(&log, 1));
        break_it(&disk);
        assert!(!try_append(&log, 2), "it was acknowledged");
        let fatal = fatals.recv().unwrap();
        assert!(matches!(fatal, Fatal::Sync { segment: 1, .. }) == is_sync, "{fatal:?}");
        let (writes, syncs) = (disk.writes(), disk.syncs());
        assert!(!try_append(&log, 3));
        let (vote, saved) = done();
        log.save_vote(b"late".as_slice().into(), vote);
        assert!(saved.recv().is_err());
        wal.close();
        assert_eq!((disk.writes(), disk.syncs()), (writes, syncs));
        assert!(fatals.try_recv().is_err(), "the hook is called once");
        // Whether the second entry is there is not known; the first one is.
        for keep in [false, true] {
            let read = everything(&open(&disk.crash(|| keep)))[0].2.clone();
            assert_eq!(read.first(), Some(&entry(1, 1, vec![1; 3000])));
            assert!(read.len() <= 2);
        }
    }
}

#[test]
fn what_a_failed_sync_left_in_memory_only_is_made_durable_before_it_is_believed() {
    let disk = MemDisk::new();
    let (wal, fatals) = open_reporting(&disk);
    let log = wal.group(GroupId(1));
    disk.fail_sync(0);
    assert!(!try_append(&log, 1));
    fatals.recv().unwrap();
    wal.close();
    // The next process sees the bytes, which the kernel believes clean, and builds on them.
    let wal = open(&disk);
    assert_eq!(wal.group(GroupId(1)).state().last, Some(log_id(1, 1)));
    append(&wal.group(GroupId(1)), vec![entry(1, 2, "on top")]);
    let before = everything(&wal);
    assert_eq!(everything(&open(&disk.crash(|| false))), before);
}

#[test]
fn a_full_disk_is_said_before_it_hurts_and_votes_and_purges_still_fit() {
    let (disk, wal, last) = filled(5);
    let log = wal.group(GroupId(1));
    assert!(wal.stats().reserve_bytes > SMALL.segment_bytes / 2, "{:?}", wal.stats());
    // What was under way when it filled up still gets in.
    assert!(try_append(&log, last + 1));
    save_vote(&log, b"a vote");
    assert_eq!(wal.room(), Room::Full);
    // Opening takes no space either.
    let before = everything(&wal);
    wal.close();
    let wal = open(&disk);
    assert_eq!(everything(&wal), before);
    assert_eq!(wal.room(), Room::Full);
    let log = wal.group(GroupId(1));
    log.purge(log_id(1, last));
    save_vote(&log, b"another");
    until_room(&wal, Room::Ok);
    for index in last + 2..last + 10 {
        append(&log, vec![entry(1, index, vec![index as u8; 3000])]);
    }
    let before = everything(&wal);
    wal.close();
    assert_eq!(everything(&open(&disk)), before);
}

#[test]
fn space_that_comes_back_is_found_without_anything_being_written() {
    let (disk, wal, _) = filled(3);
    let writes = disk.writes();
    disk.set_capacity(u64::MAX);
    until_room(&wal, Room::Ok);
    assert_eq!(disk.writes(), writes);
}

#[test]
fn a_log_that_used_up_its_reserve_ends_and_has_all_that_it_acknowledged() {
    let disk = MemDisk::new();
    disk.set_capacity(4 * SMALL.segment_bytes);
    let (wal, fatals) = open_reporting(&disk);
    let log = wal.group(GroupId(1));
    let last = (1..).find(|index| !try_append(&log, *index)).unwrap() - 1;
    assert!(matches!(fatals.recv().unwrap(), Fatal::NoRoom { .. }));
    drop((wal, log));
    for keep in [false, true] {
        let disk = disk.crash(|| keep);
        let wal = open(&disk);
        let log = wal.group(GroupId(1));
        assert_eq!(log.state().last, Some(log_id(1, last)), "the entry that did not fit was never written");
        assert_eq!(log.read(1, u64::MAX, usize::MAX).unwrap().len() as u64, last);
        assert_eq!(wal.room(), Room::Full);
        disk.set_capacity(u64::MAX);
        until_room(&wal, Room::Ok);
        append(&log, vec![entry(1, last + 1, "there is space again")]);
    }
}
