//! How long a store with much in it takes to open, after an end in order and after `kill -9`.

use std::fmt;
use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use raftduck_wire::client::{Client, Rows, RowsOptions};
use raftduck_wire::http::{SqlRequest, media};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::cluster::{Cluster, Role, Shape};
use crate::metrics::Metrics;

const CREATE: &str = "CREATE TABLE much (id BIGINT, a UUID, b DOUBLE, c DOUBLE) PARTITIONED BY (id)";
/// Rows in one request, and requests under way at once.
const BATCH: u64 = 100_000;
const CLIENTS: u64 = 3;

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Rows in the store.
    pub rows: u64,
    /// Bytes of DuckDB's file.
    pub bytes: u64,
    /// From the process' start until every partition takes writes, after an end in order.
    pub after_end: Duration,
    /// The same after `kill -9` under load: what no checkpoint held is applied again.
    pub after_kill: Duration,
}

/// Fills one store until its file has `bytes`, and starts it twice.
///
/// # Errors
/// Where it cannot be filled, or does not come back with every row.
pub async fn measure(bytes: u64) -> Result<Opening> {
    let mut cluster = Cluster::start_as(Shape { workers: 1, ..Shape::default() }, |_| None).await?;
    let client = cluster.client(Duration::from_secs(60))?;
    client.ddl(CREATE).await?;
    let address = cluster.worker_addresses().first().context("no worker")?.clone();
    let mut next = 0;
    while stored(&address).await? < bytes {
        let mut requests = JoinSet::new();
        for batch in next..next + CLIENTS {
            let client = client.clone();
            requests.spawn(async move { insert(&client, batch).await });
        }
        requests.join_all().await.into_iter().collect::<Result<()>>()?;
        next += CLIENTS;
    }
    let stored = stored(&address).await?;
    cluster.process(Role::Worker(0))?.end()?;
    let after_end = start(&mut cluster).await?;
    // Its answer is not waited for: it is on its way when the store is killed.
    let under_way = tokio::spawn({
        let client = client.clone();
        async move { insert(&client, next).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.process(Role::Worker(0))?.kill()?;
    let after_kill = start(&mut cluster).await?;
    let written = under_way.await?.is_ok();
    let counted = client.query(&SqlRequest::new("SELECT count(*) FROM much")).await?;
    let rows = counted.rows.first().and_then(|row| row.first()?.as_u64()).context("no count")?;
    ensure!(rows >= (next + u64::from(written)) * BATCH, "{rows} rows of {next} batches are there");
    Ok(Opening { rows, bytes: stored, after_end, after_kill })
}

async fn start(cluster: &mut Cluster) -> Result<Duration> {
    let began = Instant::now();
    cluster.restart_ended()?;
    cluster.wait_ready().await?;
    Ok(began.elapsed())
}

async fn insert(client: &Client, batch: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(batch);
    let mut body = String::from("id,a,b,c\n");
    for id in batch * BATCH..(batch + 1) * BATCH {
        let uuid = uuid::Builder::from_random_bytes(random.random()).into_uuid();
        let (b, c): (f64, f64) = (random.random(), random.random());
        writeln!(body, "{id},{uuid},{b},{c}")?;
    }
    let rows = Rows { body: body.into(), content_type: media::CSV, encoding: None };
    let options = RowsOptions { key: Some(format!("batch {batch}")), ..RowsOptions::default() };
    client.insert("much", &rows, &options).await?;
    Ok(())
}

/// Bytes of the worker's DuckDB file.
async fn stored(worker: &str) -> Result<u64> {
    Ok(Metrics::of(worker).await?.value("raftduck_storage_bytes{part=\"rows\"}")? as u64)
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} GB with {} rows open in {:.1} s after an end in order, in {:.1} s after kill -9 under load",
            self.bytes as f64 / 1e9,
            self.rows,
            self.after_end.as_secs_f64(),
            self.after_kill.as_secs_f64()
        )
    }
}
