//! A store of a cluster, with rows in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use raftduck_consensus::Host;
use raftduck_model::meta::Meta;
use raftduck_model::{GroupId, StoreId};
use raftduck_wal::Wal;
use raftduck_wire::http::Space;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::directory::{Directory, MetaView};
use crate::hosted::Hosted;
use crate::metamachine::{self, MetaMachine};
use crate::replicas::Recorded;
use crate::rows::Rows;
use crate::seat::Seat;
use crate::volume::Membership;

/// What the worker's sources ask of its configuration.
pub struct Config {
    pub advertise: String,
    pub replace_after: Duration,
    pub log_bytes: u64,
    pub level: u32,
}

/// As the worker's.
pub struct Member {
    pub store: StoreId,
    pub membership: Membership,
    pub config: Config,
    pub meta: MetaView,
    pub directory: Arc<Directory>,
    pub host: Host,
    /// What stands in for DuckDB.
    pub engine: Rows,
    pub wal: Wal,
    pub unapplied: Arc<Semaphore>,
    pub space: watch::Receiver<Space>,
    pub groups_changed: watch::Sender<()>,
    pub stop: CancellationToken,
    pub recorded: Recorded,
    pub(crate) groups: RwLock<BTreeMap<GroupId, Hosted>>,
    pub(crate) publish_meta: watch::Sender<Arc<Meta>>,
    pub(crate) meta_machine: RwLock<Option<Arc<MetaMachine>>>,
    /// The machine that the process runs on.
    pub seat: Arc<Seat>,
}

impl Member {
    pub fn group(&self, group: GroupId) -> Option<Hosted> {
        self.groups.read().get(&group).cloned()
    }

    pub fn hosted(&self) -> Vec<Hosted> {
        self.groups.read().values().cloned().collect()
    }

    pub fn meta_machine(&self) -> Option<Arc<MetaMachine>> {
        self.meta_machine.read().clone()
    }

    pub fn learn_meta(&self, told: Meta) {
        metamachine::publish(&self.publish_meta, &told);
    }
}
