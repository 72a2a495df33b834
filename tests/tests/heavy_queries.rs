//! Eight heavy queries at once: no election, and writes go on.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use raftduck_tests::cluster::{Cluster, PATIENCE};
use raftduck_tests::load::{Load, LoadConfig};
use raftduck_tests::machine::Watch;
use raftduck_tests::probe::{self, Probe};
use raftduck_tests::{check, content, wait};
use raftduck_wire::http::SqlRequest;

const QUERIES: usize = 8;
/// A minute by hand; CI has eight minutes for all of this crate.
const SECONDS: &str = "RAFTDUCK_HEAVY_SECONDS";
/// Quadratic in a client's rows of one ordinal class, so it keeps every thread busy.
const HEAVY: &str = "SELECT count(*), sum(a.value % 1000 + b.value % 1000) FROM load a JOIN load b \
                     ON a.client = b.client AND a.ordinal % 50 = b.ordinal % 50 WHERE a.id < b.id";

#[tokio::test(flavor = "multi_thread")]
async fn eight_heavy_queries_cause_no_election_and_writes_go_on() -> Result<()> {
    let duration = Duration::from_secs(std::env::var(SECONDS).ok().and_then(|text| text.parse().ok()).unwrap_or(15));
    let cluster = Cluster::start().await?;
    let client = cluster.patient_client()?;
    client.ddl(content::CREATE).await?;
    client.ddl(probe::CREATE).await?;
    let load = Load::start(cluster.client(Duration::from_secs(10))?, LoadConfig::default());
    wait::until("there is something to query", PATIENCE, async || (load.rows() >= 200_000).then_some(())).await?;

    // What tests before this one left to be written is not what this one is about.
    tokio::task::spawn_blocking(rustix::fs::sync).await?;
    let elections = cluster.elections().await?;
    let rows = load.rows();
    let impatient = cluster.client(Duration::from_secs(30))?;
    let (stop, ran) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let queries: Vec<_> = (0..QUERIES)
        .map(|_| {
            let (client, stop, ran) = (impatient.clone(), stop.clone(), ran.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // Running out of time or memory is a fair answer to such a statement.
                    let request = SqlRequest { timeout_ms: Some(10_000), ..SqlRequest::new(HEAVY) };
                    let _ = client.query(&request).await;
                    ran.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let watch = Watch::begin()?;
    let start = Instant::now();
    let mut probe = Probe::new(
        cluster.client(Duration::from_secs(10))?,
        NonZeroU32::new(cluster.partitions()).context("no partitions")?,
    );
    probe.resume();
    // What is tested is this stretch of time, so it is waited for.
    tokio::time::sleep(duration).await;
    let last = Instant::now();
    wait::until("every partition still takes writes", PATIENCE, async || {
        probe.all_acknowledged_since(last).then_some(())
    })
    .await?;
    let all: Vec<u32> = (1..=cluster.partitions()).collect();
    let worst = probe.gaps(&all, start).into_iter().max().unwrap_or_default();
    probe.pause();
    let written = load.rows() - rows;
    let after = cluster.elections().await?;
    let (processor, disk) = watch.end();
    stop.store(true, Ordering::Relaxed);
    for query in queries {
        query.await?;
    }
    println!(
        "{QUERIES} heavy queries for {} s: {} ended, {written} rows written beside them, worst pause {} ms, \
         {} elections; the machine kept a thread waiting for {processor:?}, a sync for {disk:?}",
        duration.as_secs(),
        ran.load(Ordering::Relaxed),
        worst.as_millis(),
        after - elections
    );
    ensure!(written > 0, "no row was acknowledged");
    ensure!(after == elections, "{} elections under heavy queries", after - elections);
    let checked = check::exactly_once(&client, &load.stop().await?).await?;
    ensure!(checked.unknown == 0, "{} batches got no answer", checked.unknown);
    probe.check(&client).await?;
    Ok(())
}
