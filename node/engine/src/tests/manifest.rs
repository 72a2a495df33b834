#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use raftduck_model::{Column, ColumnType, ReplicaId, SchemaVersion};

use super::*;

const GOLDEN: &str = "\
    72616674736e617001030000000107000000000000000200000000000000090000000000000005000000000000000200\
    0000abcd01000000740000007b226964223a342c226e616d65223a226576656e7473222c2276657273696f6e223a322c\
    22636f6c756d6e73223a5b7b226e616d65223a226b222c2274797065223a22424947494e54222c226e756c6c61626c65\
    223a66616c73652c2264656661756c74223a2237227d5d2c226b6579223a307d02000000010000000000000000030000\
    00000000000400000000000000050000000000000002040000000100000006000000000000000700000000000000ffff\
    ffffffffffff";

fn table(id: u32, version: u32) -> Table {
    let column = Column { name: "k".into(), kind: ColumnType::BigInt, nullable: false, default: Some("7".into()) };
    Table { id: TableId(id), name: "events".into(), version: SchemaVersion(version), columns: vec![column], key: 0 }
}

fn sample() -> Manifest {
    Manifest {
        partition: PartitionId(3),
        last: Some(LogId { term: 7, leader: ReplicaId(2), index: 9 }),
        time: LogTime(5),
        membership: Bytes::from_static(b"\xab\xcd"),
        tables: vec![table(4, 2)],
        files: vec![
            DataFile { content: Content::Keys, number: 0, rows: 3, length: 4, hash: 5 },
            DataFile { content: Content::Rows(TableId(4)), number: 1, rows: 6, length: 7, hash: u64::MAX },
        ],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_manifest_keeps_its_bytes() {
    let bytes = sample().encode().unwrap();
    let (content, hash) = bytes.split_at(bytes.len() - HASH_BYTES);
    assert_eq!(hex(content), GOLDEN);
    assert_eq!(hash, xxh3_64(content).to_le_bytes());
    assert_eq!(Manifest::decode(bytes.into()).unwrap(), sample());
    let names: Vec<_> = sample().files.iter().map(DataFile::name).collect();
    assert_eq!(names, ["keys-0.parquet", "t4-1.parquet"]);
}

#[test]
fn a_manifest_that_is_cut_or_changed_anywhere_is_refused() {
    let bytes = sample().encode().unwrap();
    for length in 0..bytes.len() {
        assert!(Manifest::decode(Bytes::copy_from_slice(&bytes[..length])).is_err(), "{length} bytes");
    }
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        assert!(Manifest::decode(damaged.into()).is_err(), "byte {place}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(Manifest::decode(longer.into()).is_err());
}

#[test]
fn a_later_version_of_the_format_is_named() {
    let mut bytes = sample().encode().unwrap();
    bytes[MAGIC.len()] = 2;
    let error = Manifest::decode(bytes.into()).unwrap_err();
    assert_eq!(error, DecodeError::Unknown { what: "manifest version", value: 2 });
}

#[test]
fn the_newest_version_of_each_table_counts() {
    let manifest = Manifest { tables: vec![table(1, 1), table(1, 3), table(2, 1), table(1, 2)], ..sample() };
    let newest: Vec<_> = manifest.newest().map(|table| (table.id.0, table.version.0)).collect();
    assert_eq!(newest, [(1, 3), (2, 1)]);
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), sealed: bool) {
        if sealed {
            // Past the hash, which random bytes never have.
            let mut whole = MAGIC.to_vec();
            whole.push(VERSION);
            whole.append(&mut bytes);
            whole.put_u64_le(xxh3_64(&whole));
            bytes = whole;
        }
        let _ = Manifest::decode(bytes.into());
    }
}
