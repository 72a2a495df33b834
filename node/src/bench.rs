//! `raftduck bench`: a cluster on this machine beside one plain DuckDB, in one run, on the same rows.
//!
//! Machines differ and so do days: the ratios are what counts.

use std::path::Path;

use anyhow::Context;
use raftduck_engine::plain::{Durability, Plain};
use raftduck_wire::client::{Client, ClientConfig};

use crate::cli::{BenchCommand, BenchOptions};
use crate::supervisor::{Local, Plan};
use crate::{local, shutdown};

mod cpu;
mod data;
mod ingest;
mod insert;
mod query;

/// Runs the benchmarks asked for, on a cluster of their own in a temporary folder.
///
/// # Errors
/// Where the cluster cannot be run, or gives another answer than plain DuckDB.
pub async fn run(command: BenchCommand) -> anyhow::Result<()> {
    let (options, ingest, insert, query) = match command {
        BenchCommand::Ingest(options) => (options, true, false, false),
        BenchCommand::Insert(options) => (options, false, true, false),
        BenchCommand::Query(options) => (options, false, false, true),
        BenchCommand::All(options) => (options, true, true, true),
    };
    let stop = shutdown::on_signal()?;
    let folder = tempfile::Builder::new().prefix("raftduck-bench-").tempdir()?;
    let plan = local::plan(&options.local, &folder.path().join("cluster"), "warn")?;
    let bench = Bench::new(&options, folder.path(), &plan)?;
    let mut local = Local::start(plan).await?;
    let outcome = tokio::select! {
        outcome = bench.run(&local, ingest, insert, query) => outcome,
        outcome = local::watch(&stop) => outcome,
    };
    if let (Err(_), Some(ended)) = (&outcome, local.ended()) {
        eprintln!("{ended}");
    }
    local.stop().await;
    outcome
}

/// What all benchmarks work with.
struct Bench<'a> {
    options: &'a BenchOptions,
    folder: &'a Path,
    client: Client,
    /// What plain DuckDB may use: as much as one worker.
    memory: u64,
    threads: usize,
}

impl<'a> Bench<'a> {
    fn new(options: &'a BenchOptions, folder: &'a Path, plan: &Plan) -> anyhow::Result<Self> {
        let url = format!("http://127.0.0.1:{}", plan.base_port);
        let config = ClientConfig { token: Some(plan.token.clone()), ..ClientConfig::default() };
        Ok(Self {
            options,
            folder,
            client: Client::new(&url, config)?,
            memory: plan.shares.worker.0,
            threads: plan.shares.threads.get().into(),
        })
    }

    async fn run(&self, local: &Local, ingest: bool, insert: bool, query: bool) -> anyhow::Result<()> {
        let workers = self.options.local.workers;
        println!("{workers} workers, a control and one plain DuckDB on the same {} cores\n", self.threads);
        if ingest || query {
            self.client.ddl(&format!("{} PARTITIONED BY (device)", data::CREATE)).await.context("CREATE TABLE")?;
            let plain = ingest::run(self, local, ingest).await?;
            if query {
                query::run(self, &plain).await?;
            }
        }
        if insert {
            insert::run(self, local).await?;
        }
        Ok(())
    }

    fn plain(&self, durability: Durability) -> anyhow::Result<Plain> {
        let path = self.folder.join(format!("{durability:?}.duckdb"));
        let plain = Plain::open_file(&path, durability, self.memory, self.threads)?;
        plain.execute(data::CREATE)?;
        Ok(plain)
    }
}

/// A figure beside its aim.
fn aim(met: bool, text: &str) {
    println!("  aim: {text}: {}", if met { "met" } else { "MISSED" });
}
