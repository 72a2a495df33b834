//! A store's part in all of its groups: who they are, what they share, and how they end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use openraft::errors::Fatal;
use parking_lot::RwLock;
use raftduck_model::{ClusterId, GroupId, ReplicaId, StoreId};
use raftduck_wal::Wal;
use raftduck_wire::credential::Credential;
use raftduck_wire::proto::peer::peer_server::PeerServer;
use tokio::sync::{Semaphore, watch};
use tonic::transport::{Channel, Endpoint};

use crate::applier::Applier;
use crate::counters::Counters;
use crate::frame::FRAME_BYTES;
use crate::group::{Group, Raft, Shared};
use crate::machine::StateMachine;
use crate::service::PeerService;
use crate::status;
use crate::storage::LogStore;
use crate::timing::{Timing, TimingError};
use crate::transport::{Factory, Links};
use crate::types::Types;

/// Snapshots received at once.
const INCOMING: usize = 2;
/// How long the groups may take to stop; what is under way is in the log.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

/// Says where stores are, and how they are reached.
pub trait AddressBook: Send + Sync + 'static {
    /// `host:port` of a store, if known. Asked at every connection, so a store may move.
    fn address(&self, store: StoreId) -> Option<String>;

    /// Connects to such an address: through TCP, unless this is a simulation's network.
    fn connect(&self, endpoint: Endpoint) -> BoxFuture<'static, Result<Channel, tonic::transport::Error>> {
        Box::pin(async move { endpoint.connect().await })
    }
}

/// What a [`Host`] needs to be told.
#[derive(Clone)]
pub struct HostConfig {
    /// The cluster; peers of another one are refused.
    pub cluster: ClusterId,
    /// This store.
    pub store: StoreId,
    /// Raft's clocks.
    pub timing: Timing,
    /// What every stream between stores carries.
    pub credential: Credential,
    /// Whether entries and snapshots are taken from peers. While it says no, this store still votes
    /// and hears heartbeats, and its leaders see a follower that cannot be reached.
    pub accepts_entries: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Where snapshots are received, on the store's own volume. Emptied at start.
    pub snapshots: PathBuf,
}

/// Why a group was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It runs already.
    #[error("group {0} runs on this store already")]
    Already(GroupId),
    /// The host stops.
    #[error("this store stops")]
    Stopping,
    /// The timing cannot be.
    #[error(transparent)]
    Timing(#[from] TimingError),
    /// The state machine did not say how far it is, or not in this build's format.
    #[error("the state machine of group {group} does not say how far it is")]
    StateMachine {
        /// The group.
        group: GroupId,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The log and the state machine contradict each other, or cannot be read.
    #[error("group {group} cannot start from what its log and its state machine hold: {reason}")]
    Start {
        /// The group.
        group: GroupId,
        /// Openraft's reason.
        reason: Box<Fatal<Types>>,
    },
}

/// See the module. Clones share it. Everything runs on the runtime that calls [`Host::open`], which
/// should be Raft's own: whoever blocks it stops heartbeats.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

pub(crate) struct Inner {
    pub config: HostConfig,
    pub stop: watch::Sender<bool>,
    /// Turns at receiving snapshots.
    pub incoming: Arc<Semaphore>,
    pub next_incoming: AtomicU64,
    wal: Wal,
    links: Arc<Links>,
    groups: RwLock<HashMap<GroupId, Slot>>,
}

enum Slot {
    /// Being opened.
    Taken,
    Running(Group),
}

/// A group's [`Slot::Taken`]; given back where opening fails or is cancelled.
struct Opening<'a> {
    host: &'a Inner,
    id: GroupId,
}

impl Opening<'_> {
    /// The group runs from now on; false if the host stopped meanwhile.
    fn finish(self, group: &Group) -> bool {
        let mut groups = self.host.groups.write();
        // Looked at under the lock: who stops the host takes out all groups after it said so.
        let goes_on = !*self.host.stop.borrow();
        if goes_on {
            groups.insert(self.id, Slot::Running(group.clone()));
        }
        drop(groups);
        goes_on
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut groups = self.host.groups.write();
        if matches!(groups.get(&self.id), Some(Slot::Taken)) {
            groups.remove(&self.id);
        }
    }
}

impl Inner {
    pub(crate) fn group(&self, group: GroupId) -> Option<Group> {
        match self.groups.read().get(&group) {
            Some(Slot::Running(group)) => Some(group.clone()),
            Some(Slot::Taken) | None => None,
        }
    }
}

impl Host {
    /// A host without groups.
    pub fn new(config: HostConfig, wal: Wal, book: Arc<dyn AddressBook>) -> Self {
        match std::fs::remove_dir_all(&config.snapshots) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let folder = config.snapshots.display();
                tracing::warn!(%folder, %error, "what was left of received snapshots could not be removed");
            }
        }
        let (stop, stopped) = watch::channel(false);
        let links =
            Links::new(config.cluster, config.store, config.credential.clone(), config.timing.clone(), book, stopped);
        let incoming = Arc::new(Semaphore::new(INCOMING));
        let next_incoming = AtomicU64::new(0);
        Self(Arc::new(Inner { config, stop, incoming, next_incoming, wal, links, groups: RwLock::default() }))
    }

    /// Starts this store's replica of a group from what the log and `machine` hold. The group's
    /// other replicas may or may not run.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        &self,
        id: GroupId,
        replica: ReplicaId,
        machine: Arc<dyn StateMachine>,
    ) -> Result<Group, OpenError> {
        if *self.0.stop.borrow() {
            return Err(OpenError::Stopping);
        }
        match self.0.groups.write().entry(id) {
            Entry::Occupied(_) => return Err(OpenError::Already(id)),
            Entry::Vacant(slot) => slot.insert(Slot::Taken),
        };
        let opening = Opening { host: &self.0, id };
        let group = self.start(id, replica, machine).await?;
        if opening.finish(&group) {
            return Ok(group);
        }
        group.shutdown().await;
        Err(OpenError::Stopping)
    }

    async fn start(&self, id: GroupId, replica: ReplicaId, machine: Arc<dyn StateMachine>) -> Result<Group, OpenError> {
        let config = Arc::new(self.0.config.timing.config(&format!("{}/{id}", self.0.config.cluster))?);
        let counters = Arc::new(Counters::default());
        let log = LogStore::new(self.0.wal.group(id));
        let started = Applier::start(machine, counters.clone(), log.durable()).await;
        let (applier, progress, task) = started.map_err(|source| OpenError::StateMachine { group: id, source })?;
        let factory = Factory { group: id, replica, links: self.0.links.clone() };
        let raft = Raft::new(replica.0, config, factory, log, applier).await;
        let raft = raft.map_err(|reason| OpenError::Start { group: id, reason: Box::new(reason) })?;
        let status = status::follow(raft.clone(), progress.clone(), counters.clone());
        let task = parking_lot::Mutex::new(Some(task));
        let heard = parking_lot::Mutex::new(tokio::time::Instant::now());
        Ok(Group(Arc::new(Shared { id, replica, raft, progress, status, counters, heard, task })))
    }

    /// The replica of a group that runs here.
    pub fn group(&self, id: GroupId) -> Option<Group> {
        self.0.group(id)
    }

    /// Every replica that runs here, by group.
    pub fn groups(&self) -> Vec<Group> {
        let running = |slot: &Slot| match slot {
            Slot::Running(group) => Some(group.clone()),
            Slot::Taken => None,
        };
        let mut groups: Vec<Group> = self.0.groups.read().values().filter_map(running).collect();
        groups.sort_by_key(Group::id);
        groups
    }

    /// Stops one replica. Frames for it are refused from now on; its log stays. One that is still
    /// being opened is left alone.
    pub async fn close(&self, id: GroupId) {
        let Some(group) = self.group(id) else { return };
        self.0.groups.write().remove(&id);
        group.shutdown().await;
    }

    /// Frames sent to other stores' replicas so far, answers to theirs not counted.
    pub fn frames_sent(&self) -> u64 {
        self.0.links.sent()
    }

    /// What [`Host::service`] serves, for a server that decides itself when to serve it.
    pub fn peers(&self) -> PeerService {
        PeerService(self.0.clone())
    }

    /// The service peers call. The server's HTTP/2 windows should be
    /// [`raftduck_wire::rpc::WINDOW_BYTES`]: the default of 64 KiB stalls every entry.
    pub fn service(&self) -> PeerServer<PeerService> {
        PeerServer::new(PeerService(self.0.clone()))
            .max_decoding_message_size(FRAME_BYTES)
            .max_encoding_message_size(FRAME_BYTES)
    }

    /// Stops every replica and connection. Hand over leaders before, if writes are not to pause.
    pub async fn shutdown(&self) {
        self.0.stop.send_replace(true);
        let groups: Vec<Slot> = self.0.groups.write().drain().map(|(_, slot)| slot).collect();
        let ends = groups.iter().map(|slot| async move {
            if let Slot::Running(group) = slot {
                group.shutdown().await;
            }
        });
        if tokio::time::timeout(SHUTDOWN_PATIENCE, join_all(ends)).await.is_err() {
            tracing::warn!("a replica did not stop in time; its log has what it lacks");
        }
    }
}
