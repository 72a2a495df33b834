//! `raftduck worker` and `raftduck control`: options checked, then handed to the crate that is the role.

use tokio_util::sync::CancellationToken;

use crate::cli::roles::{ControlOptions, WorkerOptions};
use crate::shutdown;

/// The command `worker`.
///
/// # Errors
/// Where the options do not hold together, or the store cannot go on.
pub async fn worker(options: WorkerOptions) -> anyhow::Result<()> {
    // The kernel gathers small pages into huge ones under the lock of the whole address space, and waits there for any
    // query that it meets in a page fault, priorities aside: heartbeats stood still for half a second.
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::warn!(%error, "huge pages cannot be turned off: heartbeats may be late under heavy queries");
    }
    let stop = stop(options.end_with_stdin)?;
    raftduck_worker::run(options.config()?, stop).await
}

/// The command `control`.
///
/// # Errors
/// Where the options do not hold together, or control cannot go on.
pub async fn control(options: ControlOptions) -> anyhow::Result<()> {
    let stop = stop(options.end_with_stdin)?;
    raftduck_control::run(options.config()?, stop).await
}

fn stop(with_stdin: bool) -> anyhow::Result<CancellationToken> {
    let stop = shutdown::on_signal()?;
    if with_stdin {
        shutdown::with_stdin(stop.clone())?;
    }
    Ok(stop)
}
