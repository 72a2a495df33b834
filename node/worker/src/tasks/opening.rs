//! Opens the replicas that the map gives this store, and creates the groups it is to create.
//!
//! A group is initialised by its first replica's store, while the map says `creating`, and never
//! again: once it says `created`, a replica without a log is a lost one, and stays closed.

use std::sync::Arc;
use std::time::Duration;

use raftduck_consensus::InitializeError;
use raftduck_model::StoreId;
use raftduck_model::meta::{Meta, MetaCommand, Partition, PartitionState, Replica};
use tokio::time::Instant;

use crate::member::Member;

const ATTEMPT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);

/// Until the process stops.
pub async fn run(member: Arc<Member>) {
    let mut meta = member.meta.clone();
    let mut groups = member.groups_changed.subscribe();
    loop {
        let now = meta.borrow_and_update().clone();
        groups.borrow_and_update();
        let settled = open_missing(&member, &now).await & report_created(&member, &now).await;
        tokio::select! {
            changed = meta.changed() => if changed.is_err() { return },
            changed = groups.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(RETRY), if !settled => {}
        }
    }
}

/// This store's replicas of partitions.
fn mine(meta: &Meta, store: StoreId) -> impl Iterator<Item = (&Partition, Replica)> {
    meta.partitions.iter().filter_map(move |partition| {
        partition.replicas.iter().find(|replica| replica.store == store).map(|replica| (partition, *replica))
    })
}

/// Whether all of them are open now, or never will be.
async fn open_missing(member: &Arc<Member>, meta: &Meta) -> bool {
    let mut settled = true;
    for (partition, replica) in mine(meta, member.store) {
        let group = partition.id.group();
        if member.group(group).is_none() {
            let creating = partition.state == PartitionState::Creating;
            if !creating && member.wal.group(group).state().is_empty() {
                report_lost(partition, replica);
                continue;
            }
            if let Err(error) = member.open_partition(group, replica).await {
                tracing::error!(%group, error = format!("{error:#}"), "a replica cannot be opened");
                settled = false;
                continue;
            }
        }
        if partition.state == PartitionState::Creating && partition.replicas.first() == Some(&replica) {
            settled &= initialize(member, partition).await;
        }
    }
    settled
}

async fn initialize(member: &Arc<Member>, partition: &Partition) -> bool {
    let Some(hosted) = member.group(partition.id.group()) else { return false };
    match hosted.group.initialize(partition.replicas.clone()).await {
        // Whoever leads it reports it; until then the map says `creating`.
        Ok(()) | Err(InitializeError::Already) => true,
        Err(error) => {
            tracing::warn!(partition = %partition.id, %error, "a partition cannot be created yet");
            false
        }
    }
}

/// Tells the meta group of partitions whose first leader is here.
async fn report_created(member: &Arc<Member>, meta: &Meta) -> bool {
    let mut settled = true;
    for (partition, _) in mine(meta, member.store) {
        let ready = member.group(partition.id.group()).is_some_and(|hosted| hosted.is_ready());
        if ready && partition.state == PartitionState::Creating {
            let command = MetaCommand::PartitionCreated { partition: partition.id };
            settled &= matches!(member.meta_anywhere(&command, Instant::now() + ATTEMPT).await, Ok(Ok(_)));
        }
    }
    settled
}

fn report_lost(partition: &Partition, replica: Replica) {
    tracing::error!(
        partition = %partition.id, replica = %replica.id,
        "the volume holds nothing of a replica that was created: it stays closed, the others go on"
    );
}
