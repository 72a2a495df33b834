//! How an empty store is taken in by a cluster, and a retired one learns that it was.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use raftduck_model::StoreId;
use raftduck_wire::credential::Credential;
use raftduck_wire::proto::store::{InviteRequest, InviteResponse};
use raftduck_wire::rpc;
use tokio::time::timeout;

use crate::config::WorkerConfig;
use crate::joining::Joining;
use crate::volume::{Membership, Volume};

/// For asking the others at start whether this store still belongs to them: where nobody answers,
/// nothing can be served either before somebody does.
const ASK: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(500);

/// Sets the data of a store that was retired aside. Returns through whom the cluster is reached.
///
/// # Errors
/// Where the volume cannot be read or written.
pub async fn set_aside_if_retired(volume: &mut Volume, config: &WorkerConfig) -> anyhow::Result<Vec<String>> {
    let mut through = config.join.clone();
    let Some(membership) = volume.membership()? else { return Ok(through) };
    let store = volume.store();
    through.extend(membership.seeds.into_iter().filter(|(seed, _)| *seed != store).map(|(_, address)| address));
    through.sort_unstable();
    through.dedup();
    let mut answers: FuturesUnordered<_> =
        through.iter().map(|address| ask(address, store, &config.credential)).collect();
    let retired = async {
        while let Some(answer) = answers.next().await {
            if answer.is_some_and(|answer| answer.retired) {
                return true;
            }
        }
        false
    };
    let retired = timeout(ASK, retired).await.unwrap_or(false);
    drop(answers);
    if retired {
        let aside = volume.set_aside()?;
        tracing::warn!(
            retired = %store, store = %volume.store(), aside = %aside.display(),
            "the cluster has retired this store: its data is set aside, and it joins as another, empty one"
        );
    }
    Ok(through)
}

/// Asks the stores at these addresses, again and again, until one takes this store in.
///
/// # Errors
/// Where the volume or its log and rows cannot be opened.
pub async fn join(joining: Arc<Joining>, through: Vec<String>) -> anyhow::Result<()> {
    tracing::info!(through = through.join(","), "this store is empty, and asks to be taken in");
    while joining.membership().is_none() {
        for address in &through {
            let Ok(Some(answer)) = timeout(ASK, ask(address, joining.store(), &joining.config().credential)).await
            else {
                continue;
            };
            let membership: Membership =
                serde_json::from_slice(&answer.membership).context("a store told a cluster that cannot be read")?;
            tracing::info!(cluster = %membership.cluster, "taken in");
            joining.join(membership).await?;
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn ask(address: &str, store: StoreId, credential: &Credential) -> Option<InviteResponse> {
    let mut client = rpc::store(address, credential).ok()?;
    match client.invite(InviteRequest { store: store.to_string() }).await {
        Ok(answer) => Some(answer.into_inner()),
        Err(status) => {
            tracing::debug!(address, %status, "a store did not answer whether this one belongs to its cluster");
            None
        }
    }
}
