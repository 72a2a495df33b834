#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};
use arrow::compute::concat_batches;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use proptest::prelude::*;
use raftduck_model::{Column, ColumnType, SchemaVersion, TableId};

use super::*;

fn table() -> Table {
    let column = |name: &str, kind| Column { name: name.to_owned(), kind, nullable: true, default: None };
    Table {
        id: TableId(7),
        name: "t".to_owned(),
        version: SchemaVersion(1),
        columns: vec![column("k", ColumnType::BigInt), column("v", ColumnType::Varchar)],
        key: 0,
    }
}

fn batch(keys: Vec<Option<i64>>, text: impl Fn(usize) -> String) -> RecordBatch {
    let values: Vec<String> = (0..keys.len()).map(text).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("k", Arc::new(Int64Array::from(keys)) as _, true),
        ("v", Arc::new(StringArray::from(values)) as _, true),
    ])
    .unwrap()
}

fn encode(batch: &RecordBatch) -> Result<Bytes, EncodeError> {
    let mut out = Vec::new();
    let mut writer = StreamWriter::try_new(&mut out, &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    Ok(out.into())
}

fn decode(data: &Bytes) -> RecordBatch {
    StreamReader::try_new(&data[..], None).unwrap().next().unwrap().unwrap()
}

fn parts(batch: &RecordBatch, body: &[u8]) -> Result<Vec<Part>, SplitError> {
    let request = Request { key: "k-1", digest: raftduck_model::hash::body_digest(body) };
    split(batch, &table(), NonZeroU32::new(12).unwrap(), request, &encode)
}

/// On-disk format: partitions' keys and digests outlive the control that made them.
#[test]
fn keys_and_digests_of_parts_keep_their_golden_values() {
    let parts = parts(&batch(vec![Some(1), None, Some(3)], |row| row.to_string()), b"body").unwrap();
    let golden: Vec<String> =
        parts.iter().map(|p| format!("{} {:032x} {:016x} {}", p.partition, p.key.0, p.digest.0, p.rows)).collect();
    assert_eq!(golden, GOLDEN);
}

const GOLDEN: [&str; 3] = [
    "1 ef488860c51522a2089ef70a69f3920e cb2bd28f53f77d94 1",
    "2 ef488860c51522a2089ef70a69f3920e cb2bd28f53f77d94 1",
    "7 ef488860c51522a2089ef70a69f3920e cb2bd28f53f77d94 1",
];

#[test]
fn a_large_part_is_cut_alike_every_time_and_each_cut_has_its_own_key() {
    let large = batch(vec![Some(5); 4_000], |row| format!("{row:01000}"));
    let first = parts(&large, b"x").unwrap();
    assert_eq!(first, parts(&large, b"x").unwrap());
    assert!(first.len() > 4, "{}", first.len());
    assert!(first.iter().all(|part| part.data.len() <= limits::ENTRY_BYTES));
    let keys: std::collections::BTreeSet<u128> = first.iter().map(|part| part.key.0).collect();
    assert_eq!(keys.len(), first.len());
}

#[test]
fn another_body_under_the_same_key_has_the_same_keys_and_other_digests() {
    let rows = batch(vec![Some(1)], |_| String::new());
    let (one, other) = (parts(&rows, b"one").unwrap(), parts(&rows, b"other").unwrap());
    assert_eq!(one[0].key, other[0].key);
    assert_ne!(one[0].digest, other[0].digest);
}

#[test]
fn a_row_beyond_an_entry_is_refused() {
    let error = parts(&batch(vec![Some(1), Some(1)], |_| "x".repeat(limits::ENTRY_BYTES + 1)), b"x").unwrap_err();
    assert!(matches!(error, SplitError::RowTooLarge), "{error}");
}

proptest! {
    #[test]
    fn every_row_is_in_exactly_one_part_in_order_and_in_its_keys_partition(
        keys in prop::collection::vec(prop::option::of(any::<i64>()), 0..200),
    ) {
        let input = batch(keys.clone(), |row| format!("{row:03}"));
        let parts = parts(&input, b"x").unwrap();
        let mut seen = Vec::new();
        for part in &parts {
            let rows = decode(&part.data);
            prop_assert_eq!(rows.num_rows(), part.rows as usize);
            for row in 0..rows.num_rows() {
                let key = key_at(rows.column(0), row).unwrap();
                prop_assert_eq!(partition_of(key, NonZeroU32::new(12).unwrap()), part.partition);
            }
            prop_assert!(rows.column(1).as_string::<i32>().iter().is_sorted());
            seen.push(rows);
        }
        let all = concat_batches(&input.schema(), &seen).unwrap();
        prop_assert_eq!(all.num_rows(), keys.len());
    }
}
