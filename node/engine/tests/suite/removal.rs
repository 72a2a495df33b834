//! A partition that leaves a store for good.

use std::sync::{Arc, Mutex};

use crate::support::snapshot::{ONE, source, state, wide_rows, wider};
use crate::support::*;
use raftduck_engine::{ApplyBatch, ApplyOutcome, EngineEntry, PartOutcome, Store};
use raftduck_model::{CommandBody, PartitionId, TableId};

const TWO: PartitionId = PartitionId(2);

/// How many physical tables there are, and rows of the partition in the store's own tables.
async fn counts(store: &Store, part: PartitionId) -> [i64; 2] {
    let tables =
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'store' AND table_name SIMILAR TO 't[0-9]+'";
    let own = ["applied", "memberships", "keys", "schemas"]
        .map(|table| format!("(SELECT count(*) FROM store.main.{table} WHERE part = {part})"));
    [number(store, tables, &[]).await, number(store, &format!("SELECT {}", own.join(" + ")), &[]).await]
}

fn close(store: Store) {
    store.close();
    drop(store);
}

#[tokio::test]
async fn the_others_keep_all_of_theirs_and_a_table_goes_with_its_last_partition() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = source(folder.path()).await;
    let dropped = raftduck_model::Table { id: TableId(8), name: "dropped".into(), ..events() };
    for (partition, first) in [(1, 11), (3, 1)] {
        let kinds = vec![
            command(20, CommandBody::SetSchema(events())),
            command(20, CommandBody::SetSchema(wider())),
            command(20, append(&events(), vec![part(20, &rows(9_000, 30))])),
            command(20, CommandBody::SetSchema(dropped.clone())),
            command(20, append(&dropped, vec![part(21, &rows(0, 5))])),
        ];
        apply_all(&store, partition, first, kinds).await;
    }
    apply(&store, 1, 16, command(20, CommandBody::DropTable(dropped.id))).await;
    let held = store.partition(ONE);
    let others = [state(&store, 2).await, state(&store, 3).await];
    assert_eq!(counts(&store, ONE).await[0], 3);

    store.remove(ONE).await.unwrap();
    for reopened in [false, true] {
        if reopened {
            close(store);
            store = open(folder.path());
        }
        assert_eq!([state(&store, 2).await, state(&store, 3).await], others);
        assert_eq!(counts(&store, ONE).await, [2, 0], "the table of all types was its own");
        for table in [1, 8] {
            let left = format!("SELECT count(*) FROM store.main.t{table} WHERE _part = 1");
            assert_eq!(number(&store, &left, &[]).await, 0);
        }
        assert_eq!((store.tables(ONE), store.partition(ONE).keys()), (vec![], 0));
        assert_eq!(store.partition(ONE).checkpointed(), None);
        assert_eq!(store.partitions().into_keys().collect::<Vec<_>>(), [TWO, PartitionId(3)]);
    }
    assert_eq!((held.applied(), held.keys(), held.checkpointed()), (Default::default(), 0, None));

    // One that is not there, and one that was never heard of.
    for absent in [ONE, PartitionId(99)] {
        store.remove(absent).await.unwrap();
        assert_eq!([state(&store, 2).await, state(&store, 3).await], others);
    }
    store.remove(TWO).await.unwrap();
    assert_eq!(state(&store, 3).await, others[1]);
    store.remove(PartitionId(3)).await.unwrap();
    assert_eq!(counts(&store, TWO).await, [0, 0]);
    close(store);
    let store = open(folder.path());
    assert_eq!(counts(&store, TWO).await, [0, 0]);
    assert!(store.partitions().is_empty());
}

#[tokio::test]
async fn it_can_come_back_from_a_snapshot_or_from_its_first_entry() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = source(folder.path()).await;
    let handle = store.partition(ONE);
    let exported = store.export(ONE).await.unwrap();
    let expected = state(&store, 1).await;
    store.remove(ONE).await.unwrap();
    store.install(ONE, &exported.folder).await.unwrap();
    assert_eq!(state(&store, 1).await, expected);
    assert_eq!(handle.applied().last, Some(id(10)), "a handle follows its partition");

    store.remove(ONE).await.unwrap();
    // The same key as before: it is forgotten.
    let kinds = vec![
        command(1, CommandBody::SetSchema(events())),
        command(1, append(&events(), vec![part(2, &rows(0, 40))])),
        command(1, CommandBody::SetSchema(wider())),
        command(1, append(&wider(), vec![part(3, &wide_rows(50, 2))])),
    ];
    let outcomes = apply_all(&store, 1, 1, kinds).await;
    assert_eq!(outcomes[1], ApplyOutcome::Parts(vec![PartOutcome::Written { rows: 40 }]));
    let expected = state(&store, 1).await;
    assert_eq!((expected.len(), handle.applied().last), (2 + 2 + 42, Some(id(4))));
    close(store);
    assert_eq!(state(&open(folder.path()), 1).await, expected);
}

/// The physical table was as wide as the partition that is gone had it.
#[tokio::test]
async fn others_learn_of_a_column_that_only_the_removed_partition_knew() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = source(folder.path()).await;
    store.remove(ONE).await.unwrap();
    for (index, reopen) in [(3, false), (4, true), (5, true)] {
        if reopen {
            close(store);
            store = open(folder.path());
        }
        let outcome =
            apply(&store, 2, index, command(2, append(&events(), vec![part(index.into(), &rows(0, 3))]))).await;
        assert_eq!(outcome, ApplyOutcome::Parts(vec![PartOutcome::Written { rows: 3 }]));
    }
    let widened = apply(&store, 2, 6, command(3, CommandBody::SetSchema(wider()))).await;
    assert_eq!(widened, ApplyOutcome::Done);
    let outcome = apply(&store, 2, 7, command(3, append(&wider(), vec![part(7, &wide_rows(777, 1))]))).await;
    assert_eq!(outcome, ApplyOutcome::Parts(vec![PartOutcome::Written { rows: 1 }]));
    let sql = "SELECT w, count(*) FROM events GROUP BY 1 ORDER BY 1";
    assert_eq!(text(&store, sql, &[wider()]).await, ["1.50|19", "7.77|1"]);
}

#[tokio::test]
async fn entries_that_wait_go_with_it_and_later_ones_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let row = |index: u64| command(index, append(&events(), vec![part(index.into(), &rows(index as i64, 1))]));
    apply(&store, 1, 1, command(1, CommandBody::SetSchema(events()))).await;
    apply(&store, 2, 1, command(1, CommandBody::SetSchema(events()))).await;
    let said = Arc::new(Mutex::new(Vec::new()));
    let batch = |index: u64| {
        let said = Arc::clone(&said);
        let done = Box::new(move |outcome| said.lock().unwrap().push((index, outcome)));
        ApplyBatch { partition: ONE, entries: vec![EngineEntry { id: id(index), kind: row(index), done: Some(done) }] }
    };
    // Asked for in this order, before any of it can be done.
    let (two, three, removed, four, neighbour) = tokio::join!(
        store.apply(batch(2)),
        store.apply(batch(3)),
        store.remove(ONE),
        store.apply(batch(4)),
        apply(&store, 2, 2, row(2)),
    );
    for done in [two, three, removed, four] {
        done.unwrap();
    }
    let written = ApplyOutcome::Parts(vec![PartOutcome::Written { rows: 1 }]);
    assert_eq!(neighbour, written);
    assert_eq!(*said.lock().unwrap(), [(2, written.clone()), (3, written.clone())]);
    assert_eq!(counts(&store, ONE).await, [1, 0]);
    assert_eq!(text(&store, "SELECT k FROM events", &[events()]).await, ["2"]);

    apply(&store, 1, 1, command(1, CommandBody::SetSchema(events()))).await;
    assert_eq!(apply(&store, 1, 2, row(2)).await, written);
    assert_eq!(number(&store, "SELECT count(*) FROM events", &[events()]).await, 2);
}
