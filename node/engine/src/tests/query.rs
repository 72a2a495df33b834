#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{ArrayRef, Int64Array};
use raftduck_model::{
    Append, BodyDigest, Column, ColumnType, Command, CommandBody, KeyDigest, LogId, LogTime, Part, ReplicaId,
    SchemaVersion, TableId,
};

use super::*;
use crate::entry::{ApplyBatch, EngineEntry, EntryKind};
use crate::{arrow_schema, batch};

const ONE: PartitionId = PartitionId(1);
const TWO: PartitionId = PartitionId(2);

fn table() -> Table {
    let column = Column { name: "k".into(), kind: ColumnType::BigInt, nullable: true, default: None };
    Table { id: TableId(1), name: "events".into(), version: SchemaVersion(1), columns: vec![column], key: 0 }
}

fn rows(index: u64, count: i64) -> CommandBody {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
    let data = batch::encode(&RecordBatch::try_new(arrow_schema::of_table(&table()), vec![column]).unwrap()).unwrap();
    let part = Part { key: KeyDigest(index.into()), body: BodyDigest(0), rows: count as u32, data };
    CommandBody::Append(Append { table: TableId(1), version: SchemaVersion(1), parts: vec![part] })
}

async fn apply(store: &Store, partition: PartitionId, index: u64, body: CommandBody) {
    let id = LogId { term: 1, leader: ReplicaId(1), index };
    let kind = EntryKind::Command(Command { time: LogTime(1), body }.encode());
    store.apply(ApplyBatch { partition, entries: vec![EngineEntry { id, kind, done: None }] }).await.unwrap();
}

fn open(folder: &Path) -> Store {
    let options = StoreOptions::new(256 << 20, 2, folder.join("spill"), Arc::new(|_| {}));
    Store::open(&folder.join("rows"), options).unwrap()
}

/// A query that has read how far the partitions are, and nothing else yet.
struct Begun {
    connection: Connection,
    applied: BTreeMap<PartitionId, LogIndex>,
}

impl Begun {
    fn on(store: &Store) -> Self {
        let connection = store.connector().connect().unwrap();
        connection.execute_batch("BEGIN TRANSACTION READ ONLY").unwrap();
        let applied = system::read_applied_indexes(&connection).unwrap();
        Self { connection, applied }
    }

    /// What it makes of all rows and of each partition's.
    fn finds(&self) -> (Vec<(PartitionId, LogIndex)>, [i64; 3]) {
        let count = |only: Option<&[PartitionId]>| -> i64 {
            view::create(&self.connection, &[table()], only).unwrap();
            let count = self.connection.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
            self.connection.execute_batch("DROP VIEW temp.events").unwrap();
            count
        };
        let counts = [count(None), count(Some(&[ONE])), count(Some(&[TWO]))];
        (self.applied.iter().map(|(id, index)| (*id, *index)).collect(), counts)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_sees_the_moment_that_its_applied_indexes_are_of() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for partition in [ONE, TWO] {
        apply(&store, partition, 1, CommandBody::SetSchema(table())).await;
        apply(&store, partition, 2, rows(2, 3_000)).await;
    }
    let earlier = store.export(ONE).await.unwrap();
    let at_start = Begun::on(&store);
    apply(&store, ONE, 3, rows(3, 200)).await;
    let grown = Begun::on(&store);
    let later = store.export(ONE).await.unwrap();
    // Only rows are deleted, so the checkpoint waits for nobody.
    store.remove(ONE).await.unwrap();
    let without_one = Begun::on(&store);
    store.install(ONE, &earlier.folder).await.unwrap();
    let back = Begun::on(&store);
    store.install(ONE, &later.folder).await.unwrap();
    let newer = Begun::on(&store);
    let mut removals = Vec::new();
    for partition in [ONE, TWO] {
        let store = store.clone();
        removals.push(tokio::spawn(async move { store.remove(partition).await }));
    }
    for partition in [ONE, TWO] {
        store.partition(partition).watch_applied().wait_for(|applied| applied.last.is_none()).await.unwrap();
    }
    let nothing = Begun::on(&store);

    let (one, two) = (|index| (ONE, LogIndex(index)), (TWO, LogIndex(2)));
    assert_eq!(at_start.finds(), (vec![one(2), two], [6_000, 3_000, 3_000]));
    assert_eq!(grown.finds(), (vec![one(3), two], [6_200, 3_200, 3_000]));
    assert_eq!(without_one.finds(), (vec![two], [3_000, 0, 3_000]));
    assert_eq!(back.finds(), (vec![one(2), two], [6_000, 3_000, 3_000]));
    assert_eq!(newer.finds(), (vec![one(3), two], [6_200, 3_200, 3_000]));
    assert_eq!(nothing.finds(), (vec![], [0, 0, 0]));
    drop((at_start, grown, without_one, back, newer, nothing));
    for removal in removals {
        removal.await.unwrap().unwrap();
    }
}
