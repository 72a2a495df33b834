//! A store that does not hear of the cluster's state through a replica of the meta group is told it
//! by others. A replica that hears of no leader may have been removed: then it is told so.

use std::sync::Arc;
use std::time::Duration;

use raftduck_model::{GroupId, StoreId};
use raftduck_wire::proto::store::WatchRequest;
use tokio::time::timeout;

use crate::member::Member;

/// Between two looks whether this store hears of the state itself, and between two stores that do
/// not tell it.
const LOOK: Duration = Duration::from_millis(250);
/// A leader that is there sends several heartbeats within this.
const SILENCE: Duration = Duration::from_secs(2);
/// How long one store may tell nothing new before another is asked: it may know no more than this one.
const TURN: Duration = Duration::from_secs(30);

/// Until the process stops.
pub async fn run(member: Arc<Member>) {
    loop {
        for store in others(&member) {
            hears(&member, false).await;
            tokio::select! {
                () = follow(&member, store) => tokio::time::sleep(LOOK).await,
                () = hears(&member, true) => {}
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Stores with a replica of the meta group first, as far as is known.
fn others(member: &Member) -> Vec<StoreId> {
    let voters: Vec<StoreId> = member.meta.borrow().replicas.iter().map(|replica| replica.store).collect();
    let mut stores = member.directory.stores();
    stores.retain(|store| *store != member.store);
    stores.sort_by_key(|store| !voters.contains(store));
    stores
}

/// Waits until this store hears of the state itself, or until it does not.
async fn hears(member: &Member, wanted: bool) {
    let heard = || member.group(GroupId::META).is_some_and(|hosted| hosted.group.silence() < SILENCE);
    while heard() != wanted {
        tokio::time::sleep(LOOK).await;
    }
}

/// Until the stream ends or is silent for its turn.
async fn follow(member: &Member, store: StoreId) {
    let Ok(mut client) = member.directory.client(store) else { return };
    let Ok(response) = client.watch(WatchRequest {}).await else { return };
    let mut updates = response.into_inner();
    while let Ok(Ok(Some(update))) = timeout(TURN, updates.message()).await {
        if update.meta.is_empty() {
            continue;
        }
        match serde_json::from_slice(&update.meta) {
            Ok(meta) => member.learn_meta(meta),
            Err(error) => tracing::warn!(%store, %error, "a store told a cluster state that cannot be read"),
        }
    }
}
