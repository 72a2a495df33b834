//! A partition's state on its way from one store to another.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::snapshot::{ONE, copy, files, source, state, wide_rows, wider};
use crate::support::*;
use arrow::array::Array;
use raftduck_engine::{ApplyOutcome, EntryKind, ExportError, InstallError, PartOutcome, Store, StoreOptions};
use raftduck_model::{ColumnType, CommandBody, KeyDigest, LogIndex, SchemaVersion, Table, TableId};

fn named(id: u32, name: &str) -> Table {
    Table { id: TableId(id), name: name.into(), ..events() }
}

#[tokio::test]
async fn a_partition_moves_whole_and_goes_on_alike() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, table) = source(from.path()).await;
    let exported = one.export(ONE).await.unwrap();
    assert_eq!((exported.last, &exported.membership[..]), (Some(id(10)), &b"second"[..]));
    assert_eq!(files(&exported.folder), ["keys-0.parquet", "manifest", "t1-0.parquet", "t3-0.parquet"]);

    // Names that a path in SQL could trip over.
    let odd = to.path().join("a=1 [x] * 'q' \"");
    let folder = copy(&exported, &odd.join("incoming"));
    let other = open(&odd);
    other.install(ONE, &folder).await.unwrap();
    let expected = state(&one, 1).await;
    assert_eq!(expected.len(), 2 + 5 + 6_000 + 3_005 + 500 + 7);
    assert_eq!(state(&other, 1).await, expected);
    assert_eq!(other.partition(ONE).checkpointed(), Some(id(10)));
    for version in [1, 2] {
        assert!(other.knows(ONE, TableId(1), SchemaVersion(version)));
    }

    let select = "SELECT * FROM \"all types\" ORDER BY n";
    let mut answers = Vec::new();
    for store in [&one, &other] {
        let (schema, batches) = run(store, spec(select, std::slice::from_ref(&table))).await.unwrap();
        answers.push(arrow::compute::concat_batches(&schema, &batches).unwrap());
    }
    for (place, column) in table.columns.iter().enumerate() {
        let [sent, got] = [&answers[0], &answers[1]].map(|answer| answer.column(place).to_data());
        assert_eq!(sent, got, "{} {}", column.name, column.kind);
    }
    let null_fields = "SELECT count(*) FROM \"all types\" WHERE c27 IS NULL AND c27.a IS NOT NULL";
    assert_eq!(number(&other, null_fields, &[table]).await, 0);

    for store in [&one, &other] {
        let again = command(12, append(&events(), vec![part(2, &rows(0, 3_000)), part(77, &rows(9_000, 1))]));
        let written = PartOutcome::Duplicate { index: LogIndex(6), rows: 3_000 };
        let expected = ApplyOutcome::Parts(vec![written, PartOutcome::Written { rows: 1 }]);
        assert_eq!(apply(store, 1, 11, again).await, expected);
    }
    let expected = state(&one, 1).await;
    assert_eq!(state(&other, 1).await, expected);
    other.close();
    drop(other);
    assert_eq!(state(&open(&odd), 1).await, expected);
}

#[tokio::test]
async fn an_install_replaces_rows_keys_and_tables_and_leaves_other_partitions_alone() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, _) = source(from.path()).await;
    let exported = one.export(ONE).await.unwrap();

    let other = open(to.path());
    let (lonely, shared) = (named(7, "lonely"), named(8, "shared"));
    let mut widest = wider();
    widest.version = SchemaVersion(3);
    let mut added = column("u", ColumnType::Uuid);
    added.default = Some("'123e4567-e89b-12d3-a456-426614174000'".into());
    widest.columns.push(added);
    for partition in [1, 2] {
        let mut kinds = vec![
            command(1, CommandBody::SetSchema(events())),
            command(1, append(&events(), vec![part(50, &rows(70_000, 20)), part(2, &rows(1, 2))])),
            command(1, CommandBody::SetSchema(shared.clone())),
            command(1, append(&shared, vec![part(51, &rows(80_000, 20))])),
        ];
        match partition {
            1 => kinds.extend([
                command(1, CommandBody::SetSchema(lonely.clone())),
                command(1, append(&lonely, vec![part(52, &rows(90_000, 20))])),
            ]),
            _ => kinds.push(command(1, CommandBody::SetSchema(widest.clone()))),
        }
        apply_all(&other, partition, 1, kinds).await;
    }
    let neighbour = state(&other, 2).await;
    other.install(ONE, &exported.folder).await.unwrap();

    assert_eq!(state(&other, 2).await, neighbour);
    let columns = "SELECT _idx, _ord, c0, c1, c2 FROM store.main.t1 WHERE _part = 1 ORDER BY _idx, _ord";
    assert_eq!(text(&other, columns, &[]).await, text(&one, columns, &[]).await);
    let defaults = "SELECT count(*) FROM store.main.t1 WHERE c3 = '123e4567-e89b-12d3-a456-426614174000'";
    assert_eq!(number(&other, defaults, &[]).await, 3_512 + 22);
    let gone = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 't7'";
    assert_eq!(number(&other, gone, &[]).await, 0);
    assert_eq!(number(&other, "SELECT count(*) FROM store.main.t8 WHERE _part = 1", &[]).await, 0);
    assert_eq!(other.tables(ONE), [TableId(1), TableId(3)]);
    let partition = other.partition(ONE);
    assert_eq!((partition.key(KeyDigest(50)), partition.keys()), (None, 5));
    assert_eq!(partition.key(KeyDigest(2)).unwrap().rows, 3_000);

    let next = command(12, append(&wider(), vec![part(60, &wide_rows(1, 1))]));
    assert_eq!(apply(&other, 1, 11, next).await, ApplyOutcome::Parts(vec![PartOutcome::Written { rows: 1 }]));
    let late = apply(&other, 1, 12, command(12, append(&shared, vec![part(61, &rows(0, 1))]))).await;
    assert!(matches!(late, ApplyOutcome::Rejected { .. }), "{late:?}");
    let expected = [state(&other, 1).await, state(&other, 2).await];
    other.close();
    drop(other);
    let other = open(to.path());
    assert_eq!([state(&other, 1).await, state(&other, 2).await], expected);
}

#[tokio::test]
async fn a_partition_without_rows_moves_too() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, other) = (open(from.path()), open(to.path()));
    let empty = one.export(ONE).await.unwrap();
    assert_eq!((empty.last, files(&empty.folder)), (None, vec!["manifest".to_owned()]));
    other.install(ONE, &empty.folder).await.unwrap();
    apply_all(&one, 1, 1, vec![EntryKind::Blank, command(4, CommandBody::SetSchema(events()))]).await;
    let exported = one.export(ONE).await.unwrap();
    other.install(ONE, &exported.folder).await.unwrap();
    assert_eq!(state(&other, 1).await, state(&one, 1).await);
    // The same again changes nothing, and one from before is refused.
    other.install(ONE, &exported.folder).await.unwrap();
    let behind = other.install(ONE, &empty.folder).await.unwrap_err();
    assert!(matches!(behind, InstallError::Behind(applied) if applied == id(2)), "{behind}");
    assert_eq!(state(&other, 1).await, state(&one, 1).await);
}

/// How many rows entry `index` of a partition adds.
fn count(index: u64) -> i64 {
    (index * 37 % 400) as i64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_export_beside_applying_holds_exactly_what_its_last_entry_says() {
    let from = tempfile::tempdir().unwrap();
    let one = Store::open(&from.path().join("rows"), StoreOptions { checkpoint_rows: 5_000, ..options(from.path()) });
    let one = one.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for partition in [1, 2] {
        let (store, stop) = (one.clone(), Arc::clone(&stop));
        writers.push(tokio::spawn(async move {
            apply(&store, partition, 1, command(1, CommandBody::SetSchema(events()))).await;
            let mut index = 2;
            while !stop.load(Ordering::Relaxed) {
                // Tables come and go and grow beside the rows.
                let kind = match index % 50 {
                    10 if partition == 2 => CommandBody::SetSchema(named(100 + index as u32, "passing")),
                    20 if partition == 2 => CommandBody::DropTable(TableId(90 + index as u32)),
                    30 if index == 30 && partition == 2 => CommandBody::SetSchema(wider()),
                    _ => append(&events(), vec![part(u128::from(index), &rows(index as i64, count(index)))]),
                };
                apply(&store, partition, index, command(index, kind)).await;
                index += 1;
            }
        }));
    }
    let mut seen = Vec::new();
    for _ in 0..6 {
        let least = seen.last().map_or(40, |last| last + 20);
        one.partition(ONE).watch_applied().wait_for(|applied| applied.index().0 >= least).await.unwrap();
        let exported = one.export(ONE).await.unwrap();
        let last = exported.last.unwrap().index;
        assert!(last >= least);
        let to = tempfile::tempdir().unwrap();
        let other = open(to.path());
        other.install(ONE, &exported.folder).await.unwrap();
        let per_entry = "SELECT _idx, count(*), count(DISTINCT _ord), sum(c0) FROM store.main.t1 GROUP BY 1 ORDER BY 1";
        let expected: Vec<_> = (2..=last)
            .filter(|index| count(*index) > 0)
            .map(|index| {
                let (from, count) = (index as i64, count(index));
                format!("{index}|{count}|{count}|{}", count * from + count * (count - 1) / 2)
            })
            .collect();
        assert_eq!(text(&other, per_entry, &[]).await, expected);
        assert_eq!(other.partition(ONE).keys() as u64, last - 1);
        assert_eq!(other.partition(ONE).applied().time.0, last);
        fs::remove_dir_all(&exported.folder).unwrap();
        seen.push(last);
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(one.stats().checkpoints > 0, "no checkpoint ran beside the exports");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_is_given_up_leaves_nothing_and_gives_its_turn_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    apply(&store, 1, 1, command(1, CommandBody::SetSchema(events()))).await;
    for index in 2..8 {
        let from = index as i64 * 200_000;
        apply(&store, 1, index, command(1, append(&events(), vec![part(u128::from(index), &rows(from, 100_000))])))
            .await;
    }
    let exports = folder.path().join("rows/exports");
    for _ in 0..4 {
        let export = store.export(ONE);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(5), export).await.is_err());
    }
    let kept = store.export(ONE).await.unwrap();
    let rows: Vec<_> = files(&kept.folder).into_iter().filter(|name| name.starts_with("t1-")).collect();
    assert!(rows.len() > 1, "600,000 rows are more than one file's: {rows:?}");
    // The turn was the last one's, so the others have ended.
    assert_eq!(files(&exports).len(), 1);
    let left = kept.folder.clone();
    store.close();
    assert!(matches!(store.export(ONE).await, Err(ExportError::Halted(_))));
    drop(store);
    let other = tempfile::tempdir().unwrap();
    let moved = copy(&kept, &other.path().join("kept"));
    let store = open(folder.path());
    assert!(!left.exists(), "what the last process left is removed");
    let two = open(other.path());
    two.install(ONE, &moved).await.unwrap();
    assert_eq!(state(&two, 1).await.len(), state(&store, 1).await.len());
    let digest = "SELECT count(*), bit_xor(hash(_idx, _ord, c0, c1)) FROM store.main.t1";
    assert_eq!(text(&two, digest, &[]).await, text(&store, digest, &[]).await);
}

#[tokio::test]
async fn an_export_that_takes_too_long_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { longest_export: std::time::Duration::ZERO, ..options(folder.path()) };
    let store = Store::open(&folder.path().join("rows"), options).unwrap();
    apply(&store, 1, 1, command(1, CommandBody::SetSchema(events()))).await;
    apply(&store, 1, 2, command(1, append(&events(), vec![part(1, &rows(0, 100))]))).await;
    let error = store.export(ONE).await.unwrap_err();
    assert!(matches!(error, ExportError::Timeout), "{error}");
    assert!(files(&folder.path().join("rows/exports")).is_empty());
}
