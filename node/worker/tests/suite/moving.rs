//! Stores that come to a cluster and leave it, while rows are written.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Workers, eventually, key};
use raftduck_model::meta::Meta;
use raftduck_model::{PartitionId, StoreId};
use reqwest::Method;

const PARTITIONS: u32 = 6;

/// How many replicas of partitions each store has, those that come and go included.
fn loads(meta: &Meta) -> BTreeMap<StoreId, usize> {
    let mut loads: BTreeMap<StoreId, usize> = meta.stores.keys().map(|store| (*store, 0)).collect();
    for partition in &meta.partitions {
        for replica in &partition.replicas {
            *loads.entry(replica.store).or_default() += 1;
        }
    }
    loads
}

fn settled(meta: &Meta) -> bool {
    meta.change.is_none() && meta.partitions.iter().all(|partition| partition.change.is_none())
}

fn even(meta: &Meta, stores: usize) -> bool {
    let loads = loads(meta);
    let share = meta.partitions.len() * 3;
    let fair = |load: &usize| *load >= share / stores && *load <= share.div_ceil(stores);
    settled(meta) && loads.len() == stores && loads.values().all(fair)
}

/// Writes to every partition in turn until told to stop; returns how many rows were acknowledged.
async fn write(cluster: &Workers, table: &raftduck_model::Table, from: u32, stop: &AtomicBool) -> i64 {
    let mut rows = 0;
    for number in from.. {
        if stop.load(Ordering::Relaxed) {
            return rows;
        }
        for partition in 1..=PARTITIONS {
            cluster.append(table, PartitionId(partition), key(partition, number), &[1; 10]).await;
            rows += 10;
        }
    }
    rows
}

/// The rows that each partition's holders count, added up; each store of a partition must say the same.
async fn count(cluster: &Workers, table: &raftduck_model::Table, meta: &Meta, stores: &[(usize, StoreId)]) -> i64 {
    let mut sum = 0;
    for partition in &meta.partitions {
        let mut counts = Vec::new();
        for replica in &partition.replicas {
            let (store, _) = stores.iter().find(|(_, id)| *id == replica.store).unwrap();
            counts.push(cluster.count_of(*store, table, partition.id).await);
        }
        assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "{}: {counts:?}", partition.id);
        sum += counts[0];
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_come_take_their_share_and_leave_again_while_rows_are_written() {
    let mut cluster = Workers::start(3, PARTITIONS).await;
    let table = cluster.create_table("t").await;
    let mut stores = Vec::new();
    for store in 0..3 {
        stores.push((store, cluster.id(store).await));
    }
    for _ in 0..2 {
        let store = cluster.add().await;
        stores.push((store, cluster.id(store).await));
    }
    let stop = AtomicBool::new(false);
    let moved = async {
        let meta = cluster.wait_meta(0, |meta| even(meta, 5)).await;
        assert_eq!(meta.replicas.len(), 5, "five stores hold the meta group");
        // The first store leads much and holds the meta group: it leaves all the same.
        let first = stores[0].1;
        let unsafe_yet = cluster.admin(4, Method::GET, &format!("stores/{first}/safe-to-remove")).await;
        assert!(unsafe_yet.0 == 200 && unsafe_yet.1.contains("\"safe\":false"), "{unsafe_yet:?}");
        let drained = cluster.admin(4, Method::PUT, &format!("stores/{first}/drain")).await;
        assert_eq!(drained.0, 204, "{}", drained.1);
        eventually(async || {
            let (status, text) = cluster.admin(3, Method::GET, &format!("stores/{first}/safe-to-remove")).await;
            if status == 200 && text.contains("\"safe\":true") {
                Ok(())
            } else {
                Err(format!("{text}: {:?}", cluster.meta(3).await))
            }
        })
        .await;
        stop.store(true, Ordering::Relaxed);
    };
    let (written, ()) = tokio::join!(write(&cluster, &table, 0, &stop), moved);
    let first = stores[0].1;
    let meta = cluster.wait_meta(3, |meta| settled(meta) && loads(meta)[&first] == 0).await;
    assert!(meta.partitions.iter().all(|partition| partition.replicas.len() == 3));
    assert!(!meta.replicas.iter().any(|replica| replica.store == first));
    assert_eq!(count(&cluster, &table, &meta, &stores).await, written);
    // What it held is deleted, and without it nothing is missed.
    eventually(async || {
        let text = std::fs::read_to_string(cluster.folder(0).join("replicas.json")).unwrap();
        if text.contains("\"replicas\": []") { Ok(()) } else { Err(text) }
    })
    .await;
    cluster.stop(0).await;
    cluster.append(&table, PartitionId(1), key(1, 1_000_000), &[1; 10]).await;
    let retired = cluster.admin(2, Method::POST, &format!("stores/{first}/retire")).await;
    assert_eq!(retired.0, 204, "{}", retired.1);
    assert_eq!(count(&cluster, &table, &meta, &stores).await, written + 10);

    // A retired store's volume that is brought back is another store's, and empty.
    cluster.restart(0).await;
    let back = cluster.id(0).await;
    assert_ne!(back, first);
    assert!(cluster.folder(0).join(format!("retired-{first}")).exists());
    stores[0].1 = back;
    let meta = cluster.wait_meta(1, |meta| even(meta, 5)).await;
    assert_eq!(count(&cluster, &table, &meta, &stores).await, written + 10);
}
