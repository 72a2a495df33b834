#![allow(clippy::unwrap_used)]

use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type};
use proptest::prelude::*;

use super::*;

const GOLDEN: &str = "\
    ffffffff88000000100000000c001a0018001700040008000c00000020000000200000000000000000000000000000030400\
    0a0018000c00080004000a0000002c0000001000000003000000000000000000000001000000030000000000000001000000\
    0000000000000000020000000000000000000000010000000000000008000000000000001800000000000000050000000000\
    0000010000000000000000000000000000000201000000000000";

fn sample(rows: usize) -> RecordBatch {
    let numbers: ArrayRef = Arc::new((0..rows).map(|row| (row % 3 > 0).then_some(row as i64)).collect::<Int64Array>());
    let texts: ArrayRef = Arc::new((0..rows).map(|row| Some(format!("text {}", row % 10))).collect::<StringArray>());
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
        (0..rows).map(|row| (row % 5 > 0).then(|| (0..row as i32 % 4).map(Some).collect::<Vec<_>>())),
    ));
    let schema = Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("t", DataType::Utf8, true),
        Field::new("l", lists.data_type().clone(), true),
    ]);
    RecordBatch::try_new(Arc::new(schema), vec![numbers, texts, lists]).unwrap()
}

#[test]
fn what_was_encoded_is_decoded() {
    for rows in [0, 1, 7, 5_000] {
        let batch = sample(rows);
        assert_eq!(decode(encode(&batch).unwrap(), &batch.schema()).unwrap(), batch, "{rows} rows");
    }
    let slice = sample(100).slice(33, 20);
    assert_eq!(decode(encode(&slice).unwrap(), &slice.schema()).unwrap(), slice);
}

#[test]
fn large_batches_are_compressed() {
    let batch = sample(5_000);
    assert!(encode(&batch).unwrap().len() * 2 < batch.get_array_memory_size());
}

#[test]
fn a_schema_travels_alone() {
    let schema = sample(1).schema();
    assert_eq!(decode_schema(&encode_schema(&schema)).unwrap(), schema);
}

/// What is in logs already must be read for ever.
#[test]
fn batches_keep_their_bytes() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(258)]));
    let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
    let hex: String = encode(&batch).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
    let bytes: Vec<u8> =
        (0..GOLDEN.len()).step_by(2).map(|at| u8::from_str_radix(&GOLDEN[at..at + 2], 16).unwrap()).collect();
    assert_eq!(decode(bytes.into(), &batch.schema()).unwrap(), batch);
}

#[test]
fn every_truncation_is_an_error() {
    let batch = sample(300);
    let bytes = encode(&batch).unwrap();
    for end in 0..bytes.len() {
        assert!(decode(bytes.slice(..end), &batch.schema()).is_err() || end + 8 > bytes.len(), "cut at {end}");
    }
}

#[test]
fn rows_of_another_schema_are_an_error() {
    let batch = sample(3);
    let other = Arc::new(Schema::new(vec![Field::new("n", DataType::Utf8, true)]));
    let _ = decode(encode(&batch).unwrap(), &other);
    let wider = Schema::new(
        batch
            .schema()
            .fields()
            .iter()
            .cloned()
            .chain([Arc::new(Field::new("x", DataType::Int8, true))])
            .collect::<Vec<_>>(),
    );
    assert!(decode(encode(&batch).unwrap(), &Arc::new(wider)).is_err());
}

proptest! {
    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), rows in 0..400_usize) {
        let batch = sample(rows);
        let mut bytes = encode(&batch).unwrap().to_vec();
        for (place, value) in flips {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = decode(bytes.into(), &batch.schema());
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode(bytes.into(), &sample(1).schema());
    }
}
