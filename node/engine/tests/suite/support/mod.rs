//! A store in a temporary folder, and a plain model of what must be in it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

pub mod crash;
pub mod snapshot;
pub mod types;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, SchemaRef};
use raftduck_engine::{
    ApplyBatch, ApplyOutcome, EngineEntry, EntryKind, QueryError, QuerySpec, Store, StoreOptions, arrow_schema, batch,
};
use raftduck_model::{
    Append, BodyDigest, Column, ColumnType, Command, CommandBody, KeyDigest, LogId, LogTime, Part, PartitionId,
    ReplicaId, SchemaVersion, Table, TableId,
};

pub fn options(folder: &Path) -> StoreOptions {
    StoreOptions::new(512 << 20, 2, folder.join("spill"), Arc::new(|reason| eprintln!("halted: {reason}")))
}

pub fn open(folder: &Path) -> Store {
    Store::open(&folder.join("rows"), options(folder)).unwrap()
}

pub fn column(name: &str, kind: ColumnType) -> Column {
    Column { name: name.into(), kind, nullable: true, default: None }
}

/// `events(k BIGINT, v VARCHAR)`, table 1.
pub fn events() -> Table {
    Table {
        id: TableId(1),
        name: "events".into(),
        version: SchemaVersion(1),
        columns: vec![column("k", ColumnType::BigInt), column("v", ColumnType::Varchar)],
        key: 0,
    }
}

pub fn rows(from: i64, count: i64) -> RecordBatch {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + count));
    let values: ArrayRef =
        Arc::new((from..from + count).map(|key| (key % 7 > 0).then(|| format!("v{key}"))).collect::<StringArray>());
    RecordBatch::try_new(arrow_schema::of_table(&events()), vec![keys, values]).unwrap()
}

pub fn part(key: u128, data: &RecordBatch) -> Part {
    Part {
        key: KeyDigest(key),
        body: BodyDigest(key as u64 ^ 0xabc),
        rows: data.num_rows() as u32,
        data: batch::encode(data).unwrap(),
    }
}

pub fn append(table: &Table, parts: Vec<Part>) -> CommandBody {
    CommandBody::Append(Append { table: table.id, version: table.version, parts })
}

pub fn id(index: u64) -> LogId {
    LogId { term: 1, leader: ReplicaId(1), index }
}

pub fn command(time: u64, body: CommandBody) -> EntryKind {
    EntryKind::Command(Command { time: LogTime(time), body }.encode())
}

/// Applies one entry and gives what it came to.
pub async fn apply(store: &Store, partition: u32, index: u64, kind: EntryKind) -> ApplyOutcome {
    apply_all(store, partition, index, vec![kind]).await.pop().unwrap()
}

/// Applies entries from `first` on and gives what each came to.
pub async fn apply_all(store: &Store, partition: u32, first: u64, kinds: Vec<EntryKind>) -> Vec<ApplyOutcome> {
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let entries = kinds.into_iter().enumerate().map(|(place, kind)| {
        let outcomes = Arc::clone(&outcomes);
        let done = Box::new(move |outcome| outcomes.lock().unwrap().push(outcome));
        EngineEntry { id: id(first + place as u64), kind, done: Some(done) }
    });
    let batch = ApplyBatch { partition: PartitionId(partition), entries: entries.collect() };
    store.apply(batch).await.unwrap();
    std::mem::take(&mut *outcomes.lock().unwrap())
}

pub fn spec(sql: &str, tables: &[Table]) -> QuerySpec {
    QuerySpec {
        sql: sql.into(),
        tables: tables.to_vec(),
        partitions: None,
        max_rows: None,
        timeout: Duration::from_secs(60),
    }
}

pub async fn run(store: &Store, spec: QuerySpec) -> Result<(SchemaRef, Vec<RecordBatch>), QueryError> {
    let mut stream = store.query(spec).await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await? {
        batches.push(batch);
    }
    Ok((Arc::clone(&stream.answered.schema), batches))
}

/// The answer's rows as text, in order.
pub async fn text(store: &Store, sql: &str, tables: &[Table]) -> Vec<String> {
    let (_, batches) = run(store, spec(sql, tables)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let options = arrow::util::display::FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| arrow::util::display::ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    lines
}

pub async fn number(store: &Store, sql: &str, tables: &[Table]) -> i64 {
    let (_, batches) = run(store, spec(sql, tables)).await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}
