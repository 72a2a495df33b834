//! Makes a cluster of empty stores through the first store's admin port.

use std::time::Duration;

use anyhow::{Context, bail};
use backon::{ConstantBuilder, Retryable};
use raftduck_model::ClusterId;
use raftduck_model::meta::{Meta, PartitionState};
use raftduck_wire::http::{BootstrapRequest, Problem};

use crate::cli::BootstrapOptions;

/// One attempt of a call; the store itself waits up to a minute for the others within it.
const ATTEMPT: Duration = Duration::from_secs(70);

/// Between two attempts to connect, and how many there are: 20 s in all.
const RETRY: Duration = Duration::from_millis(200);
const RETRIES: usize = 100;

/// The command `bootstrap`.
///
/// # Errors
/// As [`run`].
pub async fn command(options: BootstrapOptions) -> anyhow::Result<()> {
    let token = options.secret.credential(true)?;
    let request = BootstrapRequest {
        cluster_uuid: ClusterId(options.cluster_uuid),
        stores: options.stores,
        partitions: options.partitions,
        replication: options.replication,
    };
    let wait = (!options.no_wait).then(|| Duration::from_secs(options.timeout_s));
    run(&request, &token, wait).await?;
    println!("cluster {}: {} stores, {} partitions", request.cluster_uuid, request.stores.len(), request.partitions);
    Ok(())
}

/// Asks the first store to make the cluster, and with `wait` waits until every partition has a leader.
///
/// # Errors
/// Where the store refuses, with its reason, or the wait is over.
pub async fn run(request: &BootstrapRequest, token: &str, wait: Option<Duration>) -> anyhow::Result<()> {
    let Some(first) = request.stores.first() else { bail!("--stores names no store") };
    let http = reqwest::Client::builder().timeout(ATTEMPT).build()?;
    let url = format!("http://{first}/admin/v1/bootstrap");
    // The store may be about to start, as it is when both are started by one script.
    let patience = ConstantBuilder::new().with_delay(RETRY).with_max_times(RETRIES);
    let ask = async || http.post(&url).bearer_auth(token).json(request).send().await;
    let reply = ask.retry(patience).when(reqwest::Error::is_connect).await;
    refused(reply.with_context(|| format!("cannot reach {url}"))?).await?;
    let Some(wait) = wait else { return Ok(()) };
    let waiting = async {
        while !(created(&http, first, token).await? && all_ready(&request.stores).await) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    match tokio::time::timeout(wait, waiting).await {
        Ok(outcome) => outcome,
        Err(_) => bail!("after {wait:?} some partitions have no leader: do all stores run, at the addresses given?"),
    }
}

/// Whether every partition's group elected a leader once.
async fn created(http: &reqwest::Client, store: &str, token: &str) -> anyhow::Result<bool> {
    let reply = http.get(format!("http://{store}/admin/v1/cluster")).bearer_auth(token).send().await;
    let meta: Meta = refused(reply.with_context(|| format!("cannot reach {store}"))?).await?.json().await?;
    Ok(!meta.partitions.is_empty() && meta.partitions.iter().all(|one| one.state == PartitionState::Created))
}

/// Whether every store knows a leader of each group it has a replica of.
async fn all_ready(stores: &[String]) -> bool {
    let probes = stores.iter().map(async |store| answers(&format!("http://{store}/readyz")).await);
    futures::future::join_all(probes).await.into_iter().all(|ready| ready)
}

/// Whether a GET of `url` succeeds; one short attempt.
pub async fn answers(url: &str) -> bool {
    let Ok(http) = reqwest::Client::builder().timeout(Duration::from_secs(2)).build() else { return false };
    http.get(url).send().await.is_ok_and(|reply| reply.status().is_success())
}

/// The reply, or the problem that it tells.
///
/// # Errors
/// Where it is no success.
pub async fn refused(reply: reqwest::Response) -> anyhow::Result<reqwest::Response> {
    let status = reply.status();
    if status.is_success() {
        return Ok(reply);
    }
    let url = reply.url().to_string();
    let body = reply.bytes().await.unwrap_or_default();
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => bail!("{url}: {problem}"),
        Err(_) => bail!("{url} answered HTTP {status}"),
    }
}
