//! A store that was away for longer than its log is kept comes back by snapshots, whoever is killed at whichever step.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use raftduck_tests::cluster::{Cluster, PATIENCE, Role, Shape};
use raftduck_tests::load::{Load, LoadConfig};
use raftduck_tests::metrics::Metrics;
use raftduck_tests::{check, content, wait};

/// The steps as the logs tell them, in their order: the sender's, the receiver's between them.
const STEPS: [&str; 9] = [
    "a partition is being exported",
    "a partition was exported",
    "a snapshot is being received",
    "a snapshot is being sent",
    "a snapshot was sent",
    "a snapshot was verified",
    "a snapshot's rows were written",
    "a snapshot's rows are there for good",
    "a snapshot was installed",
];
const AWAY: Role = Role::Worker(2);
const STAYS: usize = 0;

/// Per group: the last index committed, and how many entries the log keeps.
const COMMITTED: &str = "raft_commit_index";
const KEPT: &str = "raft_log_length";

/// What a store that is never away says of its groups.
async fn metrics(cluster: &Cluster) -> Result<Metrics> {
    Metrics::of(cluster.worker_addresses().get(STAYS).context("no such worker")?).await
}

/// The next line that tells the step, as soon as it is there: the next step is milliseconds away.
async fn reached(cluster: &Cluster, step: &str, told: usize) -> Result<String> {
    let began = Instant::now();
    loop {
        if let Some(line) = cluster.log_lines(step).into_iter().nth(told) {
            return Ok(line);
        }
        ensure!(began.elapsed() < PATIENCE, "no snapshot got there\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_of_a_snapshot_loses_nothing() -> Result<()> {
    let flags = &["--log-size", "1MiB", "--log-level", "info,raftduck_consensus=debug,raftduck_engine=debug"];
    let mut cluster = Cluster::start_as(Shape { worker_flags: flags, ..Shape::default() }, |_| None).await?;
    let client = cluster.patient_client()?;
    client.ddl(content::CREATE).await?;
    let load = Load::start(cluster.client(Duration::from_secs(10))?, LoadConfig { seed: 9, ..LoadConfig::default() });
    for step in STEPS {
        cluster.process(AWAY)?.kill()?;
        let missed = metrics(&cluster).await?.of_partitions(COMMITTED);
        // Of every partition, so that the next snapshot is not long in coming.
        wait::until("the log that it needs is gone", 2 * PATIENCE, async || {
            let now = metrics(&cluster).await.ok()?;
            let (committed, kept) = (now.of_partitions(COMMITTED), now.of_partitions(KEPT));
            let gone = |(group, index): (&String, &f64)| {
                committed.get(group).zip(kept.get(group)).is_some_and(|(last, kept)| last - kept > *index)
            };
            missed.iter().all(gone).then_some(())
        })
        .await?;
        let told = cluster.log_lines(step).len();
        cluster.process(AWAY)?.restart()?;
        let who = reached(&cluster, step, told).await.with_context(|| step.to_owned())?;
        let worker: usize = who.trim_start_matches("worker-").split(':').next().unwrap_or_default().parse()?;
        let victim = Role::Worker(worker);
        ensure!(load.met(Instant::now()) > 0, "no write was in flight");
        cluster.process(victim)?.kill()?;
        println!("worker {worker} killed where {step}");
        cluster.process(victim)?.restart()?;
        cluster.wait_ready().await.with_context(|| step.to_owned())?;
    }
    let written = load.stop().await?;
    let checked = check::exactly_once(&client, &written).await?;
    check::replicas_are_equal(&cluster, "load").await?;
    let snapshots = cluster.log_lines("a snapshot was installed").len();
    println!("{} rows exactly once after {snapshots} snapshots; replicas equal", checked.rows);
    Ok(())
}
