//! Waiting on a state, with a deadline that names what did not come.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks at a state.
const PAUSE: Duration = Duration::from_millis(25);

/// Looks until `look` gives something.
///
/// # Errors
/// Where `deadline` passes first.
pub async fn until<T>(what: &str, deadline: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("{what}: not within {} s", deadline.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
