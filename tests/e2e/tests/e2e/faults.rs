//! What happens to a cluster: machines, volumes and quorums that go, and come back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use raftduck_e2e::database::Database;
use raftduck_e2e::operator;
use raftduck_e2e::shell::run;
use raftduck_e2e::wait::until;
use raftduck_wire::http::{Problem, SqlRequest};
use serde_json::json;

/// How long the quorum is gone: within what Kubernetes waits until it gives pods of a lost node up.
const GONE: Duration = Duration::from_secs(300);

/// Until Kubernetes takes a node for ready, or for lost.
async fn node_is(database: &Database, name: &str, ready: &str) -> Result<()> {
    let nodes = Api::<Node>::all(database.kube.clone());
    until(&format!("{name} is {ready}"), async || {
        let conditions = nodes.get(name).await.ok()?.status?.conditions?;
        conditions.iter().any(|one| one.type_ == "Ready" && one.status == ready).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn a_node_is_cut_off_for_a_minute() -> Result<()> {
    if !operator::on_test_cluster("cables that can be pulled") {
        return Ok(());
    }
    let (database, writers) = Database::loaded("e2e-cut", json!({})).await?;
    let before = database.restarts().await?;
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
    ensure!(database.restarts().await? == before, "a process was restarted");
    database.holds_all_of(writers).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn the_quorum_is_gone_for_a_while_and_comes_back_by_itself() -> Result<()> {
    if !operator::on_test_cluster("cables that can be pulled") {
        return Ok(());
    }
    let (database, writers) = Database::loaded("e2e-quorum", json!({"control": {"replicas": 3}})).await?;
    let before = database.restarts().await?;
    let begun = Instant::now();
    for node in ["node2", "node3"] {
        run("testcluster", &["cut", node]).await?;
    }
    node_is(&database, "node3", "Unknown").await?;
    until("it says so", async || database.condition("Available", false).await.filter(|said| said.contains("NoQuorum")))
        .await?;
    // Whom the clients meet: a control on the one node that is left.
    let (http, url) = (reqwest::Client::new(), format!("{}/v1/sql", database.service().await?));
    let token = database.token("admin").await?;
    let refused = async || {
        let question =
            http.post(&url).bearer_auth(&token).json(&SqlRequest::new("SELECT count(*) FROM load".to_owned()));
        let answer = question.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json::<Problem>().await.ok()?.code))
    };
    let said =
        until("a question is refused with a code", async || refused().await.filter(|said| said.0 == 503)).await?;
    println!("without a quorum: {said:?}");
    // Not a wait on a state: the fault itself lasts that long. Nobody may lose patience meanwhile.
    while begun.elapsed() < GONE {
        tokio::time::sleep(Duration::from_secs(10)).await;
        ensure!(refused().await.is_none_or(|said| said.0 == 503), "answered without a quorum");
    }
    let begun = Instant::now();
    for node in ["node2", "node3"] {
        run("testcluster", &["join", node]).await?;
        node_is(&database, node, "True").await?;
    }
    database.settled().await?;
    println!("whole again {:.1} s after the cables were put back", begun.elapsed().as_secs_f64());
    writers.go_on().await?;
    ensure!(database.restarts().await? == before, "a process was restarted");
    database.holds_all_of(writers).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn a_node_is_drained_and_comes_back() -> Result<()> {
    let (database, writers) = Database::loaded("e2e-drain", json!({})).await?;
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
    database.holds_all_of(writers).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn a_volume_is_lost_and_made_anew_from_the_others() -> Result<()> {
    let (database, writers) = Database::loaded("e2e-volume", json!({})).await?;
    let lost = database.member("flights-workers-1").await.and_then(|member| member.store);
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
        let member = database.member("flights-workers-1").await?;
        (member.store.is_some() && member.store != lost && member.copies == 13).then_some(())
    })
    .await?;
    database.settled().await?;
    writers.go_on().await?;
    database.holds_all_of(writers).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn a_node_that_never_comes_back_takes_its_volume_along() -> Result<()> {
    if !operator::on_test_cluster("cables that can be pulled") {
        return Ok(());
    }
    let spec = json!({"workers": {"storage": {"replaceLost": "AfterNodeDeleted"}}});
    let (database, writers) = Database::loaded("e2e-gone", spec).await?;
    let members = database.members().await.unwrap_or_default();
    let there = members.into_iter().find(|member| member.node.as_deref() == Some("node3"));
    let lost = there.context("no worker on node3: they are kept apart")?;
    run("testcluster", &["cut", "node3"]).await?;
    node_is(&database, "node3", "Unknown").await?;
    // Until a person says that it is gone for good, its volume is waited for.
    writers.go_on().await?;
    ensure!(database.member(&lost.name).await.is_some_and(|now| now.claim == lost.claim));
    run("kubectl", &["delete", "node", "node3"]).await?;
    until("another store is there, elsewhere, with all its copies", async || {
        let now = database.member(&lost.name).await?;
        (now.store.is_some() && now.store != lost.store && now.node != lost.node && now.copies == lost.copies)
            .then_some(())
    })
    .await?;
    database.settled().await?;
    writers.go_on().await?;
    run("testcluster", &["join", "node3"]).await?;
    // Only a kubelet that starts says again that there is such a node.
    run("testcluster", &["kill-kubelet", "node3"]).await?;
    until("its kubelet starts", async || run("testcluster", &["start-kubelet", "node3"]).await.ok()).await?;
    node_is(&database, "node3", "True").await?;
    database.holds_all_of(writers).await
}
