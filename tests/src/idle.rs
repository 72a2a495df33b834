//! What a cluster without work costs: memory, processor and messages, with few partitions and with many.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cluster::{Cluster, Role, Shape};
use crate::metrics::Metrics;

/// Until what starting a cluster leaves behind is over.
const SETTLE: Duration = Duration::from_secs(15);

/// One cluster's workers, measured.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Partitions, each with a replica on each of the three workers.
    pub partitions: u32,
    /// Resident bytes of a worker, the mean.
    pub memory: u64,
    /// Processor seconds per second, of all three workers.
    pub processor: f64,
    /// Raft's requests per second, of all three workers.
    pub frames: f64,
}

/// Starts a cluster of three workers and watches it do nothing.
///
/// # Errors
/// Where it cannot be started or seen.
pub async fn measure(partitions: u32, watched: Duration) -> Result<Idle> {
    let mut cluster = Cluster::start_as(Shape { partitions, ..Shape::default() }, |_| None).await?;
    // Time is what is measured here, so it is waited for.
    tokio::time::sleep(SETTLE).await;
    let (began, before) = (Instant::now(), totals(&mut cluster).await?);
    tokio::time::sleep(watched).await;
    let (took, after) = (began.elapsed().as_secs_f64(), totals(&mut cluster).await?);
    Ok(Idle {
        partitions,
        memory: after.memory / 3,
        processor: (after.processor - before.processor) / took,
        frames: (after.frames - before.frames) / took,
    })
}

struct Totals {
    memory: u64,
    processor: f64,
    frames: f64,
}

async fn totals(cluster: &mut Cluster) -> Result<Totals> {
    let mut totals = Totals { memory: 0, processor: 0.0, frames: 0.0 };
    for (worker, address) in cluster.worker_addresses().to_vec().iter().enumerate() {
        let process = cluster.process(Role::Worker(worker))?;
        totals.memory += process.memory().context("a worker is gone")?.now;
        totals.processor += process.processor().context("a worker is gone")?.as_secs_f64();
        totals.frames += Metrics::of(address).await?.value("raftduck_peer_frames_total")?;
    }
    Ok(totals)
}
