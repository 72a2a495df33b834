//! Clusters that lose a majority of their stores for ever, and begin again from what is left.

use std::time::Duration;

use crate::support::{TOKEN, Workers, eventually, key};
use raftduck_model::meta::{LEVEL, Meta};
use raftduck_model::{PartitionId, StoreId, Table};
use raftduck_wire::credential::Credential;
use raftduck_wire::proto::store::part_outcome::Outcome;
use raftduck_worker::recover::{Plan, PlanError, Reached, Recovering, plan, reach};

const PARTITIONS: u32 = 4;

/// Ten rows for every partition, of this number; returns how many.
async fn write(cluster: &Workers, table: &Table, partitions: u32, number: u32) -> i64 {
    for partition in 1..=partitions {
        cluster.append(table, PartitionId(partition), key(partition, number), &[i64::from(number); 10]).await;
    }
    i64::from(partitions) * 10
}

/// Plans with what these stores, whose workers have ended, have left.
fn planned(cluster: &Workers, stores: &[usize]) -> Plan {
    let reports: Vec<_> = stores.iter().map(|store| recovering(cluster, *store).survey().unwrap()).collect();
    plan(&reports).unwrap()
}

fn recovering(cluster: &Workers, store: usize) -> Recovering {
    Recovering::open(cluster.folder(store), LEVEL).unwrap()
}

fn whole(meta: &Meta) -> bool {
    let settled = meta.change.is_none() && meta.partitions.iter().all(|partition| partition.change.is_none());
    settled && meta.replicas.len() == 3 && meta.partitions.iter().all(|partition| partition.replicas.len() == 3)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_last_of_three_stores_holds_is_served_and_written_to_and_copied_again() {
    let mut cluster = Workers::start(3, PARTITIONS).await;
    let table = cluster.create_table("t").await;
    let kept = write(&cluster, &table, PARTITIONS, 1).await + write(&cluster, &table, PARTITIONS, 2).await;
    eventually(async || {
        let found = cluster.count_and_sum(2, &table).await.0;
        if found == kept { Ok(()) } else { Err(format!("{found} rows")) }
    })
    .await;
    let (lost, left) = ([cluster.id(0).await, cluster.id(1).await], cluster.id(2).await);
    cluster.stop(2).await;
    // Acknowledged by the two that are then lost: nobody else knows of it.
    write(&cluster, &table, PARTITIONS, 3).await;
    cluster.lose(0).await;
    cluster.lose(1).await;
    cluster.restart(2).await;
    let part = cluster.part(&table, PartitionId(1), key(1, 4), &[4; 10]);
    let outcome = cluster.try_send(2, part, Duration::from_millis(300)).await;
    assert!(!matches!(outcome, Outcome::Written(_)), "{outcome:?}");
    assert!(Recovering::open(cluster.folder(2), LEVEL).is_err(), "its worker runs");
    cluster.stop(2).await;

    let plan = planned(&cluster, &[2]);
    assert!(plan.groups.iter().all(|group| group.lost_quorum && !group.is_lost()));
    assert_eq!(plan.given_up.iter().map(|(store, _)| *store).collect::<std::collections::BTreeSet<_>>(), lost.into());
    recovering(&cluster, 2).apply(&plan).unwrap();
    cluster.restart(2).await;
    cluster.wait(|leaders| leaders.len() == PARTITIONS as usize).await;

    assert_eq!(cluster.count_and_sum(2, &table).await.0, kept);
    for partition in 1..=PARTITIONS {
        let again = cluster.append(&table, PartitionId(partition), key(partition, 2), &[2; 10]).await;
        assert!(again.duplicate, "a key from before is known");
        let lost = cluster.append(&table, PartitionId(partition), key(partition, 3), &[3; 10]).await;
        assert!(!lost.duplicate, "what is lost may be sent again");
    }
    let mut rows = kept + i64::from(PARTITIONS) * 10;
    let other = cluster.create_table("u").await;
    assert!(other.id > table.id);
    write(&cluster, &other, PARTITIONS, 101).await;

    let new = [cluster.add().await, cluster.add().await];
    let meta = cluster.wait_meta(2, whole).await;
    rows += write(&cluster, &table, PARTITIONS, 5).await;
    for store in new.into_iter().chain([2]) {
        let counted = async || {
            let found = (cluster.count_and_sum(store, &table).await.0, cluster.count_and_sum(store, &other).await.0);
            if found == (rows, i64::from(PARTITIONS) * 10) { Ok(()) } else { Err(format!("{store}: {found:?}")) }
        };
        eventually(counted).await;
    }
    assert_eq!(meta.retired, lost.into());

    // One of the lost volumes is found: it is nobody's any more.
    cluster.bring_back(0).await;
    assert!(!lost.contains(&cluster.id(0).await));
    assert!(cluster.folder(0).join(format!("retired-{}/log", lost[0])).exists());
    assert_eq!(cluster.count_and_sum(2, &table).await.0, rows);
    // And all of it again from the volume: nothing depends on what was in memory.
    cluster.stop(2).await;
    cluster.restart(2).await;
    assert_eq!(cluster.id(2).await, left);
    let again = cluster.append(&table, PartitionId(1), key(1, 1), &[1; 10]).await;
    assert!(again.duplicate);
}

/// The stores that hold the partition.
fn holders(meta: &Meta, partition: u32) -> Vec<StoreId> {
    meta.partition(PartitionId(partition)).unwrap().replicas.iter().map(|replica| replica.store).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_five_stores_begin_again_together_and_only_what_neither_holds_is_lost() {
    const PARTITIONS: u32 = 5;
    let mut cluster = Workers::start(5, PARTITIONS).await;
    let table = cluster.create_table("t").await;
    write(&cluster, &table, PARTITIONS, 1).await;
    let left = [3, 4];
    let meta = cluster.meta(3).await;
    let mut ids = Vec::new();
    for store in left {
        ids.push(cluster.id(store).await);
    }
    let held = |partition: u32, store: usize| holders(&meta, partition).contains(&ids[store - 3]);
    let gone: Vec<u32> = (1..=PARTITIONS).filter(|id| !held(*id, 3) && !held(*id, 4)).collect();
    assert_eq!(gone, [1], "one partition was only on the stores that are lost");
    for partition in 2..=PARTITIONS {
        for store in left.into_iter().filter(|store| held(partition, *store)) {
            eventually(async || match cluster.count_of(store, &table, PartitionId(partition)).await {
                10 => Ok(()),
                found => Err(format!("{found} rows of {partition} on {store}")),
            })
            .await;
        }
    }
    for store in 0..3 {
        cluster.lose(store).await;
    }
    for store in left {
        cluster.stop(store).await;
    }
    let plan = planned(&cluster, &left);
    assert_eq!(plan, planned(&cluster, &[4, 3]), "whoever asks");
    assert_eq!(plan.groups.iter().filter(|group| group.is_lost()).map(|group| group.group.0).collect::<Vec<_>>(), gone);
    for store in left {
        recovering(&cluster, store).apply(&plan).unwrap();
    }
    for store in left {
        cluster.restart(store).await;
    }
    // Two copies of everything, as many as there are stores.
    let both = |meta: &Meta| {
        let two =
            |partition: &raftduck_model::meta::Partition| partition.replicas.len() == 2 && partition.change.is_none();
        meta.stores.len() == 2 && meta.partitions.iter().all(two)
    };
    for store in left {
        cluster.wait_meta(store, both).await;
    }
    let rows = 10 * i64::from(PARTITIONS - 1);
    for store in left {
        assert_eq!(cluster.count_and_sum(store, &table).await.0, rows);
        assert_eq!(cluster.count_of(store, &table, PartitionId(1)).await, 0);
    }
    let more = write(&cluster, &table, PARTITIONS, 2).await;
    eventually(async || match cluster.count_and_sum(3, &table).await.0 {
        found if found == rows + more => Ok(()),
        found => Err(format!("{found} rows")),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_store_that_starts_while_nobody_can_tell_it_deletes_nothing_once_it_is_told() {
    let mut cluster = Workers::start(3, PARTITIONS).await;
    let table = cluster.create_table("t").await;
    write(&cluster, &table, PARTITIONS, 1).await;
    let old = cluster.id(0).await;
    for store in [0, 1] {
        cluster.lose(store).await;
    }
    cluster.stop(2).await;
    let plan = planned(&cluster, &[2]);
    recovering(&cluster, 2).apply(&plan).unwrap();
    cluster.bring_back(0).await;
    let held = std::fs::read_to_string(cluster.folder(0).join("replicas.json")).unwrap();
    cluster.restart(2).await;
    let why = cluster.ends(0).await;
    assert!(why.contains("halted"), "{why}");
    cluster.restart(0).await;
    let aside = cluster.folder(0).join(format!("retired-{old}"));
    assert_eq!(std::fs::read_to_string(aside.join("replicas.json")).unwrap(), held);
    assert_ne!(cluster.id(0).await, old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_answer_are_seen_and_a_majority_is_no_loss() {
    let mut cluster = Workers::start(3, 1).await;
    let mut stores = Vec::new();
    for store in 0..3 {
        stores.push(cluster.id(store).await);
    }
    // A store that never had its replica counts as one that lost it.
    let table = cluster.create_table("t").await;
    let rows = write(&cluster, &table, 1, 1).await;
    for store in [1, 2] {
        eventually(async || match cluster.count_and_sum(store, &table).await.0 {
            found if found == rows => Ok(()),
            found => Err(format!("{found} rows")),
        })
        .await;
    }
    cluster.stop(2).await;
    let plan_alone = planned(&cluster, &[2]);
    let answers = reach(&plan_alone.given_up, &Credential::new(TOKEN)).await;
    assert_eq!(answers, [Reached::Itself, Reached::Itself]);
    let strange = reach(&plan_alone.given_up, &Credential::new("another")).await;
    assert_eq!(strange, [Reached::Stranger, Reached::Stranger]);
    cluster.lose(0).await;
    cluster.stop(1).await;
    let quiet = reach(&plan_alone.given_up, &Credential::new(TOKEN)).await;
    assert_eq!(quiet, [Reached::Nothing, Reached::Nothing]);
    // Two of three: nothing is to be recovered, and nothing is.
    let reports = [1, 2].map(|store| recovering(&cluster, store).survey().unwrap());
    assert_eq!(plan(&reports), Err(PlanError::NothingLost));
    cluster.restart(1).await;
    cluster.restart(2).await;
    cluster.wait(|leaders| leaders.len() == 1).await;
}
