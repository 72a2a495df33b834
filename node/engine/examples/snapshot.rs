//! How fast a partition moves between two stores, and what memory that takes.
//!
//! `cargo build --release --workspace --example snapshot`, then
//! `target/release/examples/snapshot [ROWS-IN-MILLIONS [MEMORY-IN-MIB]]`
//!
//! Two partitions hold the rows between them; one of them moves, twice: into an empty store, and
//! again over what is there then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use raftduck_engine::{ApplyBatch, EngineEntry, EntryKind, Store, StoreOptions, arrow_schema, batch};
use raftduck_model::{
    Append, BodyDigest, Column, ColumnType, Command, CommandBody, KeyDigest, LogId, LogTime, Part, PartitionId,
    ReplicaId, SchemaVersion, Table, TableId,
};

/// Rows of one entry, close to the 1 MiB that one may have.
const ENTRY_ROWS: i64 = 16_000;

fn table() -> Table {
    let column = |name: &str, kind| Column { name: name.into(), kind, nullable: true, default: None };
    let columns = vec![
        column("id", ColumnType::BigInt),
        column("host", ColumnType::Varchar),
        column("value", ColumnType::Double),
        column("text", ColumnType::Varchar),
    ];
    Table { id: TableId(1), name: "bench".into(), version: SchemaVersion(1), columns, key: 0 }
}

fn rows(from: i64) -> RecordBatch {
    let range = from..from + ENTRY_ROWS;
    let mixed = |row: i64| (row.wrapping_mul(0x5851_f42d_4c95_7f2d) >> 20) & 0xfff_ffff;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(range.clone())),
        Arc::new(StringArray::from_iter_values(range.clone().map(|row| format!("host-{}", row % 100)))),
        Arc::new(Float64Array::from_iter_values(range.clone().map(|row| mixed(row) as f64 * 0.1))),
        Arc::new(StringArray::from_iter_values(range.map(|row| format!("a line of text, number {}", mixed(row))))),
    ];
    RecordBatch::try_new(arrow_schema::of_table(&table()), columns).unwrap()
}

fn open(folder: &Path, memory_mib: u64) -> Store {
    let halt = Arc::new(|reason: &str| panic!("the store halted: {reason}"));
    let options = StoreOptions::new(memory_mib << 20, 2, folder.join("spill"), halt);
    Store::open(&folder.join("rows"), options).unwrap()
}

async fn apply(store: &Store, partition: u32, index: u64) {
    let body = match index {
        1 => CommandBody::SetSchema(table()),
        _ => {
            let data = batch::encode(&rows(index as i64 * ENTRY_ROWS)).unwrap();
            let key = KeyDigest(index.into());
            let part = Part { key, body: BodyDigest(index), rows: ENTRY_ROWS as u32, data };
            CommandBody::Append(Append { table: TableId(1), version: SchemaVersion(1), parts: vec![part] })
        }
    };
    let kind = EntryKind::Command(Command { time: LogTime(index), body }.encode());
    let id = LogId { term: 1, leader: ReplicaId(1), index };
    let entries = vec![EngineEntry { id, kind, done: None }];
    store.apply(ApplyBatch { partition: PartitionId(partition), entries }).await.unwrap();
}

/// The most that the process has held since it was last asked, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or_default();
    // Linux forgets the peak on a 5.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    kib >> 10
}

fn report(what: &str, rows: i64, began: Instant) {
    let took = began.elapsed();
    let rate = rows as f64 / took.as_secs_f64() / 1e6;
    println!("{what:<32}{:>8.2} s{rate:>8.2} M rows/s{:>8} MiB at most", took.as_secs_f64(), peak_mib());
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().expect("a number"));
    let entries = arguments.next().unwrap_or(2) * 1_000_000 / ENTRY_ROWS as u64;
    let memory = arguments.next().unwrap_or(512);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(from.path(), memory);
    let began = Instant::now();
    for index in 1..=entries / 2 + 1 {
        for partition in [1, 2] {
            apply(&store, partition, index).await;
        }
    }
    let moved = entries as i64 / 2 * ENTRY_ROWS;
    report("apply both partitions", moved * 2, began);

    let began = Instant::now();
    let exported = store.export(PartitionId(1)).await.unwrap();
    report("export one", moved, began);
    let files: Vec<_> = std::fs::read_dir(&exported.folder).unwrap().map(|file| file.unwrap()).collect();
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    println!("{} files, {} MiB", files.len(), bytes >> 20);
    store.close();
    drop(store);

    let other = open(to.path(), memory);
    peak_mib();
    for what in ["install into an empty store", "install over the same rows"] {
        let began = Instant::now();
        let before = other.stats().checkpoint_micros;
        other.install(PartitionId(1), &exported.folder).await.unwrap();
        report(what, moved, began);
        println!("  of which checkpoints {:.2} s", (other.stats().checkpoint_micros - before) as f64 / 1e6);
    }
    println!("the file has {} MiB", other.stats().file_bytes >> 20);
    other.close();
}
