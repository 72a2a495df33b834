//! One group's replica on this store, and whether it takes writes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use raftduck_consensus::{Group, Role, Stopped, TransferError};
use raftduck_model::meta::Replica;
use raftduck_model::{GroupId, ReplicaId, StoreId};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::leadership::{Applied, Leadership};

/// How soon a leader that could not confirm its term tries again.
const RETRY: Duration = Duration::from_millis(50);

/// A replica that has not taken the lead by then takes none.
const HAND_OVER: Duration = Duration::from_secs(1);

/// Why a leader still leads.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HandOverError {
    /// The group cannot hand over.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The other did not begin to lead.
    #[error("replica {0} did not take the lead in time")]
    NotTaken(ReplicaId),
}

/// A running replica; clones share it.
#[derive(Clone)]
pub struct Hosted {
    /// Its group.
    pub group: Group,
    /// Which replica this store holds.
    pub replica: Replica,
    leading: Arc<RwLock<Option<Leading>>>,
}

/// A term in which this replica leads and has applied everything before it.
struct Leading {
    term: u64,
    /// None for the meta group, which takes no rows.
    leadership: Option<Leadership>,
}

impl Hosted {
    /// Follows the group's status: a [`Leadership`] for as long as this replica leads and has
    /// applied everything before its term. `changed` is called whenever that begins or ends, and
    /// whenever the role, the term or the known leader is another.
    pub fn start(
        group: Group,
        replica: Replica,
        applied: Option<Arc<dyn Applied>>,
        changed: impl Fn() + Send + Sync + 'static,
        stop: CancellationToken,
    ) -> Self {
        let hosted = Self { group, replica, leading: Arc::default() };
        let follower = hosted.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = follower.follow(applied, changed) => {}
                () = stop.cancelled() => {}
            }
            *follower.leading.write() = None;
        });
        hosted
    }

    /// The group's number.
    pub fn id(&self) -> GroupId {
        self.group.id()
    }

    /// Whether this replica leads and has applied everything before its term.
    pub fn is_ready(&self) -> bool {
        self.leading.read().is_some()
    }

    /// Where rows for this partition go, while this replica is ready to take them.
    pub fn leadership(&self) -> Option<Leadership> {
        self.leading.read().as_ref().and_then(|leading| leading.leadership.clone())
    }

    /// Who leads, as far as this replica knows.
    pub fn leader_store(&self) -> Option<StoreId> {
        self.group.status().borrow().leader.map(|(_, store)| store)
    }

    /// Gives the lead to `to`, a voter, and waits until this replica leads no more.
    ///
    /// # Errors
    /// Where that has not come about within [`HAND_OVER`], or the group cannot hand over.
    pub async fn hand_over(&self, to: ReplicaId) -> Result<(), HandOverError> {
        let mut status = self.group.status();
        self.group.transfer_leader(to).await?;
        // Openraft's leader is silent from here on, so asking once more would only prolong that.
        match timeout(HAND_OVER, status.wait_for(|status| status.role != Role::Leader)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(TransferError::from(Stopped).into()),
            Err(_) => Err(HandOverError::NotTaken(to)),
        }
    }

    async fn follow(&self, applied: Option<Arc<dyn Applied>>, changed: impl Fn()) {
        let mut status = self.group.status();
        let mut last = None;
        loop {
            let (role, term, leader) = {
                let seen = status.borrow_and_update();
                (seen.role, seen.term, seen.leader)
            };
            if last.replace((role, term, leader)) != Some((role, term, leader)) {
                changed();
            }
            let held = self.leading.read().as_ref().map(|leading| leading.term);
            match (role, held) {
                (Role::Leader, Some(held)) if held == term => {}
                (Role::Leader, _) => {
                    if held.is_some() {
                        *self.leading.write() = None;
                        changed();
                    }
                    // A change of status ends the attempt: its term may be over.
                    tokio::select! {
                        ready = self.catch_up() => {
                            if ready {
                                let start = |applied| Leadership::start(self.group.clone(), applied);
                                *self.leading.write() = Some(Leading { term, leadership: applied.clone().map(start) });
                                changed();
                            } else {
                                tokio::time::sleep(RETRY).await;
                            }
                            continue;
                        },
                        ended = status.changed() => match ended {
                            Ok(()) => continue,
                            Err(_) => return,
                        },
                    }
                }
                (_, Some(_)) => {
                    *self.leading.write() = None;
                    changed();
                }
                (_, None) => {}
            }
            if status.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until everything committed before this leader's term is applied here.
    async fn catch_up(&self) -> bool {
        match self.group.read_index().await {
            Ok(index) => self.group.wait_applied(index).await.is_ok(),
            Err(error) => {
                tracing::debug!(group = %self.id(), %error, "a new leader could not confirm its term yet");
                false
            }
        }
    }
}
