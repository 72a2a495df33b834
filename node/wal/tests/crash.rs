//! What a log comes to when bytes of it are missing or wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};

use common::{append, entry, everything, log_id, open, save_vote, try_open};
use raftduck_model::GroupId;
use raftduck_wal::testing::MemDisk;
use raftduck_wal::{OpenError, Wal};

type Everything = Vec<(GroupId, raftduck_wal::GroupState, Vec<raftduck_wal::Entry>)>;

fn segment(number: u32) -> PathBuf {
    Path::new(common::FOLDER).join(format!("{number:08}.wal"))
}

/// The end of the bytes that were ever written to a file.
fn written(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// A log of a few frames in one segment, and what could be read after each: (bytes, content).
fn a_log() -> (MemDisk, Vec<(usize, Everything)>) {
    let disk = MemDisk::new();
    let wal = open(&disk);
    let mut states = Vec::new();
    let note = |wal: &Wal, states: &mut Vec<_>| states.push((written(&disk.contents(&segment(1))), everything(wal)));
    note(&wal, &mut states);
    append(&wal.group(GroupId(1)), vec![entry(1, 1, "first"), entry(1, 2, vec![0xab; 700])]);
    note(&wal, &mut states);
    save_vote(&wal.group(GroupId(2)), b"a vote");
    note(&wal, &mut states);
    // Zeros of the payload's own, whole sectors of them, must not pass for missing bytes.
    append(&wal.group(GroupId(2)), vec![entry(1, 1, vec![0; 2000]), entry(1, 2, "tail")]);
    note(&wal, &mut states);
    append(&wal.group(GroupId(1)), vec![entry(2, 3, vec![0; 1500])]);
    note(&wal, &mut states);
    wal.close();
    (disk.copy(), states)
}

#[test]
fn a_log_that_turns_to_zeros_anywhere_keeps_every_frame_before() {
    let (disk, states) = a_log();
    let bytes = disk.contents(&segment(1));
    for cut in states[0].0..=written(&bytes) {
        let disk = disk.copy();
        let mut cut_bytes = bytes.clone();
        cut_bytes[cut..].fill(0);
        disk.put(&segment(1), cut_bytes);
        let expected = &states.iter().rfind(|(end, _)| *end <= cut).unwrap().1;
        let wal = try_open(&disk).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        assert_eq!(&everything(&wal), expected, "cut at {cut}");
        // What was torn is not found again beneath what is written over it.
        append(&wal.group(GroupId(9)), vec![entry(5, 1, "after")]);
        let after = everything(&wal);
        wal.close();
        assert_eq!(everything(&open(&disk)), after, "cut at {cut}");
    }
}

#[test]
fn a_segment_that_was_cut_short_is_damage_wherever_it_was_cut() {
    let (disk, _) = a_log();
    let bytes = disk.contents(&segment(1));
    for length in 1..bytes.len() {
        // Every byte where something was written, then a sample of the zeros behind.
        if length <= written(&bytes) || length % 509 == 0 {
            let disk = disk.copy();
            disk.put(&segment(1), bytes[..length].to_vec());
            // Without the spare segment, so that the cut one is the newest file of all.
            raftduck_wal::Disk::remove(&disk, &segment(2)).unwrap();
            match try_open(&disk) {
                Err(OpenError::Damaged { segment: 1, why, .. }) => assert!(!why.is_empty()),
                other => panic!("cut to {length} bytes: {:?}", other.map(|wal| everything(&wal))),
            }
            assert_eq!(disk.contents(&segment(1)), &bytes[..length], "nothing is changed");
        }
    }
}

#[test]
fn a_flipped_bit_is_damage_in_every_byte_of_the_log() {
    let (disk, states) = a_log();
    let bytes = disk.contents(&segment(1));
    let header = states[0].0;
    for at in (0..header).chain(4096..written(&bytes)) {
        for bit in 0..8 {
            let disk = disk.copy();
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            disk.put(&segment(1), flipped.clone());
            match try_open(&disk) {
                Err(OpenError::Damaged { segment: 1, offset, why }) => {
                    assert!(offset <= at as u64 && !why.is_empty());
                    assert_eq!(disk.contents(&segment(1)), flipped, "nothing is changed");
                }
                other => panic!("bit {bit} of byte {at}: {:?}", other.map(|wal| everything(&wal))),
            }
        }
    }
}

#[test]
fn a_lost_sector_of_the_last_frame_drops_it_and_of_an_earlier_one_is_damage() {
    let (disk, states) = a_log();
    let bytes = disk.contents(&segment(1));
    let last_frame = states[states.len() - 2].0.next_multiple_of(32);
    for sector in 8..written(&bytes).div_ceil(512) {
        let (from, to) = (sector * 512, (sector + 1) * 512);
        if bytes[from..to].iter().all(|byte| *byte == 0) {
            continue;
        }
        let mut lost = bytes.clone();
        lost[from.max(last_frame).min(to)..to].fill(0);
        let of_the_last = disk.copy();
        of_the_last.put(&segment(1), lost);
        if to > last_frame {
            assert_eq!(everything(&open(&of_the_last)), states[states.len() - 2].1, "sector {sector}");
        }
        if from < last_frame {
            let mut lost = bytes.clone();
            lost[from..to.min(last_frame)].fill(0);
            let earlier = disk.copy();
            earlier.put(&segment(1), lost);
            let result = try_open(&earlier).map(|wal| everything(&wal));
            assert!(matches!(result, Err(OpenError::Damaged { segment: 1, .. })), "sector {sector}: {result:?}");
        }
    }
}

#[test]
fn garbage_behind_the_log_is_damage() {
    let (disk, _) = a_log();
    let mut bytes = disk.contents(&segment(1));
    let end = written(&bytes).next_multiple_of(32);
    bytes[end..end + 100].fill(0x5a);
    disk.put(&segment(1), bytes);
    assert!(matches!(try_open(&disk), Err(OpenError::Damaged { segment: 1, .. })));
}

/// Writes until the log has at least this many segments, everything live.
fn a_log_of_segments(count: u64) -> (MemDisk, Everything) {
    let disk = MemDisk::new();
    let wal = open(&disk);
    for index in 1.. {
        append(&wal.group(GroupId(1)), vec![entry(1, index, vec![index as u8; 3000])]);
        if wal.stats().segments >= count {
            break;
        }
    }
    let before = everything(&wal);
    wal.close();
    (disk.copy(), before)
}

#[test]
fn what_is_missing_before_the_newest_segment_is_damage() {
    let (disk, before) = a_log_of_segments(3);
    assert_eq!(everything(&open(&disk.copy())), before);
    for number in [1, 2] {
        // The last frame of an older segment is gone as if it had been torn.
        let torn = disk.copy();
        let mut bytes = torn.contents(&segment(number));
        let end = written(&bytes);
        bytes[end - 600..].fill(0);
        torn.put(&segment(number), bytes);
        match try_open(&torn).map(|wal| everything(&wal)) {
            Err(OpenError::Damaged { segment, offset, .. }) => assert!(segment == number && offset > 4096),
            other => panic!("{other:?}"),
        }
    }
    let gap = disk.copy();
    raftduck_wal::Disk::remove(&gap, &segment(2)).unwrap();
    assert!(matches!(try_open(&gap), Err(OpenError::SegmentMissing(2))));
    let oldest = disk.copy();
    raftduck_wal::Disk::remove(&oldest, &segment(1)).unwrap();
    assert!(matches!(try_open(&oldest), Err(OpenError::EntriesMissing { group: GroupId(1), first: 1, .. })));
}

#[test]
fn a_segment_from_another_folder_is_damage() {
    let (disk, _) = a_log_of_segments(3);
    let (other, _) = a_log_of_segments(3);
    for number in [1, 2, 3] {
        let mixed = disk.copy();
        mixed.put(&segment(number), other.contents(&segment(number)));
        assert!(matches!(try_open(&mixed), Err(OpenError::Damaged { .. })), "segment {number}");
    }
    let renamed = disk.copy();
    renamed.put(&segment(2), disk.contents(&segment(3)));
    assert!(matches!(try_open(&renamed), Err(OpenError::Damaged { segment: 2, .. })));
}

#[test]
fn a_header_that_was_never_written_whole_is_no_segment() {
    let (disk, before) = a_log_of_segments(2);
    let newest = disk.paths().len() as u32;
    let header = disk.contents(&segment(newest - 1))[..4096].to_vec();
    // A rotation that a power cut ended: the spare one has a part of a header, no frame.
    for kept in 0..written(&header) {
        let torn = disk.copy();
        let mut bytes = vec![0; common::SMALL.segment_bytes as usize];
        bytes[..kept].copy_from_slice(&header[..kept]);
        torn.put(&segment(newest), bytes);
        let result = try_open(&torn).map(|wal| everything(&wal));
        match result {
            Ok(found) => assert_eq!(found, before, "{kept} bytes"),
            Err(error) => panic!("{kept} bytes: {error}"),
        }
    }
}

#[test]
fn a_header_that_is_lost_while_frames_are_there_is_damage() {
    let (disk, _) = a_log_of_segments(3);
    let newest = disk.paths().len() as u32 - 1;
    for number in [1, 2, newest] {
        let lost = disk.copy();
        raftduck_wal::Disk::remove(&lost, &segment(newest + 1)).unwrap();
        let mut bytes = lost.contents(&segment(number));
        bytes[..512].fill(0);
        lost.put(&segment(number), bytes);
        assert!(matches!(try_open(&lost), Err(OpenError::Damaged { segment, .. }) if segment == number));
    }
}

#[test]
fn a_user_cannot_make_a_torn_frame_look_acknowledged() {
    // A payload that is a frame, whole and later, as another store's log would hold it.
    let (other, _) = a_log_of_segments(2);
    let foreign = other.contents(&segment(2))[4096..12_288].to_vec();
    let disk = MemDisk::new();
    let wal = open(&disk);
    append(&wal.group(GroupId(1)), vec![entry(1, 1, "before")]);
    let before = everything(&wal);
    let start = written(&disk.contents(&segment(1))).next_multiple_of(32);
    append(&wal.group(GroupId(1)), vec![entry(1, 2, foreign)]);
    wal.close();
    let mut bytes = disk.contents(&segment(1));
    bytes[start..start.next_multiple_of(512)].fill(0);
    let disk = disk.copy();
    disk.put(&segment(1), bytes);
    assert_eq!(everything(&open(&disk)), before);
}

#[test]
fn the_reason_says_what_to_do() {
    let (disk, _) = a_log();
    let mut bytes = disk.contents(&segment(1));
    bytes[4100] ^= 1;
    disk.put(&segment(1), bytes);
    let text = try_open(&disk).err().unwrap().to_string();
    for part in ["00000001", "byte 4096", "Nothing was changed", "empty this store's volume"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn an_entry_that_rots_while_the_log_is_open_is_an_error_to_its_reader() {
    let disk = MemDisk::new();
    let wal = open(&disk);
    let log = wal.group(GroupId(1));
    for index in 1..=10 {
        append(&log, vec![entry(1, index, vec![index as u8; 1000])]);
    }
    // The whole payload: a single 2 is as likely in a header, whose id and checksums are random.
    let payload = [2; 1000];
    let rotten = disk.contents(&segment(1)).windows(payload.len()).position(|bytes| bytes == payload).unwrap();
    let file = raftduck_wal::Disk::open(&disk, &segment(1)).unwrap();
    file.write(rotten as u64 + 500, &[std::io::IoSlice::new(b"rot")]).unwrap();
    let found = (1..=10).filter(|index| log.read(*index, index + 1, 0).is_err()).count();
    assert_eq!(found, 1);
    assert_eq!(log.state().last, Some(log_id(1, 10)));
}
