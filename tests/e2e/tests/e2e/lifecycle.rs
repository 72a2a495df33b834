//! A cluster's life: made, scaled, rolled, stopped, found again.

use std::time::Instant;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::ListParams;
use raftduck_e2e::database::Database;
use raftduck_e2e::operator;
use raftduck_e2e::wait::until;
use raftduck_operator_api::MemberState;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn a_cluster_is_made_asked_deleted_and_found_again() -> Result<()> {
    operator::install().await?;
    ensure!(operator::test().await?.contains("looks after them"));
    let begun = Instant::now();
    let database = Database::create("e2e-make", json!({})).await?;
    database.settled().await?;
    println!("ready {:.1} s after it was applied", begun.elapsed().as_secs_f64());
    let writers = database.load().await?;
    let rows = writers.check().await?;
    ensure!(database.ask("SELECT count(*) FROM load").await? == json!(rows));

    // Without the operator everything goes on, and the resource can be deleted: nobody has to let it go.
    operator::uninstall().await?;
    ensure!(database.ask("SELECT count(*) FROM load").await? == json!(rows));
    database.resources().delete("flights", &Default::default()).await?;
    database.pods_are_gone().await?;
    let volumes =
        async || anyhow::Ok(database.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?.items);
    ensure!(volumes().await?.len() == 3, "the volumes went with the resource");
    operator::install().await?;
    database.apply(json!({})).await?;
    database.settled().await?;
    ensure!(database.ask("SELECT count(*) FROM load").await? == json!(rows), "rows are lost");

    // The other way round.
    database.resources().delete("flights", &Default::default()).await?;
    database.pods_are_gone().await?;
    operator::uninstall().await?;
    ensure!(volumes().await?.len() == 3, "the volumes went with the chart");
    database.apply(json!({})).await?;
    operator::install().await?;
    database.settled().await?;
    ensure!(database.ask("SELECT count(*) FROM load").await? == json!(rows), "rows are lost");
    database.namespace_goes().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn workers_come_and_go_under_load() -> Result<()> {
    let (database, writers) = Database::loaded("e2e-scale", json!({})).await?;
    for replicas in [5, 3] {
        let begun = Instant::now();
        database.scale(replicas).await?;
        database.settled().await?;
        database.spread_over(replicas as usize).await?;
        database.settled().await?;
        println!("to {replicas} workers: {:.1} s", begun.elapsed().as_secs_f64());
        writers.go_on().await?;
    }
    // A change of mind half-way, by editing.
    database.edit(json!({"workers": {"replicas": 5}})).await?;
    database.spread_over(5).await?;
    database.edit(json!({"workers": {"replicas": 3}})).await?;
    until("a worker is being emptied", async || {
        let members = database.members().await?;
        members.iter().any(|member| member.state == MemberState::Draining).then_some(())
    })
    .await?;
    database.edit(json!({"workers": {"replicas": 5}})).await?;
    database.settled().await?;

    // Paused, nothing is done for it, and it says what would be.
    database.edit(json!({"paused": true, "workers": {"replicas": 3}})).await?;
    until("it is paused", async || database.condition("Paused", true).await).await?;
    until("it says what is wanted", async || {
        database.condition("Progressing", false).await.filter(|said| said.contains("Paused"))
    })
    .await?;
    writers.go_on().await?;
    ensure!(database.members().await.is_some_and(|members| members.len() == 5), "scaled while it is paused");
    database.edit(json!({"paused": false})).await?;
    database.settled().await?;
    database.holds_all_of(writers).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn a_roll_restarts_every_worker_and_a_broken_image_one() -> Result<()> {
    let (database, writers) = Database::loaded("e2e-roll", json!({})).await?;
    let before = database.pods("worker").await?;
    let begun = Instant::now();
    database.edit(json!({"workers": {"settings": {"threads": 1}}})).await?;
    database.settled().await?;
    println!("three workers restarted: {:.1} s", begun.elapsed().as_secs_f64());
    let after = database.pods("worker").await?;
    ensure!(after.iter().all(|pod| !before.contains(pod)), "a pod was not made anew: {before:?} {after:?}");
    writers.go_on().await?;

    let (repository, tag) = operator::image()?;
    database.edit(json!({"image": format!("{repository}-is-not-there:{tag}")})).await?;
    let same = async || anyhow::Ok(database.pods("worker").await?.iter().filter(|pod| after.contains(pod)).count());
    until("the roll waits at a worker that was made anew", async || {
        let said = database.condition("Progressing", true).await?;
        (said.contains("is not ready") && same().await.ok()? == 2).then_some(())
    })
    .await?;
    writers.go_on().await?;
    ensure!(same().await? == 2, "more than one worker");
    database.edit(json!({"image": format!("{repository}:{tag}")})).await?;
    database.settled().await?;
    database.holds_all_of(writers).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn pods_are_lost_and_everything_is_stopped_and_started() -> Result<()> {
    let spec = json!({"workers": {"storage": {"whenDeleted": "Delete"}}});
    let (database, writers) = Database::loaded("e2e-lose", spec).await?;
    for component in ["worker", "control"] {
        let pods = database.pods(component).await?;
        database.delete_pods(&[&pods[0].0]).await?;
        database.settled().await?;
        writers.go_on().await?;
    }
    let (workers, controls) = (database.pods("worker").await?, database.pods("control").await?);
    let all: Vec<&str> = workers.iter().chain(&controls).map(|pod| pod.0.as_str()).collect();
    database.delete_pods(&all).await?;
    until("they are gone", async || {
        let now = database.pods("worker").await.ok()?;
        now.iter().all(|pod| !workers.contains(pod)).then_some(())
    })
    .await?;
    database.settled().await?;
    writers.go_on().await?;

    database.edit(json!({"desiredState": "Stopped"})).await?;
    database.pods_are_gone().await?;
    database.edit(json!({"desiredState": "Running"})).await?;
    database.settled().await?;
    writers.go_on().await?;
    println!("{} rows there exactly once", writers.check().await?);

    // Now they go with the resource.
    database.resources().delete("flights", &Default::default()).await?;
    until("no volume is left", async || {
        let claims = database.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.ok()?;
        claims.items.is_empty().then_some(())
    })
    .await?;
    database.drop_namespace().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn a_token_is_rotated_without_a_restart() -> Result<()> {
    let database = Database::ready("e2e-token", json!({})).await?;
    let before = database.pods("control").await?;
    let secrets = database.api::<k8s_openapi::api::core::v1::Secret>();
    let old = database.client().await?;
    let patch: Value = json!({"stringData": {"tokens": "the-new-token-123456789 admin\n"}});
    secrets.patch("flights-tokens", &Default::default(), &kube::api::Patch::Merge(patch)).await?;
    let new = old.with_token(Some("the-new-token-123456789".to_owned()));
    until("the new token is taken", async || new.tables().await.ok().map(drop)).await?;
    until("the old one is refused", async || old.tables().await.is_err().then_some(())).await?;
    ensure!(database.pods("control").await? == before, "a control was restarted");
    database.drop_namespace().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn volumes_grow_under_pods_that_stay() -> Result<()> {
    if !operator::on_test_cluster("its storage class that grows") {
        return Ok(());
    }
    let storage = |size: &str| json!({"workers": {"storage": {"size": size, "className": "growable"}}});
    let (database, writers) = Database::loaded("e2e-grow", storage("1Gi")).await?;
    let before = database.pods("worker").await?;
    database.edit(storage("2Gi")).await?;
    until("the volumes have grown", async || {
        let claims = database.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.ok()?;
        let grown =
            |claim: &PersistentVolumeClaim| Some(claim.status.as_ref()?.capacity.as_ref()?["storage"].0 == "2Gi");
        claims.items.iter().all(|claim| grown(claim) == Some(true)).then_some(())
    })
    .await?;
    database.settled().await?;
    ensure!(database.pods("worker").await? == before, "a pod was made anew");
    database.holds_all_of(writers).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn clients_outside_come_through_the_ingress() -> Result<()> {
    if !operator::on_test_cluster("its Ingress controller") {
        return Ok(());
    }
    let ingress = json!({"control": {"ingress": {"host": "flights.example.com", "className": "standin"}}});
    let database = Database::ready("e2e-ingress", ingress).await?;
    let token = database.token("read").await?;
    let http = reqwest::Client::new();
    let answer = until("the Ingress answers", async || {
        let request = http.post("http://10.90.0.1/v1/sql").header("Host", "flights.example.com").bearer_auth(&token);
        let request = request.header("Content-Type", "text/plain").body("SELECT 6 * 7");
        request.send().await.ok()?.error_for_status().ok()?.json::<Value>().await.ok()
    })
    .await?;
    ensure!(answer["rows"] == json!([[42]]), "{answer}");
    // Taken out of the spec it goes.
    database.edit(json!({"control": {"ingress": null}})).await?;
    until("the Ingress is gone", async || {
        let ingresses = database.api::<k8s_openapi::api::networking::v1::Ingress>();
        ingresses.get_opt("flights-client").await.ok()?.is_none().then_some(())
    })
    .await?;
    database.drop_namespace().await
}
