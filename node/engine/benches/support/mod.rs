//! What the benches are told, and what they fill a store with.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use raftduck_engine::{arrow_schema, batch};
use raftduck_model::{
    Append, BodyDigest, Column, ColumnType, Command, CommandBody, KeyDigest, LogTime, Part, SchemaVersion, Table,
    TableId,
};

/// The numbers on the command line, without the word that `cargo bench` adds.
pub fn arguments() -> impl Iterator<Item = u64> {
    std::env::args().skip(1).filter(|word| word != "--bench").map(|word| word.parse().expect("a number"))
}

pub fn table() -> Table {
    let column = |name: &str, kind| Column { name: name.into(), kind, nullable: true, default: None };
    let columns = vec![
        column("id", ColumnType::BigInt),
        column("host", ColumnType::Varchar),
        column("value", ColumnType::Double),
        column("text", ColumnType::Varchar),
    ];
    Table { id: TableId(1), name: "bench".into(), version: SchemaVersion(1), columns, key: 0 }
}

/// Entry `index` of a partition: the table, then `count` rows each.
pub fn entry(partition: u32, index: u64, count: i64) -> Bytes {
    let body = match index {
        1 => CommandBody::SetSchema(table()),
        _ => {
            let data = batch::encode(&rows(index as i64 * count, count)).unwrap();
            let key = KeyDigest(u128::from(partition) << 64 | u128::from(index));
            let part = Part { key, body: BodyDigest(index), rows: count as u32, data };
            CommandBody::Append(Append { table: TableId(1), version: SchemaVersion(1), parts: vec![part] })
        }
    };
    Command { time: LogTime(index), body }.encode()
}

fn rows(from: i64, count: i64) -> RecordBatch {
    let range = from..from + count;
    // Numbers in sequence would pack into next to nothing.
    let mixed = |row: i64| (row.wrapping_mul(0x5851_f42d_4c95_7f2d) >> 20) & 0xfff_ffff;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(range.clone())),
        Arc::new(StringArray::from_iter_values(range.clone().map(|row| format!("host-{}", row % 100)))),
        Arc::new(Float64Array::from_iter_values(range.clone().map(|row| mixed(row) as f64 * 0.1))),
        Arc::new(StringArray::from_iter_values(range.map(|row| format!("a line of text, number {}", mixed(row))))),
    ];
    RecordBatch::try_new(arrow_schema::of_table(&table()), columns).unwrap()
}
