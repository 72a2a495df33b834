//! Two of three stores are lost for ever while clients write, and `raftduck recover` begins again from the third.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use raftduck_tests::cluster::{Cluster, PATIENCE, Role};
use raftduck_tests::load::{Load, LoadConfig};
use raftduck_tests::{check, content, launch, process, wait};

/// Rows enough that every partition has written some of them.
const ROWS: u64 = 20_000;

/// Runs `recover` on a worker's volume; what it printed, and whether it succeeded.
fn recover(cluster: &Cluster, worker: usize, apply: Option<&str>) -> Result<(bool, String)> {
    let line = launch::recover(&cluster.data(worker), apply)?;
    let (status, output) = process::run(line, cluster.folder(), PATIENCE)?;
    Ok((status.success(), output))
}

async fn grows(load: &Load, what: &str) -> Result<()> {
    let before = load.rows();
    wait::until(what, PATIENCE, async || (load.rows() > before + ROWS).then_some(())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_store_had_acknowledged_is_served_again_and_its_writers_never_notice_more_than_a_pause()
-> Result<()> {
    let mut cluster = Cluster::start().await?;
    cluster.patient_client()?.ddl(content::CREATE).await?;
    let load = Load::start(cluster.client(Duration::from_secs(10))?, LoadConfig { seed: 9, ..LoadConfig::default() });
    grows(&load, "three stores write").await?;
    // From here on nothing is acknowledged that the third store does not have.
    cluster.process(Role::Worker(0))?.kill()?;
    grows(&load, "two stores write").await?;
    cluster.process(Role::Worker(1))?.kill()?;
    for lost in 0..2 {
        fs::remove_dir_all(cluster.data(lost)).context("losing a volume")?;
    }
    let (done, output) = recover(&cluster, 2, None)?;
    ensure!(!done && output.contains("end it first"), "its worker runs: {output}");
    cluster.process(Role::Worker(2))?.kill()?;

    let (done, output) = recover(&cluster, 2, None)?;
    ensure!(done, "no plan: {output}");
    let plan = output.split_whitespace().last().context("it prints nothing")?.to_owned();
    ensure!(output.matches("without quorum").count() == cluster.partitions() as usize + 1, "{output}");
    let (done, output) = recover(&cluster, 2, Some("0123456789abcdef"))?;
    ensure!(!done && output.contains("nothing is changed"), "another plan is done: {output}");
    let (done, output) = recover(&cluster, 2, Some(&plan))?;
    ensure!(done, "the plan is not done: {output}");

    cluster.process(Role::Worker(2))?.restart()?;
    cluster.wait_ready().await?;
    grows(&load, "one store writes").await?;
    for _ in 0..2 {
        cluster.add_worker()?;
    }
    // One after the other, and a busy machine may take its time for each.
    for copies in 1..=3 * cluster.partitions() as usize {
        wait::until(&format!("there are {copies} replicas again"), PATIENCE, async || {
            let status = cluster.status().await.ok()?;
            let held: usize = status.partitions.iter().map(|partition| partition.replicas.len()).sum();
            (held >= copies).then_some(())
        })
        .await?;
    }
    cluster.wait_ready().await?;
    grows(&load, "three stores write again").await?;
    let written = load.stop().await?;
    let checked = check::exactly_once(&cluster.patient_client()?, &written).await?;
    check::replicas_are_equal(&cluster, "load").await?;
    println!("two of three volumes lost: {} rows there exactly once", checked.rows);
    Ok(())
}
