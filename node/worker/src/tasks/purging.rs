//! Keeps the log short: a group's entries go once the rows they made are in a finished checkpoint
//! and every live follower has them.
//!
//! A follower that is away holds entries back until its group's share of the log's bytes is used
//! up; then it is given up and gets a snapshot when it returns.

use std::sync::Arc;
use std::time::Duration;

use raftduck_consensus::Role;
use raftduck_model::{GroupId, LogIndex};

use crate::hosted::Hosted;
use crate::member::Member;

/// Purging is cheap, a little late is no harm.
const ROUND: Duration = Duration::from_secs(1);
/// Entries that a follower keeps below its checkpoint for others, should it come to lead: their
/// bytes, and no more than this.
const FOLLOWER_TAIL_BYTES: u64 = 8 << 20;
/// The meta group's log may grow to this many entries before its state is written down.
const META_ENTRIES: u64 = 1_000;

/// Until the process stops.
pub async fn run(member: Arc<Member>) {
    loop {
        tokio::time::sleep(ROUND).await;
        let groups = member.hosted();
        let share = member.config.log_bytes / groups.len().max(1) as u64;
        for hosted in &groups {
            let durable = match hosted.id() {
                GroupId::META => meta_durable(&member, hosted).await,
                id => id.partition().and_then(|id| member.engine.partition(id).checkpointed()),
            };
            let Some(durable) = durable.map(|id| LogIndex(id.index)) else { continue };
            let bytes = member.wal.group(hosted.id()).state().bytes;
            if let Some(upto) = bound(hosted, durable, bytes, share) {
                // A group that stopped needs no purging.
                let _ = hosted.group.purge(upto).await;
            }
        }
    }
}

/// Writes the meta state down when enough has happened since the last time.
async fn meta_durable(member: &Member, hosted: &Hosted) -> Option<raftduck_model::LogId> {
    let machine = member.meta_machine()?;
    let (applied, purged) = {
        let status = hosted.group.status();
        let status = status.borrow();
        (status.applied, status.purged)
    };
    let next = |index: Option<LogIndex>| index.map_or(0, |index| index.0 + 1);
    if next(applied).saturating_sub(next(purged)) < META_ENTRIES {
        return None;
    }
    match tokio::task::spawn_blocking(move || machine.checkpoint()).await {
        Ok(Ok(last)) => last,
        Ok(Err(error)) => {
            tracing::error!(%error, "the cluster's state cannot be written down: its log cannot be purged");
            None
        }
        Err(_) => None,
    }
}

/// Up to where the group's log may go, if that is further than it went.
fn bound(hosted: &Hosted, durable: LogIndex, bytes: u64, share: u64) -> Option<LogIndex> {
    let status = hosted.group.status();
    let status = status.borrow();
    let upto = match status.role {
        // A follower that never answered has nothing: it holds everything back.
        Role::Leader if bytes <= share => status
            .followers
            .iter()
            .map(|follower| follower.matched)
            .min()
            .map_or(Some(durable), |least| least.map(|least| least.min(durable)))?,
        Role::Leader => durable,
        _ if bytes <= FOLLOWER_TAIL_BYTES.min(share) => return None,
        _ => durable,
    };
    (Some(upto) > status.purged).then_some(upto)
}
