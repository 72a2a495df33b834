#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, ListArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field;
use duckdb::Connection;

use super::*;
use crate::appendable;

const MICROS: [i64; 10] =
    [i64::MIN, -i64::MAX, -i64::MAX + 1, FIRST_MICROS - 1, FIRST_MICROS, -1, 0, DAY_MICROS, DAY_MICROS + 1, i64::MAX];
const DAYS: [i32; 7] = [i32::MIN, -i32::MAX, -i32::MAX + 1, -1, 0, i32::MAX - 1, i32::MAX];

fn decimals(precision: u8, scale: i8) -> Vec<ArrayRef> {
    let power = 10_i128.pow(u32::from(precision));
    let values = [i128::MIN, -power, 1 - power, -1, 0, power - 1, power, i128::MAX];
    let array = |value| Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap();
    values.into_iter().map(|value| Arc::new(array(value)) as ArrayRef).collect()
}

/// One value each, beside the type that its column has in a store.
fn extremes() -> Vec<(&'static str, ArrayRef)> {
    let mut all: Vec<(&str, ArrayRef)> = Vec::new();
    all.extend(MICROS.map(|value| ("TIMESTAMP", Arc::new(TimestampMicrosecondArray::from(vec![value])) as ArrayRef)));
    all.extend(MICROS.map(|value| ("TIME", Arc::new(Time64MicrosecondArray::from(vec![value])) as ArrayRef)));
    all.extend(DAYS.map(|value| ("DATE", Arc::new(Date32Array::from(vec![value])) as ArrayRef)));
    for (kind, precision, scale) in [
        ("DECIMAL(4,2)", 4, 2),
        ("DECIMAL(9,0)", 9, 0),
        ("DECIMAL(18,3)", 18, 3),
        ("DECIMAL(38,5)", 38, 5),
        ("HUGEINT", 38, 0),
    ] {
        all.extend(decimals(precision, scale).into_iter().map(|array| (kind, array)));
    }
    all
}

fn column(array: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter([("a", array)]).unwrap()
}

fn is_appended(kind: &str, rows: &RecordBatch) -> bool {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&format!("CREATE TABLE t (a {kind})")).unwrap();
    let mut appender = connection.appender("t").unwrap();
    let pieces = appendable::pieces(rows).unwrap();
    let appended =
        pieces.into_iter().all(|piece| appender.append_record_batch(piece).is_ok()) && appender.flush().is_ok();
    if appended {
        // A value that is none of the type shows when it is read.
        let text: String =
            connection.query_row("SELECT coalesce(a::VARCHAR, '') FROM t", [], |row| row.get(0)).unwrap();
        assert!(!text.is_empty(), "{kind} {rows:?}");
    }
    appended
}

#[test]
fn what_passes_is_appended_and_read() {
    let (mut passed, mut refused) = (0, 0);
    for (kind, array) in extremes() {
        let rows = column(array);
        match check(&rows) {
            Ok(()) => {
                assert!(is_appended(kind, &rows), "{kind} {rows:?}");
                passed += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(passed > 20 && refused > 15, "{passed} {refused}");
}

#[test]
fn a_bad_value_is_named_wherever_it_stands() {
    let huge = |values: Vec<Option<i128>>| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(38, 0).unwrap())
    };
    let (good, bad) = (Some(7), Some(i128::MAX));
    let what = "it has more than 38 digits".to_owned();
    let error = |row| Err(ValueError { row, column: "a".to_owned(), what: what.clone() });
    assert_eq!(check(&column(huge(vec![good, None, bad]))), error(3));

    let list = |values, ends: Vec<usize>, nulls: Vec<bool>| -> ArrayRef {
        let field = Arc::new(Field::new("item", DataType::Decimal128(38, 0), true));
        Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(ends), huge(values), Some(nulls.into())))
    };
    assert_eq!(check(&column(list(vec![good, good, bad], vec![1, 0, 2], vec![true; 3]))), error(3));
    assert_eq!(check(&column(list(vec![good, bad], vec![1, 1], vec![true, false]))), error(2), "it is appended too");
    assert_eq!(check(&column(list(vec![bad, good, good], vec![1, 2], vec![true; 2]).slice(1, 1))), Ok(()));

    let rows = |nulls: Option<Vec<bool>>| -> ArrayRef {
        let field = Arc::new(Field::new("f", DataType::Decimal128(38, 0), true));
        Arc::new(StructArray::new(vec![field].into(), vec![huge(vec![good, bad])], nulls.map(Into::into)))
    };
    assert_eq!(check(&column(rows(None))), error(2));
    assert_eq!(check(&column(rows(Some(vec![true, false])))), Ok(()), "nobody sees it, nor does DuckDB");
}
