//! When a checkpoint is written, and what keeps it waiting.

use std::time::Duration;

use crate::support::snapshot::copy_folder;
use crate::support::*;
use raftduck_engine::{EntryKind, QueryStream, Store, StoreOptions};
use raftduck_model::{ColumnType, CommandBody, PartitionId, SchemaVersion, Table};
use tokio::time::timeout;

/// A store with one row in partition 1, which only writes a checkpoint when asked, and a query that has begun and
/// is not read on.
async fn read_slowly(folder: &std::path::Path) -> (Store, Table, QueryStream) {
    let no_age = StoreOptions { checkpoint_age: Duration::from_secs(3_600), ..options(folder) };
    let store = Store::open(&folder.join("rows"), no_age).unwrap();
    let table = events();
    let kinds =
        vec![command(1, CommandBody::SetSchema(table.clone())), command(1, append(&table, vec![part(1, &rows(0, 1))]))];
    apply_all(&store, 1, 1, kinds).await;
    store.checkpoint().await.unwrap();
    let reader = store.query(spec("SELECT * FROM range(100000000)", &[])).await.unwrap();
    (store, table, reader)
}

fn checkpointed(store: &Store) -> Option<u64> {
    store.partition(PartitionId(1)).checkpointed().map(|last| last.index)
}

/// The table with a column more for each version after the first.
fn widened(version: u32) -> Table {
    let more = (2..=version).map(|version| column(&format!("c{version}"), ColumnType::BigInt));
    let mut table = events();
    table.version = SchemaVersion(version);
    table.columns.extend(more);
    table
}

#[tokio::test]
async fn rows_reach_the_file_while_a_query_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (store, table, reader) = read_slowly(folder.path()).await;
    apply(&store, 1, 3, command(1, append(&table, vec![part(2, &rows(1, 3_000))]))).await;
    timeout(Duration::from_secs(60), store.checkpoint()).await.expect("the reader keeps it waiting").unwrap();
    assert_eq!(checkpointed(&store), Some(3));
    drop(reader);
}

const LAST: u32 = 40;

/// DuckDB refuses the checkpoint until the query has ended; the store once halted at that.
#[tokio::test]
async fn a_checkpoint_after_a_table_change_waits_for_older_readers_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let (store, table, reader) = read_slowly(folder.path()).await;
    apply(&store, 1, 3, command(1, CommandBody::SetSchema(widened(2)))).await;

    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.checkpoint().await }
    });
    // Rows and further changes of tables are applied meanwhile.
    for (index, version) in (4..).step_by(2).zip(3..=LAST) {
        let row = part(u128::from(version), &rows(i64::from(version), 1));
        let kinds = vec![command(1, CommandBody::SetSchema(widened(version))), command(1, append(&table, vec![row]))];
        let applied = timeout(Duration::from_secs(30), apply_all(&store, 1, index, kinds)).await;
        applied.expect("apply waits for the checkpoint");
    }
    assert!(!waiting.is_finished(), "it was written although a reader was under way, or the store has halted");
    assert_eq!(checkpointed(&store), Some(2));

    drop(reader);
    timeout(Duration::from_secs(60), waiting).await.expect("it never comes").unwrap().unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM events", &[table]).await, i64::from(LAST) - 1);
}

/// DuckDB passes over a checkpoint where it counts no commits since the last one, and forgets to count those that came
/// while that one was written. They were said to be in the file, and the log was purged of them.
#[tokio::test]
async fn what_is_applied_during_a_checkpoint_is_in_the_next_one() {
    const ROUNDS: u64 = 6;
    // Enough that the checkpoint lasts, and less than DuckDB writes by itself.
    const ROWS: i64 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let (store, table, reader) = read_slowly(folder.path()).await;
    drop(reader);
    for round in 0..ROUNDS {
        let index = 3 + 2 * round;
        let many =
            command(1, append(&table, vec![part(u128::from(index), &rows(1_000_000 + ROWS * round as i64, ROWS))]));
        apply(&store, 1, index, many).await;
        let under_way = tokio::spawn({
            let store = store.clone();
            async move { store.checkpoint().await }
        });
        tokio::task::yield_now().await;
        apply(&store, 1, index + 1, EntryKind::Blank).await;
        under_way.await.unwrap().unwrap();
        store.checkpoint().await.unwrap();
        assert_eq!(checkpointed(&store), Some(index + 1));

        // What kill -9 would leave.
        let left = tempfile::tempdir().unwrap();
        copy_folder(&folder.path().join("rows"), &left.path().join("rows"));
        let again = open(left.path());
        assert_eq!(again.partition(PartitionId(1)).applied().last.map(|last| last.index), Some(index + 1));
        again.close();
    }
}
