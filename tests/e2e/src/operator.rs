//! The operator, as a platform team installs it.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, ResourceExt};

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

/// The same image as a release of the next level, which `tests/e2e/run` made too.
///
/// # Errors
/// As [`image`].
pub fn next_image() -> Result<String> {
    let (repository, tag) = image()?;
    Ok(format!("{repository}:{tag}-next"))
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
    install_release(&repository, &tag).await
}

/// Installs another release of the operator, or goes back to it.
///
/// # Errors
/// Where Helm fails.
pub async fn install_release(repository: &str, tag: &str) -> Result<()> {
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

/// The operator's pod: its name and its UID.
async fn pod(kube: &Client) -> Result<(String, String)> {
    let pods = Api::<Pod>::namespaced(kube.clone(), NAMESPACE);
    let listed = ListParams::default().labels("app.kubernetes.io/name=raftduck-operator");
    let found = pods.list(&listed).await?.items.into_iter().find(|pod| pod.metadata.deletion_timestamp.is_none());
    let pod = found.context("no operator runs")?;
    Ok((pod.name_any(), pod.uid().unwrap_or_default()))
}

/// How many objects it wrote and steps it did since it started.
///
/// # Errors
/// Where it does not say so.
pub async fn changes(kube: &Client) -> Result<u64> {
    let (name, _) = pod(kube).await?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}:8080/proxy/metrics");
    let text = kube.request_text(http::Request::get(path).body(Vec::new())?).await?;
    let counted = |line: &&str| {
        line.starts_with("raftduck_operator_objects_written_total{")
            || line.starts_with("raftduck_operator_steps_total{")
    };
    let counts = text.lines().filter(counted).filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    Ok(counts.sum())
}

/// Ends its process at once, as a machine that loses power does, and its pod: another one waits for no backoff.
///
/// # Errors
/// Where it is not found.
pub async fn kill(kube: &Client) -> Result<()> {
    let (name, uid) = pod(kube).await?;
    // Of its pod's cgroup; the container's other process only holds the network.
    let processes = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ours = |id: &String| {
        let read = |what: &str| std::fs::read_to_string(format!("/proc/{id}/{what}")).unwrap_or_default();
        read("cgroup").contains(&uid) && read("comm").starts_with("raftduck")
    };
    let process = processes.filter(ours).find(|id| id.parse::<u32>().is_ok()).context("no process of the operator")?;
    run("kill", &["-9", &process]).await?;
    Api::<Pod>::namespaced(kube.clone(), NAMESPACE).delete(&name, &DeleteParams::default()).await?;
    Ok(())
}

/// Whether the suite runs on the cluster from Go modules; says so where it does not, since less is tried then.
pub fn on_test_cluster(what: &str) -> bool {
    let there = kind() == "modules";
    if !there {
        println!("NOT TRIED HERE: it takes the cluster from Go modules, for {what}");
    }
    there
}
