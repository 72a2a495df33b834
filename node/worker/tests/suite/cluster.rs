//! Three workers in one process, over real loopback connections and real files.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::rows::rows;
use crate::support::{Workers, eventually, key};
use raftduck_model::PartitionId;
use raftduck_wire::proto::store::{AppendRequest, part_outcome, refused};
use reqwest::Method;

const PARTITIONS: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_sent_to_the_leaders_are_read_back_from_every_store() {
    let cluster = Workers::start(3, PARTITIONS).await;
    let table = cluster.create_table("t").await;
    let mut sent = 0;
    for partition in 1..=PARTITIONS {
        for batch in 0..5 {
            cluster.append(&table, PartitionId(partition), key(partition, batch), &[i64::from(batch); 10]).await;
            sent += 10;
        }
    }
    for store in 0..3 {
        let (count, sum) = cluster.count_and_sum(store, &table).await;
        assert_eq!((count, sum), (sent, i64::from(PARTITIONS) * 10 * (1 + 2 + 3 + 4)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_key_writes_nothing_and_a_reused_one_is_refused() {
    let cluster = Workers::start(3, 1).await;
    let table = cluster.create_table("t").await;
    let first = cluster.append(&table, PartitionId(1), key(1, 1), &[7]).await;
    let mut again = cluster.part(&table, PartitionId(1), key(1, 1), &[7]);
    let repeated = cluster.send(again.clone()).await;
    let part_outcome::Outcome::Written(written) = repeated else { panic!("{repeated:?}") };
    assert!(written.duplicate);
    assert_eq!(written.log_index, first.log_index);
    again.body_digest += 1;
    let reused = cluster.send(again).await;
    let part_outcome::Outcome::Refused(refusal) = reused else { panic!("{reused:?}") };
    assert_eq!(refusal.code(), refused::Code::KeyReused);
    assert_eq!(cluster.count_and_sum(0, &table).await, (1, 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_sent_many_times_at_once_is_written_once() {
    let cluster = Workers::start(3, 1).await;
    let table = cluster.create_table("t").await;
    let part = cluster.part(&table, PartitionId(1), key(1, 1), &[5, 6]);
    let outcomes = futures::future::join_all((0..32).map(|_| cluster.send(part.clone()))).await;
    let fresh = outcomes.iter().filter(|outcome| match outcome {
        part_outcome::Outcome::Written(written) => !written.duplicate,
        other => panic!("{other:?}"),
    });
    assert_eq!(fresh.count(), 1);
    assert_eq!(cluster.count_and_sum(1, &table).await, (2, 11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stops_is_replaced_as_leader_and_catches_up_when_it_returns() {
    let mut cluster = Workers::start(3, PARTITIONS).await;
    let table = cluster.create_table("t").await;
    cluster.append(&table, PartitionId(1), key(1, 0), &[1]).await;
    cluster.stop(0).await;
    for partition in 1..=PARTITIONS {
        cluster.append(&table, PartitionId(partition), key(partition, 1), &[2]).await;
    }
    assert_eq!(cluster.count_and_sum(1, &table).await, (5, 9));
    cluster.restart(0).await;
    assert_eq!(cluster.count_and_sum(0, &table).await, (5, 9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_there_after_all_stores_stopped() {
    let mut cluster = Workers::start(3, PARTITIONS).await;
    let table = cluster.create_table("t").await;
    for partition in 1..=PARTITIONS {
        cluster.append(&table, PartitionId(partition), key(partition, 1), &[3; 100]).await;
    }
    for store in 0..3 {
        cluster.stop(store).await;
    }
    for store in 0..3 {
        cluster.restart(store).await;
    }
    assert_eq!(cluster.count_and_sum(2, &table).await, (400, 1200));
    // A key from before is still known.
    let part = cluster.part(&table, PartitionId(1), key(1, 1), &[3; 100]);
    let part_outcome::Outcome::Written(written) = cluster.send(part).await else { panic!("not written") };
    assert!(written.duplicate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_spread_out_again_after_a_store_returns() {
    let mut cluster = Workers::start(3, 6).await;
    cluster.stop(0).await;
    cluster.wait(|leaders: &BTreeMap<u32, usize>| leaders.len() == 6).await;
    cluster.restart(0).await;
    cluster.wait(|leaders| (0..3).all(|store| leaders.values().filter(|leader| **leader == store).count() == 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_not_what_they_say_are_refused_and_nothing_is_written() {
    let cluster = Workers::start(1, 1).await;
    let table = cluster.create_table("t").await;
    let good = cluster.part(&table, PartitionId(1), key(1, 1), &[1]);
    let bad = [
        ("a short key", raftduck_wire::proto::store::RowsPart { key: vec![1; 3].into(), ..good.clone() }),
        ("another count", raftduck_wire::proto::store::RowsPart { rows: 2, ..good.clone() }),
        ("garbage", raftduck_wire::proto::store::RowsPart { data: vec![0xff; 64].into(), ..good.clone() }),
        (
            "half of it",
            raftduck_wire::proto::store::RowsPart { data: good.data.slice(..good.data.len() / 2), ..good.clone() },
        ),
        ("too much", raftduck_wire::proto::store::RowsPart { data: vec![0; 2 << 20].into(), ..good.clone() }),
        ("a null", raftduck_wire::proto::store::RowsPart { data: rows(&table, &[None]), ..good.clone() }),
    ];
    for (what, part) in bad {
        match cluster.send(part).await {
            part_outcome::Outcome::Refused(refusal) => assert_eq!(refusal.code(), refused::Code::Invalid, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    assert_eq!(cluster.count_and_sum(0, &table).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_the_cluster_token_is_refused() {
    let cluster = Workers::start(1, 1).await;
    let mut stranger = cluster.client_with_token(0, "another token");
    let refused = stranger.append(AppendRequest { parts: vec![], timeout_ms: 100 }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_no_row_is_acknowledged_and_with_one_again_it_goes_on() {
    let mut cluster = Workers::start(3, 1).await;
    let table = cluster.create_table("t").await;
    cluster.stop(1).await;
    cluster.stop(2).await;
    let part = cluster.part(&table, PartitionId(1), key(1, 1), &[9]);
    let outcome = cluster.try_send(0, part.clone(), Duration::from_millis(500)).await;
    assert!(!matches!(outcome, part_outcome::Outcome::Written(_)), "{outcome:?}");
    cluster.restart(1).await;
    let part_outcome::Outcome::Written(_) = cluster.send(part).await else { panic!("not written") };
    assert_eq!(cluster.count_and_sum(0, &table).await, (1, 9));
}

/// Values that LZ4 finds nothing in, so that the log is as long as they are.
fn value(number: i64) -> i64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) >> 8) & 0xffff_ffff
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_gets_the_rows_as_files_where_the_others_have_purged_their_entries() {
    const ENTRIES: u32 = 16;
    // Together more than a store applies without a checkpoint.
    const ROWS: i64 = 20_000;
    let mut cluster = Workers::start_with_log(3, 2, 256 << 10).await;
    let table = cluster.create_table("t").await;
    cluster.append(&table, PartitionId(1), key(1, 0), &[1]).await;
    cluster.append(&table, PartitionId(2), key(2, 0), &[2]).await;
    cluster.stop(0).await;
    let (mut count, mut sum) = (2, 3);
    for entry in 0..ENTRIES {
        let values: Vec<i64> = (0..ROWS).map(|row| value(i64::from(entry) * ROWS + row)).collect();
        count += ROWS;
        sum += values.iter().sum::<i64>();
        cluster.append(&table, PartitionId(1), key(1, 1 + entry), &values).await;
    }
    assert_eq!(cluster.count_and_sum(1, &table).await, (count, sum));
    for store in [1, 2] {
        eventually(async || match cluster.log_length(store, 1).await {
            length if length < u64::from(ENTRIES) => Ok(()),
            length => Err(format!("store {store} keeps {length} entries of its log")),
        })
        .await;
    }

    cluster.restart(0).await;
    assert_eq!(cluster.count_and_sum(0, &table).await, (count, sum));
    // It knows the keys of rows that it never saw as entries, should it come to lead.
    cluster.stop(1).await;
    let values: Vec<i64> = (0..ROWS).map(value).collect();
    let again = cluster.append(&table, PartitionId(1), key(1, 1), &values).await;
    assert!(again.duplicate, "{again:?}");
    assert_eq!(cluster.count_and_sum(0, &table).await, (count, sum));
    cluster.restart(1).await;
    cluster.stop(0).await;
    cluster.restart(0).await;
    assert_eq!(cluster.count_and_sum(0, &table).await, (count, sum));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_store_at_a_time_may_restart_and_none_that_a_quorum_needs() {
    let mut cluster = Workers::start(3, PARTITIONS).await;
    let ids = [cluster.id(0).await, cluster.id(1).await, cluster.id(2).await];
    let ask = async |cluster: &Workers, through: usize, method: Method, of: usize| {
        cluster.admin(through, method, &format!("stores/{}/restart-permit", ids[of])).await
    };
    // A new leader may not have heard of every follower yet.
    eventually(async || match ask(&cluster, 1, Method::POST, 0).await {
        (204, _) => Ok(()),
        (_, text) => Err(text),
    })
    .await;
    let (status, text) = ask(&cluster, 2, Method::POST, 1).await;
    assert!(status == 409 && text.contains("restart_taken"), "{status} {text}");
    cluster.stop(0).await;
    assert_eq!(ask(&cluster, 2, Method::DELETE, 0).await.0, 204);
    // With one store away, the quorum needs the other two. Its leaders take a second to miss it.
    eventually(async || match ask(&cluster, 2, Method::POST, 1).await {
        (409, text) if text.contains("quorum_needed") => Ok(()),
        (204, _) => {
            let (status, text) = ask(&cluster, 2, Method::DELETE, 1).await;
            Err(format!("granted, and given back: {status} {text}"))
        }
        (status, text) => Err(format!("{status} {text}")),
    })
    .await;
    cluster.restart(0).await;
    eventually(async || match ask(&cluster, 0, Method::POST, 1).await {
        (204, _) => Ok(()),
        (_, text) => Err(text),
    })
    .await;
}
