//! `raftduck dev`, and what it shares with `demo` and `bench`: a local cluster from its options, served until told.

use std::path::Path;

use anyhow::bail;
use tokio_util::sync::CancellationToken;

use crate::cli::{DevOptions, LocalOptions};
use crate::machine::{self, Shares};
use crate::shutdown;
use crate::supervisor::home::{self, Home};
use crate::supervisor::{Local, Plan, ports};

/// How often the children are looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// The cluster in `folder`, which is not started yet.
///
/// # Errors
/// Where a port is in use, or the folder holds another cluster.
pub fn plan(options: &LocalOptions, folder: &Path, log_level: &str) -> anyhow::Result<Plan> {
    ports::check(options.base_port, options.workers)?;
    let budget = options.memory.map_or_else(|| machine::memory() / 2, |memory| memory.0);
    Ok(Plan {
        home: Home::open(folder, options.workers, options.base_port)?,
        base_port: options.base_port,
        workers: options.workers,
        token: options.token.clone(),
        shares: Shares::of(budget, options.workers, machine::cores()),
        log_level: log_level.to_owned(),
    })
}

/// The command `dev`: serves until a signal, or until a child ends, which it says and does not mend.
///
/// # Errors
/// Where the cluster cannot be started, or a child ended.
pub async fn dev(options: DevOptions, log_level: &str) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    let folder = options.data.map_or_else(home::default_folder, Ok)?;
    let plan = plan(&options.local, &folder, log_level)?;
    let (new, shares) = (plan.home.new, plan.shares);
    let mut local = tokio::select! {
        local = Local::start(plan) => local?,
        () = stop.cancelled() => return Ok(()),
    };
    println!("{} cluster in {}", if new { "New" } else { "Found the" }, local.folder().display());
    println!("Logs: {}/*.log", local.folder().display());
    println!(
        "Memory: {} for each worker, {} for control; {} threads each",
        shares.worker, shares.control, shares.threads
    );
    println!("Serving on {}, token {}", local.url(), local.token());
    let outcome = serve(&mut local, &stop).await;
    local.stop().await;
    outcome
}

/// Waits for `stop`.
///
/// # Errors
/// Where a child ends before.
pub async fn serve(local: &mut Local, stop: &CancellationToken) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        if let Some(ended) = local.ended() {
            bail!("{ended}");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    Ok(())
}

/// Ends with an error when `stop` is cancelled.
///
/// # Errors
/// Always.
pub async fn watch(stop: &CancellationToken) -> anyhow::Result<()> {
    stop.cancelled().await;
    bail!("interrupted")
}
