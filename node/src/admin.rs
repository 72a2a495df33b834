//! Calls of a worker's admin endpoints, and `raftduck finalise`.

use anyhow::Context;
use raftduck_model::meta::Meta;
use raftduck_wire::http::FinaliseRequest;
use reqwest::Method;
use serde_json::Value;

use crate::bootstrap::refused;
use crate::cli::AdminOptions;

/// One call of `/admin/v1/<path>`.
///
/// # Errors
/// What the worker said, or that it cannot be reached.
pub async fn call(
    options: &AdminOptions,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> anyhow::Result<reqwest::Response> {
    let token = options.secret.credential(true)?;
    let url = format!("http://{}/admin/v1/{path}", options.worker);
    let mut request = reqwest::Client::new().request(method, &url).bearer_auth(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    refused(request.send().await.with_context(|| format!("cannot reach {url}"))?).await
}

/// The command `finalise`.
///
/// # Errors
/// What the worker said, or that it cannot be reached.
pub async fn finalise(options: AdminOptions) -> anyhow::Result<()> {
    let meta: Meta = call(&options, Method::GET, "cluster", None).await?.json().await?;
    anyhow::ensure!(meta.cluster.is_some(), "no cluster yet: run raftduck bootstrap");
    if meta.stores.values().all(|store| store.level <= meta.level) {
        println!("nothing to do: the cluster is at level {}, the newest that its stores know", meta.level);
        return Ok(());
    }
    let level = meta.level + 1;
    call(&options, Method::POST, "finalise", Some(serde_json::to_value(FinaliseRequest { level })?)).await?;
    println!("the cluster is at level {level}: older releases are refused from now on");
    Ok(())
}
