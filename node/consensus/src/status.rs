//! What a replica knows of its group, kept up to date.

use std::sync::Arc;
use std::time::Duration;

use openraft::errors::ForwardToLeader;
use openraft::type_config::async_runtime::watch::WatchReceiver;
use openraft::{Instant, RaftMetrics, ServerState};
use raftduck_model::meta::Replica;
use raftduck_model::{LogIndex, ReplicaId, StoreId};
use tokio::sync::watch;

use crate::applier::{Applied, Progress};
use crate::counters::Counters;
use crate::group::Raft;
use crate::types::Types;

/// How long indexes may be behind. Roles and terms are not held back.
const INDEX_INTERVAL: Duration = Duration::from_millis(5);

/// A replica's part in its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// It copies, and votes for nobody.
    #[default]
    Learner,
    /// It copies and votes.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It leads, as far as it knows: only [`crate::Group::read_index`] or a commit proves it.
    Leader,
}

/// See the module. Indexes are none before the first entry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// This replica's part.
    pub role: Role,
    /// The term it is in.
    pub term: u64,
    /// Who leads that term, if somebody is known to.
    pub leader: Option<(ReplicaId, StoreId)>,
    /// The log's end here.
    pub last: Option<LogIndex>,
    /// What is known to be committed.
    pub committed: Option<LogIndex>,
    /// What the state machine has applied.
    pub applied: Option<LogIndex>,
    /// What the log no longer has.
    pub purged: Option<LogIndex>,
    /// The group's voters, as of the last membership in the log.
    pub voters: Vec<Replica>,
    /// Its other replicas, as their leader sees them; empty where this is not the leader.
    pub followers: Vec<Follower>,
    /// Why the replica stopped for good, if it did: a person must look.
    pub halted: Option<String>,
}

/// Another replica, as its leader sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Follower {
    /// Which one.
    pub replica: Replica,
    /// Up to where its log is known to agree with the leader's.
    pub matched: Option<LogIndex>,
    /// Since when, in milliseconds before now, it has not answered; none if it never did.
    pub silent_millis: Option<u64>,
}

impl Status {
    /// How many entries the farthest follower is behind this leader.
    pub fn greatest_lag(&self) -> u64 {
        let next = |index: Option<LogIndex>| index.map_or(0, |index| index.0 + 1);
        let matched = self.followers.iter().map(|follower| next(follower.matched)).min();
        matched.map_or(0, |matched| next(self.last).saturating_sub(matched))
    }
}

/// Who leads, from openraft's hint.
pub(crate) fn leader_of(forward: &ForwardToLeader<Types>) -> Option<(ReplicaId, StoreId)> {
    Some((ReplicaId(forward.leader_id?), forward.leader_node.as_ref()?.store))
}

fn status_of(metrics: &RaftMetrics<Types>, applied: &Applied) -> Status {
    let membership = metrics.membership_config.membership();
    let replica = |id: u64| membership.get_node(&id).map(|node| Replica { id: ReplicaId(id), store: node.store });
    let halted = match &metrics.running_state {
        _ if applied.failed.is_some() => applied.failed.clone(),
        // Told to stop, a replica may end in the midst of something.
        Ok(()) | Err(openraft::errors::Fatal::Stopped) => None,
        Err(_) if applied.stopped => None,
        Err(fatal) => Some(fatal.to_string()),
    };
    let silent = |id: &u64| {
        let beat = metrics.heartbeat.as_ref()?.get(id)?.as_ref()?;
        u64::try_from(beat.elapsed().as_millis()).ok()
    };
    let followers = metrics.replication.iter().flatten().filter(|(id, _)| **id != metrics.id);
    let followers = followers.filter_map(|(id, matched)| {
        let matched = matched.map(|id| LogIndex(id.index));
        Some(Follower { replica: replica(*id)?, matched, silent_millis: silent(id) })
    });
    let index = |id: Option<crate::types::RaftLogId>| id.map(|id| LogIndex(id.index));
    Status {
        role: match (metrics.state, &halted) {
            (_, Some(_)) | (ServerState::Learner | ServerState::Shutdown, None) => Role::Learner,
            (ServerState::Follower, None) => Role::Follower,
            (ServerState::Candidate, None) => Role::Candidate,
            (ServerState::Leader, None) => Role::Leader,
        },
        term: metrics.current_term,
        leader: metrics.current_leader.and_then(replica).map(|leader| (leader.id, leader.store)),
        last: metrics.last_log_index.map(LogIndex),
        committed: index(metrics.local_committed),
        applied: applied.last.map(|last| LogIndex(last.index)),
        purged: index(metrics.purged),
        voters: membership.voter_ids().filter_map(replica).collect(),
        followers: followers.collect(),
        halted,
    }
}

/// Keeps a status up to date until the replica stops. A replica whose state machine failed is
/// stopped here: it must not lead, nor acknowledge what it will never apply.
pub(crate) fn follow(raft: Raft, progress: Arc<Progress>, counters: Arc<Counters>) -> watch::Receiver<Status> {
    let mut applied = progress.subscribe();
    let (status, watched) = watch::channel(status_of(&raft.metrics().borrow_watched(), &applied.borrow()));
    tokio::spawn(async move {
        let (mut servers, mut data) = (raft.server_metrics(), raft.data_metrics());
        loop {
            let now = status_of(&raft.metrics().borrow_watched(), &applied.borrow_and_update());
            let halted = now.halted.is_some();
            status.send_if_modified(|status| {
                if now.leader.is_some() && now.term > status.term {
                    counters.elected();
                }
                let changed = *status != now;
                *status = now;
                changed
            });
            if halted {
                let _ = raft.shutdown().await;
                // The reason stays to be read for as long as somebody holds the group.
                status.closed().await;
                return;
            }
            let moved = async {
                tokio::time::sleep(INDEX_INTERVAL).await;
                tokio::select! {
                    changed = data.changed() => changed.is_ok(),
                    changed = applied.changed() => changed.is_ok(),
                }
            };
            let alive = tokio::select! {
                changed = servers.changed() => changed.is_ok(),
                alive = moved => alive,
            };
            if !alive {
                return;
            }
        }
    });
    watched
}
