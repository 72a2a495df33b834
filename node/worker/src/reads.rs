//! Linearizable reads: the index that each partition must have applied before it is read.
//!
//! The leader of each group says its read index (Ongaro's thesis §6.4): here for groups this store
//! leads, by one call per peer for all groups that peer leads.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use raftduck_model::{GroupId, LogIndex, StoreId};
use raftduck_wire::proto::store::{ReadIndexOutcome, ReadIndexRequest};
use tokio::time::{Instant, timeout, timeout_at};

use crate::directory::Directory;
use crate::hosted::Hosted;

/// One attempt at a peer: a frozen one sends no reset, and its groups elect others meanwhile.
const ATTEMPT: Duration = Duration::from_millis(250);
/// Between attempts: an election takes a few of these.
const PAUSE: Duration = Duration::from_millis(25);

/// Waits until every group of `groups` has applied here what was committed when this was called.
///
/// # Errors
/// The groups for which that did not happen before `deadline`.
pub async fn catch_up(groups: &[Hosted], directory: &Directory, deadline: Instant) -> Result<(), Vec<GroupId>> {
    let mut waiting: Vec<Hosted> = groups.to_vec();
    while !waiting.is_empty() {
        let bounds = timeout_at(deadline, read_indexes(&waiting, directory)).await.unwrap_or_default();
        let applied = join_all(waiting.iter().map(|hosted| {
            let bound = bounds.get(&hosted.id()).copied();
            async move {
                match bound {
                    Some(index) => {
                        matches!(timeout_at(deadline, hosted.group.wait_applied(index)).await, Ok(Ok(())))
                    }
                    None => false,
                }
            }
        }));
        let applied = applied.await;
        let mut done = applied.into_iter();
        waiting.retain(|_| !done.next().unwrap_or(false));
        if !waiting.is_empty() && timeout_at(deadline, tokio::time::sleep(PAUSE)).await.is_err() {
            return Err(waiting.iter().map(Hosted::id).collect());
        }
    }
    Ok(())
}

/// The read index of every group whose leader answers at the first attempt.
async fn read_indexes(groups: &[Hosted], directory: &Directory) -> BTreeMap<GroupId, LogIndex> {
    let mut elsewhere: BTreeMap<StoreId, Vec<u32>> = BTreeMap::new();
    let mut here = Vec::new();
    for hosted in groups {
        match hosted.leader_store() {
            Some(store) if store == hosted.replica.store => here.push(hosted),
            Some(store) => elsewhere.entry(store).or_default().push(hosted.id().0),
            None => {}
        }
    }
    let here = join_all(here.into_iter().map(|hosted| async move {
        let index = timeout(ATTEMPT, hosted.group.read_index()).await.ok()?.ok()?;
        Some((hosted.id(), index))
    }));
    let elsewhere = join_all(elsewhere.into_iter().map(|(store, groups)| ask(directory, store, groups)));
    let (here, elsewhere) = tokio::join!(here, elsewhere);
    let answered = elsewhere.into_iter().flatten().filter(|outcome| outcome.leader);
    let answered = answered.map(|outcome| (GroupId(outcome.group), LogIndex(outcome.index)));
    here.into_iter().flatten().chain(answered).collect()
}

async fn ask(directory: &Directory, store: StoreId, groups: Vec<u32>) -> Vec<ReadIndexOutcome> {
    let Ok(mut client) = directory.client(store) else { return Vec::new() };
    match timeout(ATTEMPT, client.read_index(ReadIndexRequest { groups })).await {
        Ok(Ok(response)) => response.into_inner().outcomes,
        Ok(Err(status)) => {
            tracing::debug!(%store, %status, "a peer did not give its read indexes");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}
