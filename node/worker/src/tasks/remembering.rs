//! Keeps the volume's record of the cluster: where the stores are that this one looks for when it
//! starts again. Those of the bootstrap may all have gone by then.

use std::sync::Arc;
use std::time::Duration;

use raftduck_model::meta::Meta;

use crate::member::Member;
use crate::volume::Membership;

/// After a write that failed: the volume may be full.
const RETRY: Duration = Duration::from_secs(10);

/// Until the process stops.
pub async fn run(member: Arc<Member>) {
    let mut meta = member.meta.clone();
    let mut written = member.membership.clone();
    loop {
        let now = meta.borrow_and_update().clone();
        if let Some(membership) = membership(&now).filter(|membership| *membership != written) {
            match member.recorded.volume.update_membership(&membership) {
                Ok(()) => written = membership,
                Err(error) => {
                    tracing::error!(
                        error = raftduck_model::error_chain(&error),
                        "the stores' places could not be written down"
                    );
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
        }
        if meta.changed().await.is_err() {
            return;
        }
    }
}

/// What a volume is to know of the cluster; none before there is one.
pub fn membership(meta: &Meta) -> Option<Membership> {
    Some(Membership {
        cluster: meta.cluster?,
        level: meta.level,
        meta: meta.replicas.clone(),
        seeds: meta.stores.iter().map(|(store, info)| (*store, info.address.clone())).collect(),
    })
}
