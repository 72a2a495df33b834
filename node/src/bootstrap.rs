//! Makes a cluster of empty stores through the first store's admin port.

use std::time::Duration;

use anyhow::{Context, bail};
use raftduck_wire::http::{ClusterAnswer, Problem};
use serde::Serialize;
use uuid::Uuid;

use crate::cli::BootstrapOptions;

/// One attempt of a call; the store itself waits for a quorum within it.
const ATTEMPT: Duration = Duration::from_secs(30);

/// The body of `POST /admin/v1/bootstrap`.
#[derive(Serialize)]
pub struct Bootstrap {
    /// The new cluster.
    pub cluster: Uuid,
    /// Its stores' addresses, `host:port`; the first is asked.
    pub stores: Vec<String>,
    /// Partitions, for ever.
    pub partitions: u32,
    /// Copies of each.
    pub replication: u32,
}

/// The command `bootstrap`.
///
/// # Errors
/// As [`run`].
pub async fn command(options: BootstrapOptions) -> anyhow::Result<()> {
    let token = options.secret.read(true)?;
    let request = Bootstrap {
        cluster: options.cluster_uuid,
        stores: options.stores,
        partitions: options.partitions,
        replication: options.replication,
    };
    let wait = (!options.no_wait).then(|| Duration::from_secs(options.timeout_s));
    run(&request, token.as_deref(), wait).await?;
    println!("cluster {}: {} stores, {} partitions", request.cluster, request.stores.len(), request.partitions);
    Ok(())
}

/// Asks the first store to make the cluster, and with `wait` waits until every partition has a leader.
///
/// # Errors
/// Where the store refuses, with its reason, or the wait is over.
pub async fn run(request: &Bootstrap, token: Option<&str>, wait: Option<Duration>) -> anyhow::Result<()> {
    let Some(first) = request.stores.first() else { bail!("--stores names no store") };
    let http = reqwest::Client::builder().timeout(ATTEMPT).build()?;
    let authorized = |call: reqwest::RequestBuilder| match token {
        Some(token) => call.bearer_auth(token),
        None => call,
    };
    let url = format!("http://{first}/admin/v1/bootstrap");
    let reply =
        authorized(http.post(&url).json(request)).send().await.with_context(|| format!("cannot reach {url}"))?;
    refused(reply).await?;
    let Some(wait) = wait else { return Ok(()) };
    let url = format!("http://{first}/admin/v1/cluster");
    let all_led = async {
        loop {
            let reply = authorized(http.get(&url)).send().await;
            if let Ok(reply) = reply {
                let cluster: ClusterAnswer = refused(reply).await?.json().await.context("an unreadable reply")?;
                if !cluster.partitions.is_empty() && cluster.partitions.iter().all(|one| one.leader.is_some()) {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(wait, all_led).await {
        Ok(outcome) => outcome,
        Err(_) => bail!("after {wait:?} some partitions have no leader: do all stores run, at the addresses given?"),
    }
}

/// Whether a GET of `url` succeeds; one short attempt.
pub async fn answers(url: &str) -> bool {
    let Ok(http) = reqwest::Client::builder().timeout(Duration::from_secs(2)).build() else { return false };
    http.get(url).send().await.is_ok_and(|reply| reply.status().is_success())
}

async fn refused(reply: reqwest::Response) -> anyhow::Result<reqwest::Response> {
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
