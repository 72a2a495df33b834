//! Work that may wait for a disk.

use std::io;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::spawn_blocking;

/// Does the work where it holds nobody up: on a thread for such work. A runtime of a single thread does
/// it at once instead: that is a simulation, in which nothing may depend on when a second thread runs.
///
/// # Errors
/// Where the runtime ends, or the work panics.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    match has_one_thread(&Handle::current()) {
        true => Ok(work()),
        false => spawn_blocking(work).await.map_err(io::Error::other),
    }
}

/// The same where nobody waits for the end.
pub(crate) fn detached(work: impl FnOnce() + Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) if !has_one_thread(&runtime) => drop(runtime.spawn_blocking(work)),
        _ => work(),
    }
}

fn has_one_thread(runtime: &Handle) -> bool {
    runtime.runtime_flavor() == RuntimeFlavor::CurrentThread
}
