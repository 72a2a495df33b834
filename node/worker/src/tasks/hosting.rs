//! Opens the replicas that the map gives this store, removes those it has taken away, and creates the
//! groups this store is to create.
//!
//! A replica is removed once the map, which only ever grows newer, names it no more: its id was given
//! out and is never given again, so that is its tombstone. Until then it stays, even without a group.
//!
//! A group is initialised by its first replica's store, while the map says `creating`, and never
//! again: once it says `created`, a replica without a log is a lost one, and stays closed.

use std::sync::Arc;
use std::time::Duration;

use raftduck_consensus::InitializeError;
use raftduck_model::meta::{Meta, MetaCommand, Partition, PartitionState, Replica};
use raftduck_model::{GroupId, StoreId};
use tokio::time::Instant;

use crate::member::Member;
use crate::news::News;

const ATTEMPT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);

/// Until the process stops.
pub async fn run(member: Arc<Member>) {
    let mut news = News::of(&member);
    loop {
        let now = news.take();
        if now.retired.contains(&member.store) {
            // What is here is set aside at the next start, not deleted: see `registering`.
            return member.stop.cancelled().await;
        }
        let removed = remove_gone(&member, &now).await;
        let settled = removed & open_missing(&member, &now).await & report_created(&member, &now).await;
        if news.wait((!settled).then_some(RETRY)).await.is_none() {
            return;
        }
    }
}

/// Whether every replica that was taken away is gone.
async fn remove_gone(member: &Arc<Member>, meta: &Meta) -> bool {
    let mut settled = true;
    for (group, replica) in member.recorded.all() {
        if !meta.is_removed(group, replica) {
            continue;
        }
        match member.remove_replica(group).await {
            Ok(()) => tracing::info!(%group, %replica, "a replica was moved away, its data here is deleted"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(%group, %replica, error, "a replica that was moved away cannot be deleted");
                settled = false;
            }
        }
    }
    settled
}

/// This store's replicas, with their partition; the meta group has none.
fn mine(meta: &Meta, store: StoreId) -> impl Iterator<Item = (GroupId, Option<&Partition>, Replica)> {
    meta.groups().filter_map(move |group| {
        let replica = meta.replica_on(group, store)?;
        Some((group, group.partition().and_then(|id| meta.partition(id)), replica))
    })
}

/// Whether all of them are open now, or never will be.
async fn open_missing(member: &Arc<Member>, meta: &Meta) -> bool {
    let mut settled = true;
    for (group, partition, replica) in mine(meta, member.store) {
        let creating = partition.filter(|partition| partition.state == PartitionState::Creating);
        if member.group(group).is_none() {
            // One that comes has nothing yet; one that votes has its log, or has lost it.
            let votes = meta.group(group).is_some_and(|(voters, _)| voters.contains(&replica));
            if votes && creating.is_none() && !member.holds(group, replica.id) {
                report_lost(group, replica);
                continue;
            }
            if let Err(error) = member.open_replica(group, replica).await {
                tracing::error!(%group, error = format!("{error:#}"), "a replica cannot be opened");
                settled = false;
                continue;
            }
        }
        if let Some(partition) = creating.filter(|partition| meta.creator(partition) == Some(replica)) {
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
    for partition in mine(meta, member.store).filter_map(|(_, partition, _)| partition) {
        let ready = member.group(partition.id.group()).is_some_and(|hosted| hosted.is_ready());
        if ready && partition.state == PartitionState::Creating {
            let command = MetaCommand::PartitionCreated { partition: partition.id };
            settled &= matches!(member.meta_anywhere(&command, Instant::now() + ATTEMPT).await, Ok(Ok(_)));
        }
    }
    settled
}

fn report_lost(group: GroupId, replica: Replica) {
    tracing::error!(
        %group, replica = %replica.id,
        "the volume holds nothing of a replica that was created: it stays closed, the others go on"
    );
}
