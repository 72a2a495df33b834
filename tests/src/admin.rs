//! What an operator asks of a worker.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use raftduck_wire::http::Safety;
use reqwest::{Client, Method};

use crate::cluster::PATIENCE;
use crate::launch::CLUSTER_TOKEN;
use crate::wait;

/// One call, which a worker may pass on to the meta group's leader.
const ATTEMPT: Duration = Duration::from_secs(15);

/// Asks for the store to be emptied.
///
/// # Errors
/// Where the worker refuses, or none does it in time.
pub async fn drain(worker: &str, store: &str) -> Result<()> {
    done(worker, Method::PUT, store, "drain").await
}

/// Gives the store up.
///
/// # Errors
/// As [`drain`].
pub async fn retire(worker: &str, store: &str) -> Result<()> {
    done(worker, Method::POST, store, "retire").await
}

/// Fails unless the store may not be given up: it runs and holds replicas.
///
/// # Errors
/// Where it was given up, or is refused for another reason.
pub async fn retire_is_refused(worker: &str, store: &str) -> Result<()> {
    let (status, answer) = call(worker, Method::POST, store, "retire").await?;
    ensure!(status == 409 && answer.contains("store_runs"), "a store that runs, retired: {status} {answer}");
    Ok(())
}

/// Whether nothing depends on the store any more; none where nobody knows at the moment.
pub async fn safe_to_remove(worker: &str, store: &str) -> Option<bool> {
    let (status, answer) = call(worker, Method::GET, store, "safe-to-remove").await.ok()?;
    if status != 200 {
        return None;
    }
    Some(serde_json::from_str::<Safety>(&answer).ok()?.safe)
}

/// Repeats what fails for want of a meta leader: one may just have been killed.
async fn done(worker: &str, method: Method, store: &str, action: &str) -> Result<()> {
    let what = format!("{action} of {store}");
    let refusal = wait::until(&what, PATIENCE, async || match call(worker, method.clone(), store, action).await {
        Ok((200..300, _)) => Some(None),
        Ok((status @ ..500, answer)) => Some(Some(format!("{status} {answer}"))),
        Ok(_) | Err(_) => None,
    });
    match refusal.await? {
        None => Ok(()),
        Some(refusal) => bail!("{what}: {refusal}"),
    }
}

async fn call(worker: &str, method: Method, store: &str, action: &str) -> Result<(u16, String)> {
    let url = format!("http://{worker}/admin/v1/stores/{store}/{action}");
    let request = Client::new().request(method, &url).bearer_auth(CLUSTER_TOKEN).timeout(ATTEMPT);
    let answer = request.send().await.with_context(|| format!("calling {url}"))?;
    Ok((answer.status().as_u16(), answer.text().await.context("reading a worker's answer")?))
}
