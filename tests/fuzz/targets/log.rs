//! What a store reads from its volume: segment headers, frames, records. The first byte chooses;
//! for the third kind the checksums are made right, so that what lies behind them is reached.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use raftduck_fuzz::write_seeds;
use raftduck_model::{GroupId, LogId, ReplicaId};
use raftduck_wal::format::frame::{self, Header};
use raftduck_wal::format::record::{self, Change, Record, Stored};
use raftduck_wal::format::segment;
use raftduck_wal::table::Table;

const SALT: u64 = 0x5a17;
const SEQUENCE: u64 = 9;

fuzz_target!(init: write_seeds(seeds()), |input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let bytes = Bytes::copy_from_slice(rest);
    match kind % 3 {
        0 => segment_header(bytes),
        1 => {
            if let Ok(frame) = frame::decode(&bytes, 0, SEQUENCE, SALT) {
                assert!(frame.end <= bytes.len() as u64);
            }
            if let Some(at) = frame::find_later(&bytes, 1, SEQUENCE, SALT) {
                assert!(at < bytes.len());
            }
        }
        _ => records(bytes),
    }
});

fn segment_header(bytes: Bytes) {
    let Ok(header) = segment::decode(&bytes) else { return };
    let again = segment::decode(&padded(header.encode())).expect("an encoded header decodes");
    assert_eq!(again, header);
}

fn records(section: Bytes) {
    let Ok(records) = record::decode(section.clone()) else { return };
    let mut again = Vec::new();
    let mut table = Table::default();
    for record in &records {
        let before = again.len();
        record.encode(&mut again);
        assert_eq!(again.len() - before, record.encoded_bytes());
        // Refusing a change that does not follow is fine; state that cannot be written is not.
        let _ = table.apply(record);
    }
    assert_eq!(again, section, "records have one encoding");
    let header = segment::Header { number: 3, first_sequence: SEQUENCE, salt: SALT, segment_bytes: 1 << 20, table };
    segment_header(padded(header.encode()));

    let whole = framed(&section, b"");
    if let Ok(frame) = frame::decode(&whole, 0, SEQUENCE, SALT) {
        assert_eq!(frame.records.into_iter().map(|(record, _)| record).collect::<Vec<_>>(), records);
        assert_eq!(frame.end, whole.len() as u64);
    }
}

/// A header's bytes as they stand in a segment: zeros follow.
fn padded(mut header: Vec<u8>) -> Bytes {
    header.resize(header.len().next_multiple_of(4096), 0);
    header.into()
}

fn framed(records: &[u8], payloads: &[u8]) -> Bytes {
    let header =
        Header { records: records.len() as u32, payloads: payloads.len() as u32, zero_sectors: 0, sequence: SEQUENCE };
    let (head, crc) = frame::encode_header(&header, SALT);
    let mut out = [&head, records, payloads].concat();
    let total = frame::total_bytes(records.len() as u64, payloads.len() as u64) as usize;
    out.resize(total - frame::TRAILER_BYTES, 0);
    out.extend_from_slice(&frame::encode_trailer(crc, records));
    out.into()
}

fn seeds() -> Vec<Vec<u8>> {
    let id = |index| LogId { term: 2, leader: ReplicaId(5), index };
    let payload = b"an entry's payload";
    let stored = Stored { id: id(1), length: payload.len() as u32, crc: crc32fast::hash(payload) };
    let encode = |changes: Vec<Change>| {
        let mut out = Vec::new();
        for change in changes {
            Record { group: GroupId(7), change }.encode(&mut out);
        }
        out
    };
    let entry = encode(vec![Change::Entry(stored)]);
    let others = encode(vec![
        Change::Vote(Bytes::from_static(b"vote")),
        Change::Committed(id(1)),
        Change::Truncated(Some(id(1))),
        Change::Truncated(None),
        Change::Purged(id(1)),
        Change::Removed,
    ]);
    let mut table = Table::default();
    let vote = Record { group: GroupId(7), change: Change::Vote(Bytes::from_static(b"vote")) };
    let _ = table.apply(&vote);
    let header = segment::Header { number: 3, first_sequence: SEQUENCE, salt: SALT, segment_bytes: 1 << 20, table };
    vec![
        [vec![0], padded(header.encode()).to_vec()].concat(),
        [vec![1], framed(&entry, payload).to_vec()].concat(),
        [vec![1], framed(&others, b"").to_vec()].concat(),
        [vec![2], entry].concat(),
        [vec![2], others].concat(),
    ]
}
