//! A partition that leaves a store while queries run: each sees all of it or nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::snapshot::ONE;
use crate::support::*;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use raftduck_engine::{QuerySpec, QueryStream, Store};
use raftduck_model::{CommandBody, PartitionId};
use tokio::time::timeout;

const TWO: PartitionId = PartitionId(2);
const SOON: Duration = Duration::from_secs(60);

/// The first row of a partition's entry, and how many there are.
fn numbers(partition: u32, index: u64) -> (i64, i64) {
    (i64::from(partition) << 40 | (index as i64) << 16, (index as i64 * 37) % 4_000 + 1)
}

async fn grow(store: &Store, partition: u32, index: u64) {
    let (first, count) = numbers(partition, index);
    let kind = match index {
        1 => CommandBody::SetSchema(events()),
        _ => append(&events(), vec![part(index.into(), &rows(first, count))]),
    };
    apply(store, partition, index, command(index, kind)).await;
}

/// Asks for each partition's rows, and checks that they are those that the answer says it is of. Returns whether
/// partition 1 was in it.
async fn ask(store: &Store, named: Option<Vec<PartitionId>>) -> bool {
    let sql = "SELECT k >> 40 AS p, count(*), sum(k)::VARCHAR FROM events GROUP BY 1 ORDER BY 1";
    let spec = QuerySpec { partitions: named.clone(), ..spec(sql, &[events()]) };
    let mut stream = store.query(spec).await.unwrap();
    let mut found = Vec::new();
    while let Some(batch) = stream.next().await.unwrap() {
        let [part, rows] = [0, 1].map(|column| batch.column(column).as_primitive::<Int64Type>());
        let sums = batch.column(2).as_string::<i32>();
        found.extend((0..batch.num_rows()).map(|row| (part.value(row), rows.value(row), sums.value(row).to_owned())));
    }
    let applied = &stream.answered.applied;
    let expected: Vec<_> = applied
        .iter()
        .filter(|(_, last)| last.0 > 1)
        .map(|(part, last)| {
            let entries = (2..=last.0).map(|index| numbers(part.0, index));
            let sum = |(first, count): (i64, i64)| {
                i128::from(first) * i128::from(count) + i128::from(count * (count - 1) / 2)
            };
            let rows = entries.clone().map(|(_, count)| count).sum::<i64>();
            (i64::from(part.0), rows, entries.map(sum).sum::<i128>().to_string())
        })
        .collect();
    assert_eq!(found, expected, "{applied:?}, asked for {named:?}");
    assert!(named.is_none_or(|named| applied.keys().all(|part| named.contains(part))), "{applied:?}");
    applied.contains_key(&ONE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn queries_beside_removals_and_installs_see_all_of_a_partition_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = |stop: &Arc<AtomicBool>| {
        let stop = Arc::clone(stop);
        move || stop.load(Ordering::Relaxed)
    };
    let neighbour = tokio::spawn({
        let (store, stopped) = (store.clone(), stopping(&stop));
        async move {
            let mut index = 0;
            while !stopped() || index < 3 {
                index += 1;
                grow(&store, 2, index).await;
            }
            index
        }
    });
    let mut askers = Vec::new();
    for named in [None, Some(vec![ONE]), Some(vec![ONE, TWO])] {
        let (store, stopped) = (store.clone(), stopping(&stop));
        askers.push(tokio::spawn(async move {
            let (mut with, mut without) = (0, 0);
            while !stopped() {
                match ask(&store, named.clone()).await {
                    true => with += 1,
                    false => without += 1,
                }
            }
            (with, without)
        }));
    }
    // It comes from its log, from a snapshot and from a later one, and goes each time.
    for round in 0..6 {
        for index in 1..=20 {
            grow(&store, 1, index).await;
        }
        let early = store.export(ONE).await.unwrap();
        grow(&store, 1, 21).await;
        let late = store.export(ONE).await.unwrap();
        timeout(SOON, store.remove(ONE)).await.expect("a removal waits").unwrap();
        assert!(!ask(&store, None).await);
        store.install(ONE, &early.folder).await.unwrap();
        store.install(ONE, &late.folder).await.unwrap();
        grow(&store, 1, 22).await;
        timeout(SOON, store.remove(ONE)).await.expect("a removal waits").unwrap();
        assert!(!ask(&store, Some(vec![ONE])).await, "round {round}");
    }
    stop.store(true, Ordering::Relaxed);
    for asker in askers {
        let (with, without) = asker.await.unwrap();
        println!("{with} answers with the partition, {without} without");
        assert!(with > 0 && without > 0, "{with} with, {without} without");
    }
    let last = neighbour.await.unwrap();
    assert_eq!(store.partition(TWO).applied().last, Some(id(last)));
    ask(&store, None).await;
}

/// More rows than wait for a reader, in partition 1 and, if it is not alone, in 2.
async fn read_slowly(folder: &std::path::Path, alone: bool) -> (Store, QueryStream) {
    let store = open(folder);
    for partition in if alone { 1..=1 } else { 1..=2 } {
        apply(&store, partition, 1, command(1, CommandBody::SetSchema(events()))).await;
        for index in 2..6 {
            let rows = part(index.into(), &rows(index as i64 * 100_000, 100_000));
            apply(&store, partition, index, command(1, append(&events(), vec![rows]))).await;
        }
    }
    store.checkpoint().await.unwrap();
    let spec = QuerySpec { partitions: Some(vec![ONE]), ..spec("SELECT * FROM events", &[events()]) };
    let reader = store.query(spec).await.unwrap();
    (store, reader)
}

async fn read_on(mut reader: QueryStream) -> usize {
    let mut rows = 0;
    while let Some(batch) = reader.next().await.unwrap() {
        rows += batch.num_rows();
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_has_begun_sees_all_of_it_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (store, reader) = read_slowly(folder.path(), false).await;
    timeout(SOON, store.remove(ONE)).await.expect("no table was dropped, and yet it waits").unwrap();
    // What is freed is written to again.
    for index in 6..10 {
        let rows = part(index.into(), &rows(index as i64 * 100_000, 100_000));
        apply(&store, 2, index, command(1, append(&events(), vec![rows]))).await;
        store.checkpoint().await.unwrap();
    }
    assert_eq!(number(&store, "SELECT count(*) FROM events", &[events()]).await, 800_000);
    assert_eq!(read_on(reader).await, 400_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_removal_of_a_tables_last_partition_waits_for_older_queries_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let (store, reader) = read_slowly(folder.path(), true).await;
    let removal = tokio::spawn({
        let store = store.clone();
        async move { store.remove(ONE).await }
    });
    store.partition(ONE).watch_applied().wait_for(|applied| applied.last.is_none()).await.unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM events", &[events()]).await, 0);
    // The same table for another partition.
    apply(&store, 2, 1, command(1, CommandBody::SetSchema(events()))).await;
    apply(&store, 2, 2, command(1, append(&events(), vec![part(1, &rows(0, 9))]))).await;
    assert_eq!(number(&store, "SELECT count(*) FROM events", &[events()]).await, 9);
    assert!(!removal.is_finished(), "the checkpoint was written although a reader was under way");

    assert_eq!(read_on(reader).await, 400_000);
    timeout(SOON, removal).await.expect("it never ends").unwrap().unwrap();
    store.close();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.partitions().into_keys().collect::<Vec<_>>(), [TWO]);
    assert_eq!(number(&store, "SELECT count(*) FROM events", &[events()]).await, 9);
}
