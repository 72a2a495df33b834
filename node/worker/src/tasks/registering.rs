//! Tells the meta group where this store is and what its release knows, whenever the map says otherwise.

use std::sync::Arc;
use std::time::Duration;

use raftduck_model::meta::{MetaCommand, MetaError, StoreInfo};
use tokio::time::Instant;

use crate::member::Member;

const ATTEMPT: Duration = Duration::from_secs(5);

/// Until the process stops.
pub async fn run(member: Arc<Member>) {
    let info = StoreInfo { address: member.config.advertise.clone(), level: member.config.level };
    let mut meta = member.meta.clone();
    loop {
        let wrong = |meta: &Arc<raftduck_model::meta::Meta>| {
            meta.cluster.is_some() && meta.stores.get(&member.store) != Some(&info)
        };
        let told = meta.wait_for(|meta| wrong(meta) || meta.level > info.level).await.map(|meta| meta.level);
        match told {
            Err(_) => return,
            Ok(cluster) if cluster > info.level => {
                let error = MetaError::WrongLevel { level: info.level, cluster };
                tracing::error!(%error, "run a newer release on this store");
                return;
            }
            Ok(_) => {}
        }
        let command = MetaCommand::RegisterStore { store: member.store, info: info.clone() };
        match member.meta_anywhere(&command, Instant::now() + ATTEMPT).await {
            // The state that says so arrives on its own; until then there is nothing to do.
            Ok(Ok(_)) => {
                let right = |meta: &Arc<raftduck_model::meta::Meta>| meta.stores.get(&member.store) == Some(&info);
                let _ = tokio::time::timeout(ATTEMPT, meta.wait_for(right)).await;
            }
            Ok(Err(error @ MetaError::Retired { .. })) => {
                // The end of this task ends the process.
                tracing::error!(%error, "start this worker again: it sets its data aside");
                return;
            }
            Ok(Err(error @ MetaError::WrongLevel { .. })) => {
                tracing::error!(%error, "the cluster refuses this store's release");
                return;
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the cluster refuses this store");
                tokio::time::sleep(ATTEMPT).await;
            }
            Err(error) => tracing::warn!(%error, "this store's address could not be registered yet"),
        }
    }
}
