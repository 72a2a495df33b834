//! How full the volume is, and what follows: rows are refused early, so that what was acknowledged can
//! still be applied and checkpointed, and nothing is acknowledged once it is nearly full.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raftduck_wire::http::Space;
use tokio::sync::watch;

/// Used shares of the volume, in percent, from which each level holds.
const TIGHT_PERCENT: u64 = 85;
const FULL_PERCENT: u64 = 92;
/// With as much free, no level holds whatever the shares are: a laptop's disk is shared, and large.
const TIGHT_FREE: u64 = 16 << 30;
const FULL_FREE: u64 = 4 << 30;
/// Between two looks. Between them, 4 clients of 50 MB/s write no more than the levels leave.
const LOOK: Duration = Duration::from_millis(500);

/// Looks at the volume until nobody wants to know any more; `changed` is called when the level is another.
pub async fn watch(folder: std::path::PathBuf, level: watch::Sender<Space>, changed: impl Fn()) {
    let folder = Arc::new(folder);
    loop {
        let asked = folder.clone();
        // A file system may take its time, and Raft's threads must not.
        match tokio::task::spawn_blocking(move || look(&asked)).await.unwrap_or(Err(rustix::io::Errno::CANCELED)) {
            Ok(now) => {
                let was = level.send_replace(now);
                if was != now {
                    match now {
                        Space::Enough => tracing::info!("the volume has room again"),
                        Space::Tight => tracing::warn!("the volume is 85 % full: rows are refused until it has room"),
                        Space::Full => tracing::error!("the volume is 92 % full: nothing is acknowledged here"),
                    }
                    changed();
                }
            }
            Err(error) => tracing::warn!(%error, "the volume's free space is not known"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn look(folder: &Path) -> rustix::io::Result<Space> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(level(found.f_blocks.saturating_mul(found.f_frsize), found.f_bavail.saturating_mul(found.f_frsize)))
}

fn level(total: u64, free: u64) -> Space {
    let used_percent = (total.saturating_sub(free)).saturating_mul(100).checked_div(total).unwrap_or_default();
    match used_percent {
        FULL_PERCENT.. if free < FULL_FREE => Space::Full,
        TIGHT_PERCENT.. if free < TIGHT_FREE => Space::Tight,
        _ => Space::Enough,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_shares_except_where_much_is_free() {
        const GB: u64 = 1 << 30;
        for (total, free, wanted) in [
            (100, 16, Space::Enough),
            (100, 15, Space::Tight),
            (100, 9, Space::Tight),
            (100, 8, Space::Full),
            (100, 0, Space::Full),
            (0, 0, Space::Enough),
            (1_000 * GB, 20 * GB, Space::Enough),
            (1_000 * GB, 15 * GB, Space::Tight),
            (1_000 * GB, 3 * GB, Space::Full),
        ] {
            assert_eq!(level(total, free), wanted, "{free} of {total}");
        }
    }
}
