//! A command on its way through the log.

use bytes::Bytes;
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use raftduck_model::{LogId, ReplicaId, StoreId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::group::Group;
use crate::status::leader_of;
use crate::types::{Types, from_raft};

/// Why a command has no outcome.
///
/// All but [`ProposeError::Unknown`] are certain: the command is in no log and never will be, so it
/// may be proposed again, here or elsewhere, at no risk. After `Unknown`, and after a caller's own
/// deadline, it may be committed already, or become so later; only a key that the state machine
/// knows it by makes it safe to send again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProposeError {
    /// Another replica leads, or none. The command was not proposed.
    #[error("this replica does not lead its group")]
    NotLeader {
        /// Who does, as far as this replica knows.
        leader: Option<(ReplicaId, StoreId)>,
    },
    /// The command was not proposed.
    #[error("a command of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest.
        limit: usize,
    },
    /// Too many proposals wait. The command was not proposed.
    #[error("too many proposals wait for this replica")]
    Busy,
    /// The replica had stopped. The command was not proposed.
    #[error("the replica does not run any more")]
    Stopped,
    /// The replica lost its leadership, or stopped, with the command under way: it may be
    /// committed, or become so.
    #[error("whether the command is committed is not known")]
    Unknown,
}

/// A proposed command. Dropping it changes nothing about the command.
pub struct Proposal(State);

enum State {
    Refused(ProposeError),
    UnderWay {
        group: Group,
        since: Instant,
        committed: oneshot::Receiver<LogId>,
        completed: oneshot::Receiver<ClientWriteResult<Types>>,
    },
    Committed {
        id: LogId,
        completed: oneshot::Receiver<ClientWriteResult<Types>>,
    },
    Applied {
        id: LogId,
        reply: Bytes,
    },
}

impl Proposal {
    pub(crate) fn new(
        group: Group,
        committed: oneshot::Receiver<LogId>,
        completed: oneshot::Receiver<ClientWriteResult<Types>>,
    ) -> Self {
        Self(State::UnderWay { group, since: Instant::now(), committed, completed })
    }

    pub(crate) fn refused(error: ProposeError) -> Self {
        Self(State::Refused(error))
    }

    /// Waits until the command is on a quorum's disks. The caller bounds the wait: without a
    /// quorum it lasts until there is one again. May be called again, and cancelled.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn committed(&mut self) -> Result<LogId, ProposeError> {
        let State::UnderWay { group, since, committed, completed } = &mut self.0 else {
            return match &self.0 {
                State::Committed { id, .. } | State::Applied { id, .. } => Ok(*id),
                State::Refused(error) => Err(error.clone()),
                State::UnderWay { .. } => Err(ProposeError::Unknown),
            };
        };
        let told = match committed.is_terminated() {
            // An earlier call was cancelled between the two waits.
            true => None,
            false => committed.await.ok(),
        };
        let result = match told {
            Some(id) => {
                group.0.counters.committed(since.elapsed());
                let completed = std::mem::replace(completed, oneshot::channel().1);
                self.0 = State::Committed { id, completed };
                return Ok(id);
            }
            None => completed.await,
        };
        let error = match result {
            // Only an entry that was committed completes well; openraft told us of it just now.
            Ok(Ok(response)) => {
                let id = from_raft(response.log_id);
                self.0 = State::Applied { id, reply: response.data };
                return Ok(id);
            }
            // Openraft says so before it appends; an entry that a later leader overwrites, or that
            // a snapshot overtakes, is `LogEntryDiscarded`.
            Ok(Err(ClientWriteError::ForwardToLeader(forward))) => {
                ProposeError::NotLeader { leader: leader_of(&forward) }
            }
            Ok(Err(_)) | Err(_) => ProposeError::Unknown,
        };
        group.0.counters.failed();
        self.0 = State::Refused(error.clone());
        Err(error)
    }

    /// Waits until the command is applied here, and returns the state machine's reply. May be
    /// called again, and cancelled.
    ///
    /// # Errors
    /// See [`ProposeError`]; [`ProposeError::Unknown`] also where a committed command's reply got
    /// lost because the replica was overtaken or stopped.
    pub async fn applied(&mut self) -> Result<Bytes, ProposeError> {
        self.committed().await?;
        let State::Committed { id, completed } = &mut self.0 else {
            return match &self.0 {
                State::Applied { reply, .. } => Ok(reply.clone()),
                _ => Err(ProposeError::Unknown),
            };
        };
        if completed.is_terminated() {
            return Err(ProposeError::Unknown);
        }
        let Ok(Ok(response)) = completed.await else { return Err(ProposeError::Unknown) };
        self.0 = State::Applied { id: *id, reply: response.data.clone() };
        Ok(response.data)
    }
}
