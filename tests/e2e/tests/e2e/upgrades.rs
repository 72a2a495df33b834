//! Another release: of the database, forth and back and then for good, and of the operator.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use raftduck_e2e::database::{Database, NAME};
use raftduck_e2e::operator;
use raftduck_e2e::wait::until;
use serde_json::json;

/// How many workers run that image and are ready.
async fn running(database: &Database, image: &str) -> Option<usize> {
    let labels = format!("app.kubernetes.io/instance={NAME},app.kubernetes.io/component=worker");
    let pods = database.api::<Pod>().list(&ListParams::default().labels(&labels)).await.ok()?;
    let runs = |pod: &Pod| {
        let ready = pod.status.iter().flat_map(|status| &status.conditions).flatten();
        pod.spec.as_ref().is_some_and(|spec| spec.containers[0].image.as_deref() == Some(image))
            && ready.into_iter().any(|one| one.type_ == "Ready" && one.status == "True")
    };
    Some(pods.items.iter().filter(|pod| runs(pod)).count())
}

async fn level(database: &Database) -> Option<i32> {
    Some(database.resources().get(NAME).await.ok()?.status?.raft?.level)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn a_release_of_the_next_level_is_taken_back_and_then_kept() -> Result<()> {
    let (database, writers) = Database::loaded("e2e-level", json!({})).await?;
    let (repository, tag) = operator::image()?;
    let (old, next) = (format!("{repository}:{tag}"), operator::next_image()?);
    let first = level(&database).await.context("no level")?;

    // Half-way there, and back.
    database.edit(json!({"image": next})).await?;
    until("two releases work together", async || {
        let (old, next) = (running(&database, &old).await?, running(&database, &next).await?);
        (old > 0 && next > 0).then_some(())
    })
    .await?;
    writers.go_on().await?;
    database.edit(json!({"image": old})).await?;
    database.settled().await?;
    ensure!(running(&database, &old).await == Some(3));
    writers.go_on().await?;

    // All the way, and the level raised: from here on there is no way back.
    database.edit(json!({"image": next})).await?;
    database.settled().await?;
    ensure!(level(&database).await == Some(first), "nobody asked for a higher level");
    database.edit(json!({"level": first + 1})).await?;
    until("the level is raised", async || (level(&database).await? == first + 1).then_some(())).await?;
    database.settled().await?;
    writers.go_on().await?;
    database.edit(json!({"image": old})).await?;
    until("the old release is refused", async || {
        database.condition("Progressing", true).await.filter(|said| said.contains("is not ready"))
    })
    .await?;
    until("its worker ends, and says why", async || (database.restarts().await.ok()? > 0).then_some(())).await?;
    ensure!(running(&database, &next).await == Some(2), "the others go on");
    writers.go_on().await?;
    database.edit(json!({"image": next})).await?;
    database.settled().await?;
    database.holds_all_of(writers).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn another_operator_restarts_no_pod() -> Result<()> {
    let (database, writers) = Database::loaded("e2e-operator", json!({})).await?;
    let pods = async || anyhow::Ok((database.pods("worker").await?, database.pods("control").await?));
    let before = pods().await?;
    let (repository, tag) = operator::image()?;
    operator::install_release(&repository, &format!("{tag}-next")).await?;
    // The new one is at work once it has done something.
    database.scale(4).await?;
    database.settled().await?;
    let after = pods().await?;
    ensure!(before.0.iter().chain(&before.1).all(|pod| after.0.contains(pod) || after.1.contains(pod)), "{after:?}");
    operator::install().await?;
    database.scale(3).await?;
    database.settled().await?;
    ensure!(pods().await? == before, "a pod was restarted");
    database.holds_all_of(writers).await
}
