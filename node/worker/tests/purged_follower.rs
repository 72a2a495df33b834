//! A store that was away for longer than the others keep their logs for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

mod support;

use std::time::Duration;

use raftduck_model::PartitionId;
use support::{Workers, key};
use tokio::time::{Instant, sleep};

const ENTRIES: u32 = 16;
/// Together more than a store applies without a checkpoint.
const ROWS: i64 = 20_000;

/// Values that LZ4 finds nothing in, so that the log is as long as they are.
fn value(number: i64) -> i64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) >> 8) & 0xffff_ffff
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_gets_the_rows_as_files_where_the_others_have_purged_their_entries() {
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
    let deadline = Instant::now() + Duration::from_secs(90);
    for store in [1, 2] {
        while cluster.log_length(store, 1).await >= u64::from(ENTRIES) {
            assert!(Instant::now() < deadline, "store {store} keeps its log");
            sleep(Duration::from_millis(50)).await;
        }
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
