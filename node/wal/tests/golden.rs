//! The bytes on volumes. They may be read for years: a change here is a new version.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use bytes::Bytes;
use raftduck_model::{GroupId, LogId, ReplicaId};
use raftduck_wal::format::{frame, record, segment};
use raftduck_wal::table::{Row, Table};

const SALT: u64 = 0x1122_3344_5566_7788;

const SEGMENT: &str = "52445301050000000900000000000000887766554433221100000004000000005400\
    0000bf0c15880100000000000000000001010000000104000000766f746500010200000000000000030000000000000001\
    0000000000000001020000000000000003000000000000000400000000000000010200000000000000d1ce5e67";

fn id(index: u64) -> LogId {
    LogId { term: 2, leader: ReplicaId(3), index }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn records() -> Vec<record::Record> {
    use record::Change;
    let stored = record::Stored { id: id(4), length: 5, crc: crc32fast::hash(b"hello") };
    let changes = [
        Change::Entry(stored),
        Change::Relocated(record::Stored { length: 0, crc: 0, ..stored }),
        Change::Vote(Bytes::from_static(b"vote")),
        Change::Committed(id(4)),
        Change::Truncated(None),
        Change::Truncated(Some(id(4))),
        Change::Purged(id(4)),
        Change::Removed,
    ];
    changes.into_iter().map(|change| record::Record { group: GroupId(1), change }).collect()
}

#[test]
fn records_have_their_bytes() {
    const ID: &str = "0200000000000000" /* term */;
    let id = format!("{ID}0300000000000000 0400000000000000").replace(' ', "");
    let expected = [
        format!("0101000000{id}0500000086a61036"),
        format!("0201000000{id}0000000000000000"),
        "030100000004000000766f7465".to_owned(),
        format!("0401000000{id}"),
        "050100000000".to_owned(),
        format!("050100000001{id}"),
        format!("0601000000{id}"),
        "0701000000".to_owned(),
    ];
    let mut all = Vec::new();
    for (record, expected) in records().iter().zip(&expected) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert_eq!(&hex(&bytes), expected);
        assert_eq!(record.encoded_bytes(), bytes.len());
        all.extend(bytes);
    }
    assert_eq!(record::decode(all.into()).unwrap(), records());
}

fn a_frame() -> Vec<u8> {
    let mut section = Vec::new();
    records().iter().for_each(|record| record.encode(&mut section));
    let header = frame::Header { records: section.len() as u32, payloads: 5, zero_sectors: 0, sequence: 9 };
    let (head, crc) = frame::encode_header(&header, SALT);
    let mut bytes = [head.as_slice(), &section, b"hello"].concat();
    bytes.resize(frame::total_bytes(section.len() as u64, 5) as usize - frame::TRAILER_BYTES, 0);
    bytes.extend(frame::encode_trailer(crc, &section));
    bytes
}

#[test]
fn a_frame_has_its_bytes() {
    let bytes = a_frame();
    assert_eq!(hex(&bytes[..32]), "52444601ba000000050000000000000009000000000000002510d636d1cea55a");
    assert_eq!(hex(&bytes[bytes.len() - 16..]), "0000000000000000dd202fcdd1cea55a");
    let frame = frame::decode(&Bytes::from(bytes.clone()), 0, 9, SALT).unwrap();
    assert_eq!(frame.end, bytes.len() as u64);
    assert_eq!(frame.records.iter().map(|(record, _)| record.clone()).collect::<Vec<_>>(), records());
    let at = frame.records[0].1.unwrap();
    assert_eq!(&bytes[at.offset as usize..][..at.length as usize], b"hello");
}

#[test]
fn a_segment_header_has_its_bytes() {
    let row = Row {
        vote: Some(Bytes::from_static(b"vote")),
        committed: None,
        purged: Some(id(1)),
        last: Some(id(4)),
        first: Some(2),
    };
    let table = Table { rows: BTreeMap::from([(GroupId(0), Row::default()), (GroupId(1), row)]) };
    let header = segment::Header { number: 5, first_sequence: 9, salt: SALT, segment_bytes: 1 << 26, table };
    let bytes = header.encode();
    assert_eq!(hex(&bytes), SEGMENT);
    let mut file = bytes;
    file.resize(1 << 14, 0);
    assert_eq!(segment::decode(&file.into()).unwrap(), header);
    assert_eq!(header.frames_at(), 4096);
}

#[test]
fn no_cut_or_flipped_byte_of_a_frame_or_header_makes_a_decoder_panic() {
    let header = segment::Header {
        number: 1,
        first_sequence: 1,
        salt: SALT,
        segment_bytes: 1 << 20,
        table: Table { rows: BTreeMap::from([(GroupId(0), Row::default())]) },
    };
    let mut file = header.encode();
    file.resize(600, 0);
    for bytes in [a_frame(), file] {
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let same = changed == bytes;
                let (cut, changed) = (Bytes::copy_from_slice(&bytes[..at]), Bytes::from(changed));
                for input in [cut, changed] {
                    let whole = same && input.len() == bytes.len();
                    assert!(whole || frame::decode(&input, 0, 9, SALT).is_err());
                    assert!(whole || at >= header.encode().len() || segment::decode(&input).is_err());
                    let _ = record::decode(input.clone());
                    let _ = frame::find_later(&input, 0, 0, SALT);
                }
            }
        }
    }
}
