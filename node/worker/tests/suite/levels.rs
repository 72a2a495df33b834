//! Stores of two releases side by side, the level raised, and an old release refused afterwards.

use raftduck_model::PartitionId;
use raftduck_model::meta::LEVEL;
use reqwest::Method;
use serde_json::json;

use crate::support::{Workers, key};

const PARTITIONS: u32 = 3;

async fn finalise(cluster: &Workers, level: u32) -> (u16, String) {
    cluster.admin_with(0, Method::POST, "finalise", Some(json!({ "level": level }))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_goes_store_by_store_and_back_until_it_is_finalised() {
    let mut cluster = Workers::start(3, PARTITIONS).await;
    let table = cluster.create_table("t").await;
    let mut written = 0;
    let mut write = async |cluster: &Workers| {
        for partition in 1..=PARTITIONS {
            cluster.append(&table, PartitionId(partition), key(partition, written), &[1]).await;
        }
        written += 1;
        let rows = i64::from(written * PARTITIONS);
        assert_eq!(cluster.count_and_sum(0, &table).await, (rows, rows));
    };
    write(&cluster).await;
    let next = LEVEL + 1;
    // Forth, back with one of them, and forth again.
    for (store, level) in [(0, next), (1, next), (1, LEVEL), (1, next), (2, next)] {
        let (status, text) = finalise(&cluster, next).await;
        assert!(status == 409 && text.contains("stores_behind"), "{status} {text}");
        cluster.stop(store).await;
        cluster.restart_at(store, level).await;
        cluster.wait_meta(0, |meta| meta.stores.values().filter(|info| info.level == level).count() > 0).await;
        let id = cluster.id(store).await;
        cluster.wait_meta(0, |meta| meta.stores.get(&id).is_some_and(|info| info.level == level)).await;
        write(&cluster).await;
    }
    assert_eq!(finalise(&cluster, next).await.0, 204);
    assert_eq!(finalise(&cluster, next).await.0, 204, "again changes nothing");
    write(&cluster).await;
    for store in 0..3 {
        cluster.wait_meta(store, |meta| meta.level == next).await;
        cluster.wait_record(store, "cluster.json", &format!("\"level\": {next}")).await;
    }
    let (status, text) = finalise(&cluster, next + 1).await;
    assert!(status == 409 && text.contains("stores_behind"), "{status} {text}");

    cluster.stop(1).await;
    let refused = cluster.start_refused(1, LEVEL).await;
    assert!(refused.contains("run a newer release"), "{refused}");
    write(&cluster).await;
    cluster.restart_at(1, next).await;
    write(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_volume_missed_the_finalising_ends_when_it_hears_of_it() {
    let mut cluster = Workers::start(3, PARTITIONS).await;
    let next = LEVEL + 1;
    for store in 0..3 {
        cluster.stop(store).await;
        cluster.restart_at(store, next).await;
    }
    cluster.wait_meta(0, |meta| meta.next_level() == Some(next)).await;
    cluster.stop(2).await;
    assert_eq!(finalise(&cluster, next).await.0, 204);
    let refused = cluster.start_refused(2, LEVEL).await;
    assert!(refused.contains("halted"), "{refused}");
}
