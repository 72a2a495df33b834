//! The handle on one group's replica here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use openraft::errors::{InitializeError as RaftInitializeError, LinearizableReadError, RaftError};
use openraft::type_config::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, ReadPolicy};
use raftduck_model::meta::Replica;
use raftduck_model::{GroupId, LogIndex, ReplicaId, StoreId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::applier::{Applied, Applier, Progress};
use crate::counters::{Counters, Totals};
use crate::proposal::{Proposal, ProposeError};
use crate::status::{Status, leader_of};
use crate::types::{Command, Node, Reporter, Types};

pub(crate) type Raft = openraft::Raft<Types, Applier>;

/// The most bytes of one command: two entries' worth, so that one that was gathered just under the
/// limit still goes, and a frame holds it.
pub const COMMAND_BYTES: usize = 2 * raftduck_model::limits::ENTRY_BYTES;

/// How long openraft's bookkeeping may take before a purge.
const PURGE_PATIENCE: Duration = Duration::from_secs(10);

/// One group's replica on this store; clones share it.
#[derive(Clone)]
pub struct Group(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub id: GroupId,
    pub replica: ReplicaId,
    pub raft: Raft,
    pub progress: Arc<Progress>,
    pub status: watch::Receiver<Status>,
    pub counters: Arc<Counters>,
    /// When a leader last sent something.
    pub heard: parking_lot::Mutex<Instant>,
    /// Applies; waited for at the end.
    pub task: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

/// The replica stopped: its store ends, or its state machine failed (see [`Status::halted`]).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the replica does not run any more")]
pub struct Stopped;

/// Why a group was not initialised.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InitializeError {
    /// It has entries or a vote: it was initialised before, here or by another of its replicas.
    #[error("the group was initialised before")]
    Already,
    /// This replica is none of the members.
    #[error("this replica is not among the group's members")]
    NotAMember,
    /// The replica stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why there is no read index.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// Another replica leads, or none.
    #[error("this replica does not lead its group")]
    NotLeader {
        /// Who does, as far as this replica knows.
        leader: Option<(ReplicaId, StoreId)>,
    },
    /// No quorum confirmed the leader in time.
    #[error("no quorum confirmed that this replica still leads")]
    NoQuorum,
    /// The replica stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why a leader does not hand over.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransferError {
    /// Another replica leads, or none.
    #[error("this replica does not lead its group")]
    NotLeader,
    /// The other replica cannot lead.
    #[error("replica {0} is not a voter of the group")]
    NotVoter(ReplicaId),
    /// The replica stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Group {
    /// The group's number.
    pub fn id(&self) -> GroupId {
        self.0.id
    }

    /// Which of its replicas this is.
    pub fn replica(&self) -> ReplicaId {
        self.0.replica
    }

    /// How long no leader has sent this replica anything, in real time; for a leader, how long no quorum
    /// has answered it. Who was removed hears nothing any more, and is told by nobody here: a leader that
    /// was cut off meanwhile goes on taking itself for one.
    pub fn silence(&self) -> Duration {
        let (leads, alone) = {
            let status = self.0.status.borrow();
            (status.role == crate::status::Role::Leader, status.voters.len() == 1)
        };
        let metrics = self.0.raft.metrics();
        let answered = metrics.borrow_watched().last_quorum_acked.map(|answered| answered.elapsed());
        match (leads, answered) {
            (true, _) if alone => Duration::ZERO,
            (true, Some(answered)) => answered,
            _ => self.0.heard.lock().elapsed(),
        }
    }

    pub(crate) fn heard_leader(&self) {
        *self.0.heard.lock() = Instant::now();
    }

    pub(crate) fn raft(&self) -> Raft {
        self.0.raft.clone()
    }

    /// Makes `members` the group's first voters. To be called on one replica, once in the group's
    /// life; later calls are refused without harm.
    ///
    /// # Errors
    /// See [`InitializeError`].
    pub async fn initialize(&self, members: Vec<Replica>) -> Result<(), InitializeError> {
        let members: BTreeMap<u64, Node> =
            members.into_iter().map(|replica| (replica.id.0, Node { store: replica.store })).collect();
        match self.0.raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(RaftInitializeError::NotAllowed(_))) => Err(InitializeError::Already),
            Err(RaftError::APIError(RaftInitializeError::NotInMembers(_))) => Err(InitializeError::NotAMember),
            Err(RaftError::Fatal(_)) => Err(Stopped.into()),
        }
    }

    /// Proposes a command. Proposals of one caller keep their order in the log. Never waits: what
    /// became of the command is asked of the [`Proposal`].
    pub fn propose(&self, command: impl AsRef<[u8]>) -> Proposal {
        let command = command.as_ref();
        if command.len() > COMMAND_BYTES {
            self.0.counters.failed();
            return Proposal::refused(ProposeError::TooLarge { bytes: command.len(), limit: COMMAND_BYTES });
        }
        self.0.counters.proposed();
        let (reporter, committed, completed) = Reporter::new();
        // Polled once: it is done at once unless the core's queue is full. Unconstrained, because a
        // caller that used up its budget would otherwise be told that too.
        let handed = self.0.raft.client_write_ff(Command::new(command), Some(reporter));
        match tokio::task::unconstrained(handed).now_or_never() {
            Some(Ok(())) => Proposal::new(self.clone(), committed, completed),
            Some(Err(_)) => {
                self.0.counters.failed();
                Proposal::refused(ProposeError::Stopped)
            }
            None => {
                self.0.counters.failed();
                Proposal::refused(ProposeError::Busy)
            }
        }
    }

    /// The index a linearizable read that starts now must see (Ongaro's thesis §6.4). Only a
    /// leader knows it, after a round of heartbeats to a quorum.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_index(&self) -> Result<LogIndex, ReadError> {
        match self.0.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => Ok(LogIndex(linearizer.read_log_id().log_id().index)),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                Err(ReadError::NotLeader { leader: leader_of(&forward) })
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => Err(ReadError::NoQuorum),
            Err(RaftError::Fatal(_)) => Err(Stopped.into()),
        }
    }

    /// Waits until the state machine has applied `index`. The caller bounds the wait.
    ///
    /// # Errors
    /// Where the replica stops before.
    pub async fn wait_applied(&self, index: LogIndex) -> Result<(), Stopped> {
        let mut applied = self.0.progress.subscribe();
        let reached = |applied: &Applied| applied.last.is_some_and(|last| last.index >= index.0);
        let over = |applied: &Applied| applied.stopped || applied.failed.is_some();
        let seen = applied.wait_for(|applied| reached(applied) || over(applied)).await;
        match seen {
            Ok(seen) if reached(&seen) => Ok(()),
            _ => Err(Stopped),
        }
    }

    /// The last applied index; none before the first.
    pub fn applied(&self) -> Option<LogIndex> {
        self.0.progress.subscribe().borrow().last.map(|last| LogIndex(last.index))
    }

    /// What this replica knows of its group. Roles and terms show at once, indexes within a few
    /// milliseconds. Closed when the replica has stopped.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.0.status.clone()
    }

    /// Running totals, for metrics.
    pub fn totals(&self) -> Totals {
        self.0.counters.totals()
    }

    /// Asks another voter to lead, which takes about a vote. Writes are refused meanwhile; whether
    /// it worked shows in the status. This replica does not lead again before an election: if the
    /// other one cannot be reached, writes stop for as long as if this store had died, so ask one
    /// that answered lately ([`crate::Follower::silent_millis`]).
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leader(&self, to: ReplicaId) -> Result<(), TransferError> {
        {
            let status = self.0.status.borrow();
            if status.role != crate::status::Role::Leader {
                return Err(TransferError::NotLeader);
            }
            if !status.voters.iter().any(|voter| voter.id == to) {
                return Err(TransferError::NotVoter(to));
            }
            // Openraft would fall silent and wait for itself.
            if to == self.0.replica {
                return Ok(());
            }
        }
        self.0.raft.trigger().transfer_leader(to.0).await.map_err(|_| Stopped.into())
    }

    /// Drops the log up to and including `upto`, or up to what is applied where that is less. The
    /// caller answers for the state machine: it must have everything up to `upto` after a crash.
    /// A follower that still needed those entries gets a snapshot.
    ///
    /// # Errors
    /// Where the replica has stopped, or is too busy to look.
    pub async fn purge(&self, upto: LogIndex) -> Result<(), Stopped> {
        let Some(applied) = self.applied() else { return Ok(()) };
        let upto = upto.min(applied);
        // Openraft lets go only of what it knows to be in a snapshot. Ours is the state machine
        // itself, so "building" one is to note how far that is.
        let mut metrics = self.0.raft.metrics();
        let covered = |metrics: &openraft::RaftMetrics<Types>| metrics.snapshot.is_some_and(|id| id.index >= upto.0);
        if !covered(&metrics.borrow_watched()) {
            self.0.raft.trigger().snapshot().await.map_err(|_| Stopped)?;
            let noted = timeout(PURGE_PATIENCE, async {
                while !covered(&metrics.borrow_watched()) {
                    metrics.changed().await.map_err(|_| Stopped)?;
                }
                Ok(())
            });
            noted.await.map_err(|_| Stopped)??;
        }
        self.0.raft.trigger().purge_log(upto.0).await.map_err(|_| Stopped)
    }

    /// Stops the replica; what was committed and not applied is applied after the next start.
    pub(crate) async fn shutdown(&self) {
        self.0.progress.stop();
        // A panic of the core is in its log line already.
        let _ = self.0.raft.shutdown().await;
        let task = self.0.task.lock().take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}
