//! How a process with a volume becomes a member of a cluster, at start or when it is told.

use std::sync::Arc;

use raftduck_model::{GroupId, StoreId};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::WorkerConfig;
use crate::member::Member;
use crate::service::MemberSlot;
use crate::tasks;
use crate::volume::{Membership, Volume};

/// What it takes to join, and the proof that it happens once.
pub struct Joining {
    volume: Volume,
    config: WorkerConfig,
    slot: MemberSlot,
    stop: CancellationToken,
    /// Two calls at once must not both open the volume's parts.
    turn: Mutex<()>,
}

impl Joining {
    /// For the store on `volume`; the member goes into `slot`.
    pub fn new(volume: Volume, config: WorkerConfig, slot: MemberSlot, stop: CancellationToken) -> Self {
        Self { volume, config, slot, stop, turn: Mutex::default() }
    }

    /// Who this store is.
    pub fn store(&self) -> StoreId {
        self.volume.store()
    }

    /// How this worker was told to run.
    pub fn config(&self) -> &WorkerConfig {
        &self.config
    }

    /// The cluster that this store is a member of.
    pub fn membership(&self) -> Option<&Membership> {
        self.slot.get().map(|member| &member.membership)
    }

    /// Becomes a member again, where the volume says of which cluster.
    pub async fn resume(&self) -> anyhow::Result<Option<Arc<Member>>> {
        match self.volume.membership()? {
            Some(membership) => self.join(membership).await.map(Some),
            None => Ok(None),
        }
    }

    /// Becomes a member of a cluster; again, with the same cluster, changes nothing.
    ///
    /// # Errors
    /// Where the volume belongs to another cluster, or its log or rows cannot be opened.
    pub async fn join(&self, membership: Membership) -> anyhow::Result<Arc<Member>> {
        let _turn = self.turn.lock().await;
        let membership = self.volume.join(&membership)?;
        if let Some(member) = self.slot.get() {
            return Ok(member.clone());
        }
        let member = Member::open(&self.volume, membership, self.config.clone(), self.stop.clone())?;
        if let Some(replica) = member.recorded_meta() {
            member.open_replica(GroupId::META, replica).await?;
        }
        tasks::start(&member);
        Ok(self.slot.get_or_init(|| member).clone())
    }
}
