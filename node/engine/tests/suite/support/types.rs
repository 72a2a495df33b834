//! A table of every column type, with rows whose values are at the edges of each.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use raftduck_engine::arrow_schema;
use raftduck_model::{Column, ColumnType, SchemaVersion, Table, TableId};

use super::column;

/// `"all types"`, table 3: a row number, then one column of each type. 6,000 rows, NULLs between
/// them.
pub fn all_types() -> (Table, RecordBatch) {
    use ColumnType::*;
    let kinds: Vec<(ColumnType, [&str; 4])> = vec![
        (Boolean, ["true", "false", "true", "false"]),
        (TinyInt, ["-128", "127", "0", "1"]),
        (SmallInt, ["-32768", "32767", "0", "1"]),
        (Integer, ["-2147483648", "2147483647", "0", "1"]),
        (BigInt, ["-9223372036854775808", "9223372036854775807", "0", "1"]),
        (HugeInt, ["-99999999999999999999999999999999999999", "99999999999999999999999999999999999999", "0", "1"]),
        (UTinyInt, ["0", "255", "1", "2"]),
        (USmallInt, ["0", "65535", "1", "2"]),
        (UInteger, ["0", "4294967295", "1", "2"]),
        (UBigInt, ["0", "18446744073709551615", "1", "2"]),
        (Float, ["1.5", "'-inf'", "'nan'", "'-0.0'"]),
        (Double, ["1e300", "'inf'", "'nan'", "'-0.0'"]),
        (Decimal { precision: 4, scale: 1 }, ["999.9", "-999.9", "0", "0.1"]),
        (Decimal { precision: 9, scale: 9 }, ["0.999999999", "-0.999999999", "0", "0.1"]),
        (Decimal { precision: 18, scale: 0 }, ["999999999999999999", "-1", "0", "1"]),
        (Decimal { precision: 38, scale: 10 }, ["9999999999999999999999999999.9999999999", "-1", "0", "1"]),
        (Varchar, ["''", "'a''\"b'", "'é漢😀'", "'x' || chr(0) || 'y'"]),
        (Blob, ["''", "'\\x00\\xFF'::BLOB", "'abc'", "repeat('z', 3000)::BLOB"]),
        (Date, ["'1970-01-01'", "'0001-01-01'", "'9999-12-31'", "'2024-02-29'"]),
        (Time, ["'00:00:00'", "'23:59:59.999999'", "'12:00:00'", "'01:02:03.000004'"]),
        (
            Timestamp,
            ["'1970-01-01 00:00:00'", "'0001-01-01 00:00:00'", "'9999-12-31 23:59:59.999999'", "'2024-02-29 1:2:3'"],
        ),
        (Interval, ["'1 year 2 months'", "'-3 days'", "'1 microsecond'", "'-1 month 5 days -7 hours'"]),
        (
            Uuid,
            [
                "'00000000-0000-0000-0000-000000000000'",
                "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
                "'123e4567-e89b-12d3-a456-426614174000'",
                "'80000000-0000-0000-0000-000000000001'",
            ],
        ),
        (List(Box::new(Integer)), ["[]", "[1, NULL, 3]", "range(3000)::INTEGER[]", "[NULL]"]),
        (List(Box::new(Uuid)), ["[]", "['123e4567-e89b-12d3-a456-426614174000', NULL]", "[NULL]", "[]"]),
        (List(Box::new(List(Box::new(Varchar)))), ["[]", "[['a', NULL], NULL, []]", "[[]]", "[['b']]"]),
        (List(Box::new(Interval)), ["[]", "['1 day', NULL]", "[NULL]", "['-1 month']"]),
        (
            Struct(vec![("a".into(), Integer), ("b c".into(), Varchar)]),
            ["{'a': 1, 'b c': 'x'}", "{'a': NULL, 'b c': 'y'}", "{'a': 2, 'b c': NULL}", "{'a': 3, 'b c': ''}"],
        ),
        (
            Struct(vec![("u".into(), Uuid), ("l".into(), List(Box::new(HugeInt))), ("i".into(), Interval)]),
            [
                "{'u': '123e4567-e89b-12d3-a456-426614174000', 'l': [1, NULL], 'i': '1 day'}",
                "{'u': NULL, 'l': NULL, 'i': NULL}",
                "{'u': '80000000-0000-0000-0000-000000000001', 'l': [], 'i': '-2 months'}",
                "{'u': NULL, 'l': [99999999999999999999], 'i': NULL}",
            ],
        ),
        (
            List(Box::new(Struct(vec![("x".into(), Boolean), ("y".into(), Double)]))),
            ["[]", "[{'x': true, 'y': 1.5}, NULL, {'x': NULL, 'y': NULL}]", "[NULL]", "[{'x': false, 'y': 'nan'}]"],
        ),
    ];
    let mut columns = vec![column("n", UBigInt)];
    let mut literals: Vec<Vec<String>> = vec![Vec::new(); 4];
    for (place, (kind, values)) in kinds.iter().enumerate() {
        columns.push(Column { name: format!("c{place}"), kind: kind.clone(), nullable: true, default: None });
        for (row, value) in values.iter().enumerate() {
            literals[row].push(format!("CAST({value} AS {kind})"));
        }
    }
    let table = Table { id: TableId(3), name: "all types".into(), version: SchemaVersion(1), columns, key: 0 };

    // The values as DuckDB evaluates them, in the form in which rows are written, NULLs between them
    // and more than one vector of them.
    let plain = raftduck_engine::plain::Plain::open_in_memory(512 << 20, 1).unwrap();
    let values: Vec<String> = literals.iter().map(|row| format!("({})", row.join(", "))).collect();
    let names: Vec<String> = (0..kinds.len()).map(|place| format!("c{place}")).collect();
    plain
        .execute(&format!("CREATE TABLE v AS SELECT * FROM (VALUES {}) AS v({})", values.join(", "), names.join(", ")))
        .unwrap();
    plain.execute("INSERT INTO v (c0) VALUES (NULL)").unwrap();
    let answered = plain.query("SELECT * FROM v").unwrap();
    let answered = arrow::compute::concat_batches(&answered[0].schema(), &answered).unwrap();
    let indices: UInt64Array = (0..6_000_u64).map(|row| row * 7 % 5).collect();
    let mut arrays: Vec<ArrayRef> = vec![Arc::new((0..6_000_u64).collect::<UInt64Array>())];
    for (column, (kind, _)) in answered.columns().iter().zip(&kinds) {
        let written = arrow_schema::conform(column, kind).unwrap();
        arrays.push(arrow::compute::take(&written, &indices, None).unwrap());
    }
    let batch = RecordBatch::try_new(arrow_schema::of_table(&table), arrays).unwrap();
    (table, batch)
}
