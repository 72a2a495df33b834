//! Whether an operator that was installed is at work: what `helm test` runs, as the operator's own account.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ListParams};
use raftduck_operator_api::AnalyticsCluster;
use tokio::time::{Instant, sleep};

use crate::build::labels::OPERATOR;
use crate::names::Namespace;

/// A holder renews its lease every two seconds.
const FRESH: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(1);

/// Reads the resources as the operator does, and waits until one holds the lease. Says what it found.
///
/// # Errors
/// Where the definition is not installed, rights are missing, or no operator acts.
pub async fn check(client: Client, namespace: &Namespace, watched: &[Namespace]) -> Result<String> {
    let mut clusters = 0;
    if watched.is_empty() {
        clusters += count(Api::all(client.clone())).await.context("in all namespaces")?;
    }
    for scope in watched {
        let scope = scope.to_string();
        clusters += count(Api::namespaced(client.clone(), &scope)).await.with_context(|| format!("in {scope}"))?;
    }
    let leases = Api::<Lease>::namespaced(client, &namespace.to_string());
    let end = Instant::now() + PATIENCE;
    loop {
        let lease = leases.get_opt(OPERATOR).await.context("reading the lease")?;
        if let Some(holder) = lease.as_ref().and_then(holder) {
            return Ok(format!("{clusters} clusters can be read, {holder} looks after them"));
        }
        if Instant::now() >= end {
            bail!("no operator holds the lease {OPERATOR} in {namespace}: see its pods' logs");
        }
        sleep(LOOK).await;
    }
}

async fn count(resources: Api<AnalyticsCluster>) -> Result<usize> {
    let listed = resources.list(&ListParams::default()).await;
    Ok(listed
        .context("listing AnalyticsClusters: is the definition installed, and may this account read it?")?
        .items
        .len())
}

/// Who holds the lease, where it was renewed lately.
fn holder(lease: &Lease) -> Option<String> {
    let spec = lease.spec.as_ref()?;
    let age = Timestamp::now().duration_since(spec.renew_time.as_ref()?.0);
    spec.holder_identity.clone().filter(|holder| !holder.is_empty() && age.unsigned_abs() < FRESH)
}
