//! What the apply thread does with committed entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support::*;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use raftduck_engine::{ApplyBatch, ApplyOutcome, EngineEntry, EntryKind, PartOutcome, Store, arrow_schema};
use raftduck_model::{
    BodyDigest, Column, ColumnType, CommandBody, KeyDigest, LogIndex, PartitionId, SchemaVersion, Table, TableId,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interleaved_partitions_equal_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let table = events();
    let mut tasks = tokio::task::JoinSet::new();
    for partition in 1..=12_u32 {
        let (store, table) = (store.clone(), table.clone());
        tasks.spawn(async move {
            let mut model = BTreeMap::new();
            assert_eq!(apply(&store, partition, 1, EntryKind::Blank).await, ApplyOutcome::Done);
            apply(&store, partition, 2, command(1, CommandBody::SetSchema(table.clone()))).await;
            for (index, step) in (3..).zip(0..30_i64) {
                let from = i64::from(partition) * 1_000_000 + step * 100;
                let count = (step * 13 + i64::from(partition)) % 90;
                let parts = vec![part(from as u128, &rows(from, count)), part(from as u128, &rows(from, count))];
                let outcome = apply(&store, partition, index, command(1, append(&table, parts))).await;
                let (rows, at) = (count as u32, LogIndex(index));
                let expected = vec![PartOutcome::Written { rows }, PartOutcome::Duplicate { index: at, rows }];
                assert_eq!(outcome, ApplyOutcome::Parts(expected));
                model.insert(index, count);
            }
            (partition, model)
        });
    }
    let mut models = BTreeMap::new();
    while let Some(done) = tasks.join_next().await {
        let (partition, model) = done.unwrap();
        models.insert(partition, model);
    }
    let tables = [table];
    let total: i64 = models.values().flat_map(BTreeMap::values).sum();
    assert_eq!(number(&store, "SELECT count(*) FROM events", &tables).await, total);
    for (partition, model) in &models {
        let per_entry = text(
            &store,
            &format!("SELECT _idx, count(*), count(DISTINCT _ord) FROM store.main.t1 WHERE _part = {partition} GROUP BY 1 ORDER BY 1"),
            &[],
        )
        .await;
        let expected: Vec<_> = model
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(index, count)| format!("{index}|{count}|{count}"))
            .collect();
        assert_eq!(per_entry, expected);
        let state = store.partition(PartitionId(*partition));
        assert_eq!(state.applied().index(), LogIndex(32));
        assert_eq!(state.keys(), 30);
    }
    assert!(store.stats().transactions < 12 * 32, "several partitions share a transaction");
}

#[tokio::test]
async fn entries_that_were_applied_are_skipped_and_missing_ones_halt() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    apply_all(&store, 1, 1, vec![EntryKind::Blank, EntryKind::Membership(Bytes::from_static(b"abc"))]).await;
    assert_eq!(apply(&store, 1, 2, EntryKind::Blank).await, ApplyOutcome::AppliedBefore);
    let gap = EngineEntry { id: id(4), kind: EntryKind::Blank, done: None };
    let halted = store.apply(ApplyBatch { partition: PartitionId(1), entries: vec![gap] }).await.unwrap_err();
    assert!(halted.to_string().contains("missing"), "{halted}");
    drop(store);
    let store = open(folder.path());
    let applied = store.partition(PartitionId(1)).applied();
    assert_eq!((applied.index(), applied.membership), (LogIndex(2), Bytes::from_static(b"abc")));
}

#[tokio::test]
async fn a_log_that_begins_in_its_middle_halts() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let later = EngineEntry { id: id(7), kind: EntryKind::Blank, done: None };
    let halted = store.apply(ApplyBatch { partition: PartitionId(1), entries: vec![later] }).await.unwrap_err();
    assert!(halted.to_string().contains("missing"), "{halted}");
}

#[tokio::test]
async fn an_unknown_command_halts_and_skips_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let unknown = EngineEntry { id: id(1), kind: EntryKind::Command(Bytes::from_static(b"\xff")), done: None };
    let batch = ApplyBatch { partition: PartitionId(1), entries: vec![unknown] };
    assert!(store.apply(batch).await.unwrap_err().to_string().contains("not for this build"));
    let blank = EngineEntry { id: id(1), kind: EntryKind::Blank, done: None };
    assert!(store.apply(ApplyBatch { partition: PartitionId(1), entries: vec![blank] }).await.is_err());
    assert_eq!(store.partition(PartitionId(1)).applied().last, None);
}

#[tokio::test]
async fn bad_rows_are_the_same_refusal_and_their_neighbours_go_in() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut table = events();
    table.columns[1].nullable = false;
    let good = RecordBatch::try_new(
        arrow_schema::of_table(&table),
        vec![Arc::new(Int64Array::from(vec![1])) as ArrayRef, Arc::new(StringArray::from(vec!["x"]))],
    )
    .unwrap();
    let mut damaged = part(9, &good);
    damaged.data = damaged.data.slice(..damaged.data.len() - 20);
    let outcomes = apply_all(
        &store,
        1,
        1,
        vec![
            command(1, CommandBody::SetSchema(table.clone())),
            command(1, append(&table, vec![part(1, &rows(7, 1))])),
            command(1, append(&table, vec![part(2, &good)])),
            command(1, append(&table, vec![damaged])),
            command(1, append(&Table { id: TableId(99), ..table.clone() }, vec![part(3, &good)])),
        ],
    )
    .await;
    let rejected = |outcome: &ApplyOutcome, word: &str| match outcome {
        ApplyOutcome::Rejected { reason } => assert!(reason.contains(word), "{reason}"),
        other => panic!("{other:?}"),
    };
    rejected(&outcomes[1], "NOT NULL");
    assert_eq!(outcomes[2], ApplyOutcome::Parts(vec![PartOutcome::Written { rows: 1 }]));
    rejected(&outcomes[3], "");
    rejected(&outcomes[4], "dropped");
    assert_eq!(number(&store, "SELECT count(*) FROM events", &[table]).await, 1);
    assert_eq!(store.partition(PartitionId(1)).applied().index(), LogIndex(5));
}

#[tokio::test]
async fn keys_are_remembered_over_a_restart_and_another_body_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let table = events();
    let store = open(folder.path());
    apply(&store, 3, 1, command(5, CommandBody::SetSchema(table.clone()))).await;
    apply(&store, 3, 2, command(6, append(&table, vec![part(42, &rows(0, 10))]))).await;
    store.close();
    drop(store);
    let store = open(folder.path());
    let found = store.partition(PartitionId(3)).key(KeyDigest(42)).unwrap();
    assert_eq!((found.rows, found.index, found.body), (10, LogIndex(2), BodyDigest(42 ^ 0xabc)));
    let mut other = part(42, &rows(0, 3));
    other.body = BodyDigest(1);
    let outcome = apply(&store, 3, 3, command(7, append(&table, vec![part(42, &rows(0, 10)), other]))).await;
    let index = LogIndex(2);
    assert_eq!(
        outcome,
        ApplyOutcome::Parts(vec![PartOutcome::Duplicate { index, rows: 10 }, PartOutcome::KeyReused { index }])
    );
    assert_eq!(number(&store, "SELECT count(*) FROM events", &[table]).await, 10);
}

async fn outcomes_with_three_keys(folder: &std::path::Path, restart: bool, at_once: usize) -> Vec<ApplyOutcome> {
    let mut options = options(folder);
    options.keys_per_partition = 3;
    let mut store = Store::open(&folder.join("rows"), options.clone()).unwrap();
    let table = events();
    apply(&store, 1, 1, command(1, CommandBody::SetSchema(table.clone()))).await;
    let kinds: Vec<_> = (0..60_u64)
        .map(|step| {
            let time = if step < 40 { step } else { step + 25 * 3_600_000_000 };
            command(time, append(&table, vec![part(u128::from(step * 5 % 7), &rows(step as i64, 1))]))
        })
        .collect();
    let mut outcomes = Vec::new();
    for some in kinds.chunks(at_once) {
        outcomes.extend(apply_all(&store, 1, 2 + outcomes.len() as u64, some.to_vec()).await);
        if restart && outcomes.len() % 20 == 0 {
            store.close();
            drop(store);
            store = Store::open(&folder.join("rows"), options.clone()).unwrap();
        }
    }
    outcomes
}

#[tokio::test]
async fn eviction_is_the_same_whatever_the_transactions_and_restarts() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let single = outcomes_with_three_keys(folders[0].path(), false, 1).await;
    assert_eq!(outcomes_with_three_keys(folders[1].path(), false, 60).await, single);
    assert_eq!(outcomes_with_three_keys(folders[2].path(), true, 10).await, single);
    let duplicates = single.iter().filter(|outcome| format!("{outcome:?}").contains("Duplicate")).count();
    assert!(duplicates < 60);
}

#[tokio::test]
async fn a_wider_schema_gives_older_rows_its_default() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let first = events();
    let mut second = first.clone();
    second.version = SchemaVersion(2);
    let mut added = column("w", ColumnType::Decimal { precision: 9, scale: 2 });
    added.default = Some("1.50".into());
    second.columns.push(added);

    apply(&store, 1, 1, command(1, CommandBody::SetSchema(first.clone()))).await;
    apply(&store, 2, 1, command(1, CommandBody::SetSchema(first.clone()))).await;
    apply(&store, 1, 2, command(1, append(&first, vec![part(1, &rows(1, 2))]))).await;
    let before = text(&store, "SELECT k, w FROM events ORDER BY k", std::slice::from_ref(&second)).await;
    assert_eq!(before, ["1|1.50", "2|1.50"], "a version that no log here has reached reads as its default");

    apply(&store, 1, 3, command(1, CommandBody::SetSchema(second.clone()))).await;
    // The second partition is still at the first version.
    apply(&store, 2, 2, command(1, append(&first, vec![part(2, &rows(3, 1))]))).await;
    let wide = RecordBatch::try_new(
        arrow_schema::of_table(&second),
        rows(9, 1)
            .columns()
            .iter()
            .cloned()
            .chain([Arc::new(arrow::array::Decimal128Array::from(vec![777]).with_precision_and_scale(9, 2).unwrap())
                as ArrayRef])
            .collect(),
    )
    .unwrap();
    apply(&store, 1, 4, command(1, append(&second, vec![part(3, &wide)]))).await;
    let expected = ["1|1.50", "2|1.50", "3|1.50", "9|7.77"];
    assert_eq!(text(&store, "SELECT k, w FROM events ORDER BY k", std::slice::from_ref(&second)).await, expected);
    assert_eq!(text(&store, "SELECT * FROM events WHERE k = 9", &[first]).await, ["9|v9"]);

    store.close();
    drop(store);
    let store = open(folder.path());
    assert_eq!(text(&store, "SELECT k, w FROM events ORDER BY k", std::slice::from_ref(&second)).await, expected);
    apply(&store, 2, 3, command(1, append(&events(), vec![part(4, &rows(4, 1))]))).await;
    assert_eq!(text(&store, "SELECT w FROM events WHERE k = 4", &[second]).await, ["1.50"]);
}

#[tokio::test]
async fn a_table_goes_with_the_last_partition_that_drops_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let table = events();
    for partition in [1, 2] {
        apply(&store, partition, 1, command(1, CommandBody::SetSchema(table.clone()))).await;
        apply(&store, partition, 2, command(1, append(&table, vec![part(1, &rows(0, 5))]))).await;
    }
    let physical = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 't1'";
    apply(&store, 1, 3, command(1, CommandBody::DropTable(table.id))).await;
    assert_eq!(number(&store, physical, &[]).await, 1);
    let late = apply(&store, 1, 4, command(1, append(&table, vec![part(2, &rows(0, 5))]))).await;
    assert!(matches!(late, ApplyOutcome::Rejected { .. }));
    apply(&store, 2, 3, command(1, CommandBody::DropTable(table.id))).await;
    assert_eq!(number(&store, physical, &[]).await, 0);
    assert_eq!(number(&store, "SELECT count(*) FROM events", &[table]).await, 0);
    assert_eq!(apply(&store, 2, 4, command(1, CommandBody::DropTable(TableId(1)))).await, ApplyOutcome::Done);
}

/// One partition widens the table and drops it, the other has only got as far as the narrow one.
#[tokio::test]
async fn a_column_that_nobody_knows_any_more_is_gone_at_opening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (narrow, mut wide) = (events(), events());
    wide.version = SchemaVersion(2);
    wide.columns.push(Column { default: Some("7".into()), ..column("w", ColumnType::BigInt) });
    let learned = command(1, CommandBody::SetSchema(narrow.clone()));
    let row = |index: u64| command(1, append(&narrow, vec![part(index.into(), &rows(index as i64, 1))]));
    apply_all(&store, 1, 1, vec![learned.clone(), row(2)]).await;
    let ended = command(1, CommandBody::DropTable(narrow.id));
    apply_all(&store, 2, 1, vec![learned, command(1, CommandBody::SetSchema(wide.clone())), ended]).await;
    store.close();
    drop(store);

    let store = open(folder.path());
    let written = ApplyOutcome::Parts(vec![PartOutcome::Written { rows: 1 }]);
    assert_eq!(apply(&store, 1, 3, row(3)).await, written);
    assert_eq!(apply(&store, 1, 4, command(1, CommandBody::SetSchema(wide.clone()))).await, ApplyOutcome::Done);
    assert_eq!(text(&store, "SELECT k, w FROM events ORDER BY k", &[wide]).await, ["2|7", "3|7"]);
}

#[tokio::test]
async fn a_log_of_another_program_beside_the_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    std::fs::write(folder.path().join("rows/store.duckdb.wal"), b"x").unwrap();
    let error = Store::open(&folder.path().join("rows"), options(folder.path())).err().unwrap();
    assert!(error.to_string().contains("another program"), "{error}");
    std::fs::remove_file(folder.path().join("rows/store.duckdb.wal")).unwrap();

    let question = folder.path().join("who?");
    let error = Store::open(&question.join("rows"), options(&question)).err().unwrap();
    assert!(error.to_string().contains("another folder"), "{error}");
    drop(open(folder.path()));
}
