//! Small requests, each under its own key, as an application sends them.

use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use raftduck_wire::client::{Client, Rows, RowsOptions};
use raftduck_wire::http::media;

use super::{Bench, cpu, data};
use crate::supervisor::Local;

const ROWS: u32 = 100;
const TIME: Duration = Duration::from_secs(10);
const TABLE: &str = "inserts";

/// Sends for ten seconds and prints requests per second and latencies.
pub async fn run(bench: &Bench<'_>, local: &Local) -> anyhow::Result<()> {
    let clients = bench.options.clients;
    println!("\ninsert: {ROWS} rows a request, {clients} clients, {TIME:?}");
    let create = data::CREATE.replacen("readings", TABLE, 1);
    bench.client.ddl(&format!("{create} PARTITIONED BY (device)")).await.context("CREATE TABLE")?;
    let pids = || local.pids().into_iter().map(|(_, pid)| pid);
    let (began, used) = (Instant::now(), cpu::seconds(pids()));
    let tasks: Vec<_> =
        (0..u64::from(clients)).map(|lane| tokio::spawn(client(bench.client.clone(), lane, began + TIME))).collect();
    let mut all = histogram()?;
    for task in tasks {
        all.add(task.await.context("a client ended")??)?;
    }
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu::seconds(pids()) - used);
    let rows = all.len() * u64::from(ROWS);
    let at = |quantile| all.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "  {:.0} requests/s, {:.0} rows/s, p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms, {:.2} CPU s per million rows",
        all.len() as f64 / wall,
        rows as f64 / wall,
        at(0.5),
        at(0.99),
        all.max() as f64 / 1e3,
        cpu / (rows as f64 / 1e6)
    );
    Ok(())
}

async fn client(client: Client, lane: u64, until: Instant) -> anyhow::Result<Histogram<u64>> {
    let mut times = histogram()?;
    let mut from = lane << 40;
    while Instant::now() < until {
        let body = data::stream(&data::batch(from, ROWS)?)?;
        let rows = Rows { body, content_type: media::ARROW, encoding: None };
        let began = Instant::now();
        client.insert(TABLE, &rows, &RowsOptions::default()).await?;
        times.saturating_record(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        from += u64::from(ROWS);
    }
    Ok(times)
}

/// Microseconds, to a minute, within a thousandth.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}
