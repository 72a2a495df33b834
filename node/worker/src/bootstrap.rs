//! Makes a cluster of stores that belong to none. Every step may be done again: a second call with
//! the same cluster finishes what a first one began.

use std::sync::Arc;
use std::time::Duration;

use raftduck_consensus::InitializeError;
use raftduck_model::meta::{MetaCommand, MetaError, Replica, StoreInfo};
use raftduck_model::{ClusterId, GroupId, ReplicaId, StoreId};
use raftduck_wire::http::BootstrapRequest;
use raftduck_wire::proto::store::{IdentifyRequest, JoinRequest};
use raftduck_wire::rpc;
use tokio::time::{Instant, sleep, timeout};

use crate::joining::Joining;
use crate::member::Member;
use crate::volume::Membership;

const DEADLINE: Duration = Duration::from_secs(60);
const ATTEMPT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);
/// Three of the meta group's replicas survive one failure; five, from five stores up, survive two.
const META_REPLICAS: [usize; 3] = [5, 3, 1];

/// Why a cluster was not made, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A store said no.
    #[error("the store at {address} refuses: {reason}")]
    Refused {
        /// Its address.
        address: String,
        /// Its words.
        reason: String,
    },
    /// A store did not answer in time. Asking again goes on from here.
    #[error("the store at {address} does not answer ({reason}): start it, then ask again")]
    Unreachable {
        /// Its address.
        address: String,
        /// What was seen.
        reason: String,
    },
    /// The meta group said no.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// The meta group did not elect a leader in time. Asking again goes on from here.
    #[error("the meta group elected no leader in {} s: see that its stores reach each other, then ask again", DEADLINE.as_secs())]
    NoLeader,
}

/// Makes the cluster.
///
/// # Errors
/// See [`BootstrapError`]; whatever was done stays done, and the next call goes on from there.
pub async fn bootstrap(joining: &Joining, request: BootstrapRequest) -> Result<(), BootstrapError> {
    let deadline = Instant::now() + DEADLINE;
    check(&request)?;
    let mut stores = Vec::new();
    for address in &request.stores {
        stores.push(identify(joining, address, request.cluster_uuid, deadline).await?);
    }
    if stores.first().map(|(store, _)| *store) != Some(joining.store()) {
        let reason = format!("ask the first of the stores, {}: it is the one that begins", request.stores[0]);
        return Err(BootstrapError::Invalid(reason));
    }
    let membership = joining.membership().cloned().unwrap_or_else(|| membership(request.cluster_uuid, &stores));
    for address in &request.stores {
        join(joining, address, &membership).await?;
    }
    let member = joining.join(membership.clone()).await.map_err(|error| BootstrapError::Refused {
        address: request.stores[0].clone(),
        reason: format!("{error:#}"),
    })?;
    let command = MetaCommand::Bootstrap {
        cluster: request.cluster_uuid,
        stores,
        replicas: membership.meta.clone(),
        partitions: request.partitions,
        replication: request.replication,
    };
    create(&member, &membership, &command, deadline).await
}

fn check(request: &BootstrapRequest) -> Result<(), BootstrapError> {
    let mut distinct = request.stores.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() != request.stores.len() || distinct.is_empty() {
        return Err(BootstrapError::Invalid("name each store once, and at least one".into()));
    }
    if request.replication as usize > request.stores.len() {
        let reason = format!(
            "{} copies of each partition need as many stores, {} are named",
            request.replication,
            request.stores.len()
        );
        return Err(BootstrapError::Invalid(reason));
    }
    Ok(())
}

/// The meta group is on the first stores named: as many as an odd number of them allows.
fn membership(cluster: ClusterId, stores: &[(StoreId, StoreInfo)]) -> Membership {
    let replicas = META_REPLICAS.into_iter().find(|count| *count <= stores.len()).unwrap_or(1);
    let meta =
        stores.iter().take(replicas).zip(1..).map(|((store, _), id)| Replica { id: ReplicaId(id), store: *store });
    let seeds = stores.iter().map(|(store, info)| (*store, info.address.clone())).collect();
    // What the meta group makes of the stores' levels.
    let level = stores.iter().map(|(_, info)| info.level).min().unwrap_or_default();
    Membership { cluster, level, meta: meta.collect(), seeds }
}

async fn identify(
    joining: &Joining,
    address: &str,
    cluster: ClusterId,
    deadline: Instant,
) -> Result<(StoreId, StoreInfo), BootstrapError> {
    let unreachable = |reason: String| BootstrapError::Unreachable { address: address.into(), reason };
    let refused = |reason: String| BootstrapError::Refused { address: address.into(), reason };
    let mut client = client(joining, address)?;
    let identity = loop {
        match timeout(ATTEMPT, client.identify(IdentifyRequest {})).await {
            Ok(Ok(response)) => break response.into_inner(),
            Ok(Err(status)) if status.code() == tonic::Code::Unauthenticated => {
                return Err(refused(status.message().to_owned()));
            }
            failed if Instant::now() >= deadline => {
                return Err(unreachable(match failed {
                    Ok(Err(status)) => status.message().to_owned(),
                    _ => "no answer".into(),
                }));
            }
            _ => sleep(PAUSE).await,
        }
    };
    if !identity.cluster.is_empty() && identity.cluster != cluster.to_string() {
        return Err(refused(format!("it belongs to cluster {}", identity.cluster)));
    }
    let store = identity.store.parse().map_err(|_| refused("it does not say which store it is".into()))?;
    Ok((store, StoreInfo { address: address.to_owned(), level: identity.level }))
}

async fn join(joining: &Joining, address: &str, membership: &Membership) -> Result<(), BootstrapError> {
    let refused = |reason: String| BootstrapError::Refused { address: address.into(), reason };
    let membership = serde_json::to_vec(membership).map_err(|error| refused(error.to_string()))?;
    match timeout(ATTEMPT, client(joining, address)?.join(JoinRequest { membership: membership.into() })).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(status)) => Err(refused(status.message().to_owned())),
        Err(_) => Err(BootstrapError::Unreachable { address: address.into(), reason: "no answer".into() }),
    }
}

fn client(joining: &Joining, address: &str) -> Result<rpc::Store, BootstrapError> {
    rpc::store(address, &joining.config().credential)
        .map_err(|error| BootstrapError::Invalid(format!("{address:?} is no host:port: {error}")))
}

/// Initialises the meta group and writes the cluster into it.
async fn create(
    member: &Arc<Member>,
    membership: &Membership,
    command: &MetaCommand,
    deadline: Instant,
) -> Result<(), BootstrapError> {
    while Instant::now() < deadline {
        if let Some(hosted) = member.group(GroupId::META)
            && let Err(error) = hosted.group.initialize(membership.meta.clone()).await
            && !matches!(error, InitializeError::Already)
        {
            tracing::warn!(%error, "the meta group cannot be initialised yet");
        }
        let attempt = deadline.min(Instant::now() + ATTEMPT);
        if let Ok(outcome) = member.meta_anywhere(command, attempt).await {
            outcome?;
            return Ok(());
        }
    }
    Err(BootstrapError::NoLeader)
}
