//! What a log promises while nothing fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use common::{SMALL, append, done, entry, everything, log_id, must_not_fail, open, reporting, save_vote};
use raftduck_model::GroupId;
use raftduck_wal::testing::MemDisk;
use raftduck_wal::{Fatal, OpenError, Options, RealDisk, Room, Wal};

#[test]
fn what_was_appended_is_read_before_it_is_durable_and_after_reopening() {
    let disk = MemDisk::new();
    let wal = open(&disk);
    let log = wal.group(GroupId(3));
    let entries = vec![entry(1, 1, "one"), entry(1, 2, ""), entry(2, 3, vec![0; 5000])];
    let (done, receiver) = done();
    log.append(entries.clone(), done);
    assert_eq!(log.read(0, 9, usize::MAX).unwrap(), entries);
    receiver.recv().unwrap();
    save_vote(&log, b"a vote");
    log.save_committed(log_id(1, 2));
    let before = everything(&wal);
    wal.close();
    assert_eq!(everything(&open(&disk)), before);
    assert_eq!(before[0].1.committed, Some(log_id(1, 2)));
    assert_eq!(before[0].2, entries);
}

#[test]
fn reading_gives_at_least_one_entry_and_stops_at_the_byte_limit() {
    let wal = open(&MemDisk::new());
    let log = wal.group(GroupId(1));
    append(&log, (1..=4).map(|index| entry(1, index, vec![1; 100])).collect());
    let indexes = |from, to, most| log.read(from, to, most).unwrap().iter().map(|e| e.id.index).collect::<Vec<_>>();
    assert_eq!(indexes(1, 5, 0), [1]);
    assert_eq!(indexes(2, 5, 250), [2, 3]);
    assert_eq!(indexes(0, u64::MAX, usize::MAX), [1, 2, 3, 4]);
    assert_eq!(indexes(3, 3, usize::MAX), []);
    assert_eq!(indexes(5, 9, usize::MAX), []);
    assert_eq!(indexes(9, 2, usize::MAX), []);
}

#[test]
fn a_truncated_end_is_replaced_and_stays_replaced() {
    let disk = MemDisk::new();
    let wal = open(&disk);
    let log = wal.group(GroupId(1));
    append(&log, (1..=5).map(|index| entry(1, index, "old")).collect());
    log.truncate_after(Some(log_id(1, 2)));
    assert_eq!(log.state().last, Some(log_id(1, 2)));
    append(&log, vec![entry(2, 3, "new")]);
    // Without a truncation before it, an append replaces all the same.
    append(&log, vec![entry(3, 3, "newer"), entry(3, 4, "newer")]);
    let before = everything(&wal);
    assert_eq!(log.state().last, Some(log_id(3, 4)));
    assert_eq!(log.read(3, 4, 99).unwrap(), [entry(3, 3, "newer")]);
    wal.close();
    let wal = open(&disk);
    assert_eq!(everything(&wal), before);
    let log = wal.group(GroupId(1));
    log.truncate_after(None);
    assert_eq!(log.state().last, None);
    append(&log, vec![entry(4, 8, "a log may start anywhere")]);
    wal.close();
    assert_eq!(open(&disk).group(GroupId(1)).read(0, 99, 99).unwrap().len(), 1);
}

#[test]
fn a_purge_beyond_the_end_moves_the_end() {
    let disk = MemDisk::new();
    let wal = open(&disk);
    let log = wal.group(GroupId(1));
    append(&log, (0..=5).map(|index| entry(1, index, "x")).collect());
    log.purge(log_id(1, 2));
    assert_eq!(log.read(0, 99, usize::MAX).unwrap().len(), 3);
    log.purge(log_id(4, 90));
    log.purge(log_id(4, 80));
    let state = log.state();
    assert_eq!((state.purged, state.last, state.bytes), (Some(log_id(4, 90)), Some(log_id(4, 90)), 0));
    append(&log, vec![entry(4, 91, "after the snapshot")]);
    let before = everything(&wal);
    wal.close();
    assert_eq!(everything(&open(&disk)), before);
}

#[test]
fn a_removed_group_leaves_nothing_and_may_come_back() {
    let disk = MemDisk::new();
    let wal = open(&disk);
    let log = wal.group(GroupId(1));
    append(&log, vec![entry(1, 1, "x")]);
    save_vote(&log, b"vote");
    wal.remove_group(GroupId(1));
    assert!(log.state().is_empty());
    assert_eq!(wal.groups(), []);
    wal.close();
    let wal = open(&disk);
    assert_eq!(wal.groups(), []);
    append(&wal.group(GroupId(1)), vec![entry(9, 1, "again")]);
    wal.close();
    assert_eq!(open(&disk).group(GroupId(1)).read(0, 9, 9).unwrap(), [entry(9, 1, "again")]);
}

#[test]
fn calls_come_in_the_order_of_what_was_asked_for() {
    let wal = open(&MemDisk::new());
    let (sender, receiver) = mpsc::channel();
    for number in 1..=500_u64 {
        let sender = sender.clone();
        let done = Box::new(move || sender.send(number).unwrap());
        match number % 3 {
            0 => wal.group(GroupId(2)).save_vote(vec![1; 200].into(), done),
            1 => wal.group(GroupId(1)).append(Vec::new(), done),
            _ => wal.group(GroupId(number as u32)).append(vec![entry(1, 1, vec![7; 300])], done),
        }
    }
    drop(sender);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), (1..=500).collect::<Vec<_>>());
}

#[test]
fn closing_writes_what_waits_and_ignores_what_comes_later() {
    let disk = MemDisk::new();
    let wal = open(&disk);
    let log = wal.group(GroupId(1));
    let (first, first_done) = done();
    log.append(vec![entry(1, 1, "in time")], first);
    log.save_committed(log_id(1, 1));
    wal.close();
    first_done.recv().unwrap();
    let (late, late_done) = done();
    log.append(vec![entry(1, 2, "late")], late);
    assert!(late_done.recv().is_err(), "the call is dropped");
    wal.close();
    let state = open(&disk).group(GroupId(1)).state();
    assert_eq!((state.last, state.committed), (Some(log_id(1, 1)), Some(log_id(1, 1))));
}

#[test]
fn saving_the_committed_position_syncs_nothing() {
    let disk = MemDisk::new();
    let wal = open(&disk);
    let log = wal.group(GroupId(1));
    append(&log, vec![entry(1, 1, "x")]);
    let (syncs, writes) = (disk.syncs(), disk.writes());
    (1..1000).for_each(|index| log.save_committed(log_id(1, index)));
    append(&log, vec![entry(1, 2, "y")]);
    assert_eq!((disk.syncs(), disk.writes()), (syncs + 1, writes + 1));
    let queued = wal.stats().queue_bytes;
    (1..1000).for_each(|index| log.save_committed(log_id(1, index)));
    assert!(wal.stats().queue_bytes < queued + 100, "a thousand positions wait as one");
    assert_eq!(log.state().committed, Some(log_id(1, 999)));
}

#[test]
fn only_recent_payloads_stay_in_memory_and_older_ones_are_read_back() {
    let wal = open(&MemDisk::new());
    let log = wal.group(GroupId(1));
    for index in 1..=100 {
        append(&log, vec![entry(1, index, vec![index as u8; 1000])]);
    }
    // The last append's payloads are trimmed before its call.
    assert!(wal.stats().cache_bytes <= SMALL.cache_bytes as u64);
    for found in log.read(1, 101, usize::MAX).unwrap() {
        assert_eq!(found, entry(1, found.id.index, vec![found.id.index as u8; 1000]));
    }
}

#[test]
fn an_entry_that_breaks_the_log_ends_it() {
    type Misuse = fn(&raftduck_wal::GroupLog);
    let misuses: [Misuse; 5] = [
        |log| log.append(vec![entry(1, 4, "behind a gap")], done().0),
        |log| log.append(vec![entry(1, 3, "a"), entry(1, 5, "with a gap")], done().0),
        |log| log.append(vec![entry(1, 1, "where it is purged")], done().0),
        |log| log.append(vec![entry(1, 3, vec![1; 17 << 10])], done().0),
        |log| log.save_vote(vec![1; 257].into(), done().0),
    ];
    for misuse in misuses {
        let disk = MemDisk::new();
        let (hook, fatals) = reporting();
        let wal = Wal::open(Arc::new(disk.clone()), Path::new(common::FOLDER), SMALL, hook).unwrap();
        let log = wal.group(GroupId(1));
        append(&log, vec![entry(1, 1, "x"), entry(1, 2, "y")]);
        log.purge(log_id(1, 1));
        misuse(&log);
        assert!(matches!(fatals.recv().unwrap(), Fatal::Misused { group: GroupId(1), .. }));
        drop((wal, log));
        assert_eq!(open(&disk).group(GroupId(1)).state().last, Some(log_id(1, 2)));
    }
}

#[test]
fn a_queue_above_its_bound_is_busy_until_it_is_written() {
    let wal = open(&MemDisk::new());
    let log = wal.group(GroupId(1));
    // The log thread stays inside this call until the queue was looked at.
    let (hold, held) = mpsc::channel::<()>();
    log.append(vec![entry(1, 1, "x")], Box::new(move || held.recv().unwrap()));
    assert_eq!(wal.room(), Room::Ok);
    let (done, receiver) = done();
    log.append((2..=20).map(|index| entry(1, index, vec![1; 4096])).collect(), done);
    assert_eq!(wal.room(), Room::Busy);
    hold.send(()).unwrap();
    receiver.recv().unwrap();
    assert_eq!(wal.room(), Room::Ok);
    assert_eq!(wal.stats().queue_bytes, 0);
}

#[test]
fn a_folder_is_opened_once_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Wal::open(Arc::new(RealDisk), folder.path(), Options::default(), must_not_fail());
    let first = open().unwrap();
    assert!(matches!(open(), Err(OpenError::InUse(_))));
    append(&first.group(GroupId(1)), vec![entry(1, 1, "x")]);
    first.close();
    assert_eq!(open().unwrap().group(GroupId(1)).state().last, Some(log_id(1, 1)));
}

#[test]
fn options_that_contradict_themselves_are_refused() {
    let disk = Arc::new(MemDisk::new());
    for segment_bytes in [0, 4096, 20_000, 2 << 30] {
        let options = Options { segment_bytes, ..SMALL };
        let result = Wal::open(disk.clone(), Path::new(common::FOLDER), options, must_not_fail());
        assert!(matches!(result, Err(OpenError::Options(_))));
    }
}

#[test]
fn many_threads_append_to_many_groups() {
    const EACH: u64 = 300;
    let disk = MemDisk::new();
    let wal = open(&disk);
    std::thread::scope(|scope| {
        for group in 0..16 {
            let log = wal.group(GroupId(group % 8));
            let half = u64::from(group / 8);
            if half == 0 {
                scope.spawn(move || {
                    let mut waiting = Vec::new();
                    for index in 1..=EACH {
                        let (done, receiver) = done();
                        log.append(vec![entry(1, index, format!("{group} {index}"))], done);
                        waiting.push(receiver);
                    }
                    waiting.iter().for_each(|receiver| receiver.recv().unwrap());
                });
            } else {
                // Readers beside the writers see a log without gaps, always.
                scope.spawn(move || {
                    while log.state().last.is_none_or(|last| last.index < EACH) {
                        let read = log.read(0, u64::MAX, usize::MAX).unwrap();
                        assert!(read.iter().enumerate().all(|(at, entry)| entry.id.index == at as u64 + 1));
                    }
                });
            }
        }
    });
    let before = everything(&wal);
    assert!(before.iter().all(|(_, _, entries)| entries.len() == EACH as usize));
    wal.close();
    assert_eq!(everything(&open(&disk)), before);
}
