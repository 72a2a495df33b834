//! A store without a replica of the meta group is told the cluster's state by one that has it.

use std::sync::Arc;
use std::time::Duration;

use raftduck_model::{GroupId, StoreId};
use raftduck_wire::proto::store::WatchRequest;

use crate::member::Member;

const PAUSE: Duration = Duration::from_millis(250);

/// Until the process stops; waits for ever on a store that has the state first-hand.
pub async fn run(member: Arc<Member>) {
    if member.group(GroupId::META).is_some() {
        return std::future::pending().await;
    }
    loop {
        for store in member.directory.stores() {
            if store != member.store {
                follow(&member, store).await;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Until the stream ends.
async fn follow(member: &Member, store: StoreId) {
    let Ok(mut client) = member.directory.client(store) else { return };
    let Ok(response) = client.watch(WatchRequest {}).await else { return };
    let mut updates = response.into_inner();
    while let Ok(Some(update)) = updates.message().await {
        if update.meta.is_empty() {
            continue;
        }
        match serde_json::from_slice(&update.meta) {
            Ok(meta) => member.learn_meta(meta),
            Err(error) => tracing::warn!(%store, %error, "a store told a cluster state that cannot be read"),
        }
    }
}
