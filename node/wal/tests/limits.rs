//! The largest of everything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{FOLDER, SMALL, append, done, entry, everything, log_id, must_not_fail, open, save_vote};
use raftduck_model::GroupId;
use raftduck_wal::testing::MemDisk;
use raftduck_wal::{Fatal, Options, Wal};

#[test]
fn entries_as_large_as_they_may_be_fit_one_behind_the_other_and_can_be_moved() {
    let disk = MemDisk::new();
    let wal = open(&disk);
    let limit = wal.entry_limit() as usize;
    assert_eq!(limit as u64, SMALL.segment_bytes / 2);
    for index in 1..=12 {
        append(&wal.group(GroupId(1)), vec![entry(1, index, vec![index as u8; limit])]);
        // A small one beside each, which later keeps its segment.
        append(&wal.group(GroupId(2)), vec![entry(1, index, vec![index as u8; 10])]);
    }
    let before = everything(&wal);
    wal.close();
    let wal = open(&disk);
    assert_eq!(everything(&wal), before);
    wal.group(GroupId(1)).purge(log_id(1, 11));
    for index in 13..100 {
        append(&wal.group(GroupId(3)), vec![entry(1, index, vec![3; limit])]);
        wal.group(GroupId(3)).purge(log_id(1, index));
        // Nobody pauses, and none of the large ones fits beside what is being written.
        let stats = wal.stats();
        assert!(stats.disk_bytes <= 3 * stats.live_bytes + 12 * SMALL.segment_bytes, "{stats:?}");
    }
    assert!(wal.stats().relocated > 0, "{:?}", wal.stats());
    let before = everything(&wal);
    assert_eq!(before[0].2, [entry(1, 12, vec![12; limit])]);
    assert_eq!(before[1].2.len(), 12);
    wal.close();
    assert_eq!(everything(&open(&disk)), before);
}

#[test]
fn an_append_larger_than_a_frame_and_than_a_segment_is_durable_as_a_whole_when_it_says_so() {
    let disk = MemDisk::new();
    let wal = open(&disk);
    let entries: Vec<_> = (1..=50).map(|index| entry(1, index, vec![index as u8; 3000])).collect();
    let (done, receiver) = done();
    wal.group(GroupId(1)).append(entries.clone(), done);
    receiver.recv().unwrap();
    assert!(wal.stats().segments > 1);
    let found = open(&disk.crash(|| false)).group(GroupId(1)).read(0, 99, usize::MAX).unwrap();
    assert_eq!(found, entries);
}

#[test]
fn sixty_four_groups_share_segments_and_each_finds_its_own() {
    const GROUPS: u32 = 64;
    let disk = MemDisk::new();
    let wal = open(&disk);
    let payload = |group: u32, index: u64| vec![(u64::from(group) + index) as u8; 40 + (group as usize % 7) * 50];
    for index in 1..=40 {
        let waiting: Vec<_> = (1..=GROUPS)
            .map(|group| {
                let log = wal.group(GroupId(group));
                if group % 5 == 0 && index % 8 == 0 {
                    // Its end is taken back and written again by a later leader.
                    log.truncate_after(Some(log_id(log.state().last.unwrap().term, index - 3)));
                    let again = (index - 2..index).map(|index| entry(index, index, payload(group, index)));
                    log.append(again.collect(), Box::new(|| {}));
                }
                if group % 3 == 0 && index > 20 {
                    log.purge(log_id(1, index - 20));
                }
                if group == 64 && index == 30 {
                    wal.remove_group(GroupId(64));
                }
                let (done, receiver) = done();
                let term = log.state().last.map_or(1, |last| last.term);
                log.append(vec![entry(term, index, payload(group, index))], done);
                receiver
            })
            .collect();
        waiting.iter().for_each(|receiver| receiver.recv().unwrap());
    }
    save_vote(&wal.group(GroupId(7)), b"of seven");
    let before = everything(&wal);
    for (group, state, entries) in &before {
        assert!(entries.iter().all(|entry| entry.payload == payload(group.0, entry.id.index)), "{group}");
        assert_eq!(state.last.map(|last| last.index), Some(40));
        let first = entries.first().map(|entry| entry.id.index);
        let expected = if group.0 == 64 { 30 } else { 1 + if group.0 % 3 == 0 { 20 } else { 0 } };
        assert_eq!(first, Some(expected), "{group}");
    }
    assert!(wal.stats().segments > 5);
    wal.close();
    assert_eq!(everything(&open(&disk)), before);
    assert_eq!(everything(&open(&disk.crash(|| false))), before);
}

#[test]
fn more_groups_than_a_header_can_describe_end_the_log_and_say_so() {
    let disk = MemDisk::new();
    let (hook, fatals) = common::reporting();
    let options = Options { segment_bytes: 16 << 10, ..SMALL };
    let wal = Wal::open(Arc::new(disk.clone()), Path::new(FOLDER), options, hook).unwrap();
    let fatal = (1..).find_map(|group| {
        let (done, receiver) = done();
        wal.group(GroupId(group)).save_vote(vec![7; 200].into(), done);
        receiver.recv().is_err().then(|| fatals.recv().unwrap())
    });
    assert!(matches!(fatal, Some(Fatal::TooManyGroups { groups }) if groups > 10), "{fatal:?}");
    let acknowledged = wal.groups().len() - 1;
    drop(wal);
    let wal = Wal::open(Arc::new(disk), Path::new(FOLDER), options, must_not_fail()).unwrap();
    assert_eq!(wal.groups().len(), acknowledged);
}

#[test]
fn segments_of_another_size_than_they_are_made_with_now_are_read() {
    let disk = MemDisk::new();
    let wal = open(&disk);
    for index in 1..=30 {
        append(&wal.group(GroupId(1)), vec![entry(1, index, vec![index as u8; 3000])]);
    }
    let before = everything(&wal);
    wal.close();
    for segment_bytes in [64 << 10, 16 << 10] {
        let options = Options { segment_bytes, ..SMALL };
        let wal = Wal::open(Arc::new(disk.clone()), Path::new(FOLDER), options, must_not_fail()).unwrap();
        assert_eq!(everything(&wal), before);
        for index in 1..=30 {
            append(&wal.group(GroupId(2)), vec![entry(1, index, vec![index as u8; 3000])]);
        }
        wal.remove_group(GroupId(2));
        save_vote(&wal.group(GroupId(3)), b"after it");
        wal.close();
        let reopened = open(&disk);
        reopened.remove_group(GroupId(3));
        reopened.close();
    }
    assert_eq!(everything(&open(&disk)), before);
}
