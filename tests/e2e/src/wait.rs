//! Waiting on a state, as [`raftduck_tests::wait`] does, with patience for a cluster of machines.

use std::time::Duration;

use anyhow::Result;

/// How long a state may take to come where it only takes a few seconds; nothing is measured by it.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// Looks until `look` gives something.
///
/// # Errors
/// Where it does not come.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    raftduck_tests::wait::until(what, PATIENCE, look).await
}
