//! Rows per second and processor seconds of large batches: the cluster, and one DuckDB in two ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use raftduck_engine::plain::{Durability, Plain};
use raftduck_wire::client::{Client, Rows, RowsOptions};
use raftduck_wire::http::media;

use super::{Bench, aim, cpu, data};
use crate::supervisor::Local;

/// The cluster is to ingest this share of what one DuckDB does.
const AIM: f64 = 1.0 / 3.0;

/// What one loader did.
struct Load {
    rows: u64,
    wall: Duration,
    cpu: f64,
}

impl Load {
    fn rate(&self) -> f64 {
        self.rows as f64 / self.wall.as_secs_f64()
    }

    fn print(&self, name: &str) {
        let per_million = self.cpu / (self.rows as f64 / 1e6);
        println!("  {name:<44} {:>11.0} rows/s {per_million:>7.2} CPU s per million rows", self.rate());
    }
}

/// Loads the cluster and a plain DuckDB, which it gives back for queries; `compare` says whether to print.
pub async fn run(bench: &Bench<'_>, local: &Local, compare: bool) -> anyhow::Result<Plain> {
    let options = bench.options;
    println!("ingest: {} rows in Arrow batches of {}, {} clients", options.rows, options.batch, options.clients);
    let cluster = cluster(bench, local).await?;
    let plain = bench.plain(Durability::OwnLog)?;
    let own_log = load_plain(bench, &plain)?;
    plain.execute("CHECKPOINT")?;
    cluster.print("cluster, each batch on a quorum's disks");
    own_log.print("one DuckDB, its own log, a commit a batch");
    if compare {
        let without = bench.plain(Durability::None)?;
        let mut no_log = load_plain(bench, &without)?;
        let (began, used) = (Instant::now(), own_cpu());
        without.execute("CHECKPOINT")?;
        no_log.wall += began.elapsed();
        no_log.cpu += own_cpu() - used;
        no_log.print("one DuckDB, no log, checkpoint at the end");
        println!("  cluster / DuckDB without log: {:.2}", cluster.rate() / no_log.rate());
    }
    let ratio = cluster.rate() / own_log.rate();
    println!("  cluster / DuckDB with its log: {ratio:.2}");
    aim(ratio >= AIM, "a third of DuckDB with its log");
    Ok(plain)
}

/// The rows are made before the clock starts, as for the plain DuckDB: some 45 bytes of memory each.
async fn cluster(bench: &Bench<'_>, local: &Local) -> anyhow::Result<Load> {
    let rows = bench.options.rows;
    let bodies = bodies(rows, bench.options.batch)?;
    let (bodies, next) = (Arc::new(bodies), Arc::new(AtomicUsize::new(0)));
    let pids = || local.pids().into_iter().map(|(_, pid)| pid);
    let (began, used) = (Instant::now(), cpu::seconds(pids()));
    let clients: Vec<_> = (0..bench.options.clients)
        .map(|_| tokio::spawn(client(bench.client.clone(), Arc::clone(&bodies), Arc::clone(&next))))
        .collect();
    for client in clients {
        client.await.context("a client ended")??;
    }
    Ok(Load { rows, wall: began.elapsed(), cpu: cpu::seconds(pids()) - used })
}

fn bodies(rows: u64, batch: u32) -> anyhow::Result<Vec<Bytes>> {
    let starts = (0..rows).step_by(batch.max(1) as usize);
    starts.map(|from| data::stream(&data::batch(from, (rows - from).min(batch.into()) as u32)?)).collect()
}

async fn client(client: Client, bodies: Arc<Vec<Bytes>>, next: Arc<AtomicUsize>) -> anyhow::Result<()> {
    while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
        let rows = Rows { body: body.clone(), content_type: media::ARROW, encoding: None };
        client.insert("readings", &rows, &RowsOptions::default()).await?;
    }
    Ok(())
}

/// Only the time and processor of the appends count: making the rows is nobody's work here.
fn load_plain(bench: &Bench<'_>, plain: &Plain) -> anyhow::Result<Load> {
    let mut load = Load { rows: bench.options.rows, wall: Duration::ZERO, cpu: 0.0 };
    let mut from = 0;
    while from < bench.options.rows {
        let rows = (bench.options.rows - from).min(bench.options.batch.into()) as u32;
        let batch = data::batch(from, rows)?;
        let (began, used) = (Instant::now(), own_cpu());
        plain.append("readings", &batch)?;
        load.wall += began.elapsed();
        load.cpu += own_cpu() - used;
        from += u64::from(rows);
    }
    Ok(load)
}

fn own_cpu() -> f64 {
    cpu::seconds([std::process::id()])
}
