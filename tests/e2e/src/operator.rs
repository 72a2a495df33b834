//! The operator, as a platform team installs it.

use anyhow::{Context, Result};

use crate::shell::run;

/// Where it is installed.
pub const NAMESPACE: &str = "raftduck-system";

/// The image that the suite was given, as repository and tag.
///
/// # Errors
/// Where `IMAGE` is not set, or names no tag.
pub fn image() -> Result<(String, String)> {
    let image = std::env::var("IMAGE").context("IMAGE names the image to test: use tests/e2e/run")?;
    let (repository, tag) = image.rsplit_once(':').context("IMAGE names no tag")?;
    Ok((repository.to_owned(), tag.to_owned()))
}

/// Which kind of cluster `tests/e2e/run` made.
fn kind() -> String {
    std::env::var("E2E_CLUSTER").unwrap_or_default()
}

/// Installs the chart, or upgrades it, and waits until it runs.
///
/// # Errors
/// Where Helm fails.
pub async fn install() -> Result<()> {
    let (repository, tag) = image()?;
    let (repository, tag) = (format!("image.repository={repository}"), format!("image.tag={tag}"));
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/raftduck");
    let mut line = vec!["upgrade", "--install", "raftduck", chart, "--namespace", NAMESPACE, "--create-namespace"];
    line.extend(["--set", &repository, "--set", &tag, "--wait", "--timeout", "120s"]);
    if kind() == "modules" {
        // The node that no test cuts off: one operator on a lost node is replaced after five minutes only.
        line.extend(["--set", "nodeSelector.kubernetes\\.io/hostname=node1"]);
    }
    run("helm", &line).await.map(drop)
}

/// Runs the chart's own test.
///
/// # Errors
/// Where it fails, with what it said.
pub async fn test() -> Result<String> {
    run("helm", &["test", "raftduck", "--namespace", NAMESPACE, "--logs", "--timeout", "120s"]).await
}

/// Uninstalls the chart.
///
/// # Errors
/// Where Helm fails.
pub async fn uninstall() -> Result<()> {
    run("helm", &["uninstall", "raftduck", "--namespace", NAMESPACE, "--wait"]).await.map(drop)
}

/// Whether the suite runs on the cluster from Go modules; says so where it does not, since less is tried then.
pub fn on_test_cluster(what: &str) -> bool {
    let there = kind() == "modules";
    if !there {
        println!("NOT TRIED HERE: it takes the cluster from Go modules, for {what}");
    }
    there
}
