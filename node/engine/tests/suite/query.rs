//! Questions to a store: what they see, what they may not do, and how they end.

use std::time::{Duration, Instant};

use crate::support::types::all_types;
use crate::support::*;
use arrow::array::Array;
use raftduck_engine::{QueryError, QuerySpec, Store, arrow_schema};
use raftduck_model::{ColumnType, CommandBody, LogIndex, PartitionId, SchemaVersion, Table, TableId};

async fn filled(folder: &std::path::Path, rows_each: i64) -> (Store, Table) {
    let store = open(folder);
    let table = events();
    for partition in 1..=3_u32 {
        let from = i64::from(partition - 1) * rows_each;
        let kinds = vec![
            command(1, CommandBody::SetSchema(table.clone())),
            command(1, append(&table, vec![part(u128::from(partition), &rows(from, rows_each))])),
        ];
        apply_all(&store, partition, 1, kinds).await;
    }
    (store, table)
}

/// A query that would run for minutes, whose functions are bounded by their input. No statistics of
/// the columns can tell that nothing comes of it.
const HEAVY: &str = "SELECT count(*) FROM events a, events b, events c WHERE hash(a.k, b.k, c.k) = 0";

#[tokio::test]
async fn a_query_sees_its_partitions_and_says_how_far_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (store, table) = filled(folder.path(), 5_000).await;
    let tables = [table];
    assert_eq!(number(&store, "SELECT count(*) FROM events", &tables).await, 15_000);
    let some = QuerySpec { partitions: Some(vec![PartitionId(2)]), ..spec("SELECT min(k) FROM Events", &tables) };
    let stream = store.query(some.clone()).await.unwrap();
    assert_eq!(stream.answered.applied.get(&PartitionId(2)), Some(&LogIndex(2)));
    drop(stream);
    let (_, batches) = run(&store, some).await.unwrap();
    assert_eq!(batches[0].num_rows(), 1);
    let none = QuerySpec { partitions: Some(Vec::new()), ..spec("SELECT k FROM events", &tables) };
    assert!(run(&store, none).await.unwrap().1.is_empty());
}

#[tokio::test]
async fn an_answer_is_cut_at_its_greatest_number_of_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (store, table) = filled(folder.path(), 5_000).await;
    for (most, rows, cut) in [(1, 1, true), (14_999, 14_999, true), (15_000, 15_000, false), (20_000, 15_000, false)] {
        let spec = QuerySpec { max_rows: Some(most), ..spec("SELECT * FROM events", std::slice::from_ref(&table)) };
        let mut stream = store.query(spec).await.unwrap();
        let mut count = 0;
        while let Some(batch) = stream.next().await.unwrap() {
            count += batch.num_rows();
        }
        assert_eq!((count, stream.truncated()), (rows, cut), "at most {most}");
    }
}

#[tokio::test]
async fn a_table_that_no_log_has_named_is_empty_with_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (schema, batches) = run(&store, spec("SELECT * FROM events", &[events()])).await.unwrap();
    assert!(batches.is_empty());
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["k", "v"]);
}

#[tokio::test]
async fn names_of_any_kind_are_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let table = Table {
        id: TableId(7),
        name: "select \"x\"; --".into(),
        version: SchemaVersion(1),
        columns: vec![column("a\"b", ColumnType::BigInt), column("_idx2", ColumnType::BigInt)],
        key: 0,
    };
    apply(&store, 1, 1, command(1, CommandBody::SetSchema(table.clone()))).await;
    let sql = "SELECT \"a\"\"b\", _idx2 FROM \"select \"\"x\"\"; --\"";
    assert!(run(&store, spec(sql, &[table])).await.unwrap().1.is_empty());
}

#[tokio::test]
async fn hostile_statements_are_refused_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let (store, table) = filled(folder.path(), 100).await;
    let tables = [table];
    let target = folder.path().join("stolen");
    let path = target.display();
    for sql in [
        format!("COPY events TO '{path}'"),
        format!("ATTACH '{path}' AS x"),
        "ATTACH ':memory:' AS x".into(),
        "PRAGMA database_list".into(),
        "SET memory_limit = '100GB'".into(),
        "SET lock_configuration = false".into(),
        "SELECT 1; DELETE FROM store.main.t1".into(),
        "DELETE FROM store.main.t1; SELECT 1".into(),
        "COMMIT; DELETE FROM store.main.t1".into(),
        "DELETE FROM store.main.t1".into(),
        "WITH m AS (DELETE FROM store.main.t1 RETURNING *) SELECT count(*) FROM m".into(),
        format!("WITH m AS (COPY events TO '{path}') SELECT 1"),
        "CHECKPOINT store".into(),
        "DETACH store".into(),
        "INSTALL httpfs".into(),
        "LOAD httpfs".into(),
        "SELECT * FROM read_csv('/etc/passwd')".into(),
        "SELECT * FROM '/etc/passwd'".into(),
        "SELECT * FROM glob('/etc/*')".into(),
        "SELECT read_text FROM read_text('/etc/hostname')".into(),
        "SELECT getenv('HOME')".into(),
        format!("EXPORT DATABASE '{path}'"),
        "CREATE TABLE store.main.x (a INT)".into(),
        "DROP TABLE store.main.t1".into(),
        "ALTER TABLE store.main.t1 ADD COLUMN z INT".into(),
        String::new(),
        ";".into(),
        "SELECT".into(),
        "SELECT '\0'".into(),
    ] {
        let result = run(&store, spec(&sql, &tables)).await;
        assert!(result.is_err(), "{sql} was answered");
    }
    for sql in [
        "SELECT * FROM query('DELETE FROM store.main.t1')",
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "SELECT * FROM duckdb_settings()",
        "SELECT current_setting('temp_directory')",
    ] {
        // A store's caller refuses these by name; here they only must do no harm.
        let _ = run(&store, spec(sql, &tables)).await;
    }
    assert!(!target.exists());
    assert_eq!(number(&store, "SELECT count(*) FROM events", &tables).await, 300);
    assert_eq!(apply(&store, 1, 3, command(2, append(&tables[0], vec![part(9, &rows(0, 1))]))).await, {
        raftduck_engine::ApplyOutcome::Parts(vec![raftduck_engine::PartOutcome::Written { rows: 1 }])
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_queries_end_at_their_time_while_apply_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (store, table) = filled(folder.path(), 20_000).await;
    let heavy: Vec<_> = (0..4)
        .map(|_| {
            let (store, table) = (store.clone(), table.clone());
            tokio::spawn(async move {
                let spec = QuerySpec { timeout: Duration::from_secs(2), ..spec(HEAVY, &[table]) };
                run(&store, spec).await.map(|_| ())
            })
        })
        .collect();
    let mut index = 3;
    while !heavy.iter().all(|query| query.is_finished()) {
        apply(&store, 1, index, command(2, append(&table, vec![part(u128::from(index) << 20, &rows(0, 10))]))).await;
        index += 1;
    }
    for query in heavy {
        assert_eq!(query.await.unwrap(), Err(QueryError::Timeout));
    }
    assert!(index > 10, "only {index} entries were applied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_query_gives_its_turn_back() {
    let folder = tempfile::tempdir().unwrap();
    let (store, table) = filled(folder.path(), 20_000).await;
    for _ in 0..12 {
        // Whether it is dropped before its columns are known or after is up to the engine.
        let asked = async { store.query(spec(HEAVY, std::slice::from_ref(&table))).await?.next().await };
        assert!(tokio::time::timeout(Duration::from_millis(30), asked).await.is_err());
    }
    // And one whose reader goes away half-way.
    let all = "SELECT a.k, b.v FROM events a, events b";
    for _ in 0..8 {
        let mut stream = store.query(spec(all, std::slice::from_ref(&table))).await.unwrap();
        assert!(stream.next().await.unwrap().is_some());
    }
    assert_eq!(number(&store, "SELECT count(*) FROM events", &[table]).await, 60_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_reading_is_ended_at_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let (store, table) = filled(folder.path(), 20_000).await;
    let all = "SELECT a.k, b.v FROM events a, events b";
    let spec = QuerySpec { timeout: Duration::from_millis(500), ..spec(all, &[table]) };
    let mut stream = store.query(spec).await.unwrap();
    let begun = Instant::now();
    while store.stats().running_queries > 0 && begun.elapsed() < Duration::from_secs(30) {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.stats().running_queries, 0);
    while let Ok(Some(_)) = stream.next().await {}
    assert!(!stream.truncated());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_queries_than_may_wait_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    (options.concurrent_queries, options.waiting_queries) = (1, 1);
    let store = Store::open(&folder.path().join("rows"), options).unwrap();
    // More rows than wait for a reader: it keeps its turn.
    let first = store.query(spec("SELECT * FROM range(100000000)", &[])).await.unwrap();
    let short = |sql| store.query(QuerySpec { timeout: Duration::from_millis(50), ..spec(sql, &[]) });
    let (waited, refused) = tokio::join!(short("SELECT 2"), short("SELECT 3"));
    assert!(matches!(waited.err(), Some(QueryError::Timeout)));
    assert!(matches!(refused.err(), Some(QueryError::Busy)));
    drop(first);
    run(&store, spec("SELECT 4", &[])).await.unwrap();
}

#[tokio::test]
async fn every_column_type_comes_back_as_it_went_in() {
    let (table, batch) = all_types();
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    apply(&store, 1, 1, command(1, CommandBody::SetSchema(table.clone()))).await;
    let outcome = apply(&store, 1, 2, command(1, append(&table, vec![part(1, &batch)]))).await;
    assert_eq!(
        outcome,
        raftduck_engine::ApplyOutcome::Parts(vec![raftduck_engine::PartOutcome::Written { rows: 6_000 }])
    );
    store.checkpoint().await.unwrap();
    store.close();
    drop(store);

    let store = open(folder.path());
    let (_, batches) =
        run(&store, spec("SELECT * FROM \"all types\" ORDER BY n", std::slice::from_ref(&table))).await.unwrap();
    let back = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    for (place, column) in table.columns.iter().enumerate() {
        let read = arrow_schema::conform(back.column(place), &column.kind).unwrap();
        let sent = batch.column(place);
        assert_eq!(read.null_count(), sent.null_count(), "{} {}", column.name, column.kind);
        assert_eq!(&read.to_data(), &sent.to_data(), "{} {}", column.name, column.kind);
    }
    let null_fields = "SELECT count(*) FROM \"all types\" WHERE c27 IS NULL AND c27.a IS NOT NULL";
    assert_eq!(number(&store, null_fields, &[table]).await, 0);
}
