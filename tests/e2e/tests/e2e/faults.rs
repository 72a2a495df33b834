//! What happens to a cluster: machines, volumes and quorums that go, and come back.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use raftduck_e2e::database::Database;
use raftduck_e2e::operator;
use raftduck_e2e::shell::run;
use raftduck_e2e::wait::until;
use raftduck_wire::client::ClientConfig;
use raftduck_wire::http::SqlRequest;
use serde_json::json;

/// Until Kubernetes takes a node for ready, or for lost.
async fn node_is(database: &Database, name: &str, ready: &str) -> Result<()> {
    let nodes = Api::<Node>::all(database.kube.clone());
    until(&format!("{name} is {ready}"), async || {
        let conditions = nodes.get(name).await.ok()?.status?.conditions?;
        conditions.iter().any(|one| one.type_ == "Ready" && one.status == ready).then_some(())
    })
    .await
}

/// How often containers of the database's pods were restarted.
async fn restarts(database: &Database) -> Result<i32> {
    let pods = database.api::<Pod>().list(&ListParams::default()).await?;
    let statuses = pods.items.into_iter().filter_map(|pod| pod.status?.container_statuses);
    Ok(statuses.flatten().map(|container| container.restart_count).sum())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn a_node_is_cut_off_for_a_minute() -> Result<()> {
    operator::install().await?;
    if !operator::on_test_cluster("cables that can be pulled") {
        return Ok(());
    }
    let database = Database::create("e2e-cut", "flights", json!({})).await?;
    database.settled().await?;
    let writers = database.load().await?;
    let before = restarts(&database).await?;
    run("testcluster", &["cut", "node2"]).await?;
    writers.go_on().await?;
    node_is(&database, "node2", "Unknown").await?;
    writers.go_on().await?;
    // Not a wait on a state: the fault itself lasts that long.
    tokio::time::sleep(Duration::from_secs(40)).await;
    run("testcluster", &["join", "node2"]).await?;
    node_is(&database, "node2", "True").await?;
    database.settled().await?;
    writers.go_on().await?;
    ensure!(restarts(&database).await? == before, "a process was restarted");
    println!("{} rows there exactly once", writers.check().await?);
    database.drop_namespace().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn the_quorum_is_gone_for_a_while_and_comes_back_by_itself() -> Result<()> {
    operator::install().await?;
    if !operator::on_test_cluster("cables that can be pulled") {
        return Ok(());
    }
    let database = Database::create("e2e-quorum", "flights", json!({"control": {"replicas": 3}})).await?;
    database.settled().await?;
    let writers = database.load().await?;
    let before = restarts(&database).await?;
    for node in ["node2", "node3"] {
        run("testcluster", &["cut", node]).await?;
    }
    node_is(&database, "node3", "Unknown").await?;
    until("it says so", async || database.condition("Available", false).await.filter(|said| said.contains("NoQuorum")))
        .await?;
    // Whom the client meets: a control on the one node that is left.
    let config = ClientConfig { retries: 0, token: Some(database.token("admin").await?), ..ClientConfig::default() };
    let client = raftduck_wire::client::Client::new(&database.service().await?, config)?;
    until("a question is refused with a code", async || {
        let refused = client.query(&SqlRequest::new("SELECT count(*) FROM load".to_owned())).await.err()?;
        matches!(refused.code(), Some("no_leader" | "partitions_missing" | "not_ready")).then_some(())
    })
    .await?;
    for node in ["node2", "node3"] {
        run("testcluster", &["join", node]).await?;
        node_is(&database, node, "True").await?;
    }
    database.settled().await?;
    writers.go_on().await?;
    ensure!(restarts(&database).await? == before, "a process was restarted");
    println!("{} rows there exactly once", writers.check().await?);
    database.drop_namespace().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn a_node_is_drained_and_comes_back() -> Result<()> {
    operator::install().await?;
    let database = Database::create("e2e-drain", "flights", json!({})).await?;
    database.settled().await?;
    let writers = database.load().await?;
    let worker = database.api::<Pod>().get("flights-workers-2").await?;
    let node = worker.spec.and_then(|spec| spec.node_name).unwrap_or_default();
    // Only this database's pods: others have nothing to do with it.
    let selector = "--pod-selector=app.kubernetes.io/instance=flights";
    run("kubectl", &["drain", &node, selector, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s"])
        .await?;
    writers.go_on().await?;
    ensure!(database.condition("Available", true).await.is_some(), "one of three is away");
    run("kubectl", &["uncordon", &node]).await?;
    database.settled().await?;
    println!("{} rows there exactly once", writers.check().await?);
    database.drop_namespace().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn a_volume_is_lost_and_made_anew_from_the_others() -> Result<()> {
    operator::install().await?;
    let database = Database::create("e2e-volume", "flights", json!({})).await?;
    database.settled().await?;
    let writers = database.load().await?;
    let store = async |pod: &str| -> Option<String> {
        let members = database.resources().get("flights").await.ok()?.status?.members;
        members.into_iter().find(|member| member.name == pod)?.store
    };
    let lost = store("flights-workers-1").await;
    let claims = database.api::<PersistentVolumeClaim>();
    let uid = claims.get("data-flights-workers-1").await?.uid();
    claims.delete("data-flights-workers-1", &DeleteParams::default()).await?;
    database.delete_pods(&["flights-workers-1"]).await?;
    until("there is another volume", async || {
        let now = claims.get_opt("data-flights-workers-1").await.ok()??;
        (now.uid() != uid).then_some(())
    })
    .await?;
    until("another store is there, with all its copies", async || {
        let members = database.resources().get("flights").await.ok()?.status?.members;
        let member = members.into_iter().find(|member| member.name == "flights-workers-1")?;
        (member.store.is_some() && member.store != lost && member.copies == 13).then_some(())
    })
    .await?;
    database.settled().await?;
    writers.go_on().await?;
    println!("{} rows there exactly once", writers.check().await?);
    database.drop_namespace().await
}
