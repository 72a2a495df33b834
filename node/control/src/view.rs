//! What control knows of the cluster: every store says it through its Watch stream, the newest word counts.

mod merge;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use raftduck_model::meta::Meta;
use raftduck_model::{GroupId, PartitionId, ReplicaId, StoreId};
use raftduck_wire::proto::store::Role;
use raftduck_wire::{credential::Credential, rpc};

pub use merge::Merge;
pub use watch::watch;

/// The cluster at one moment; never changed, only replaced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterView {
    /// The newest catalog and map that any store told.
    pub meta: Arc<Meta>,
    /// Who leads what, by the highest term that anybody told.
    pub leaders: BTreeMap<GroupId, Leader>,
    /// What each store said last.
    pub stores: BTreeMap<StoreId, StoreView>,
}

/// A group's leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its store.
    pub store: StoreId,
    /// The term it leads.
    pub term: u64,
    /// It said itself that it takes writes.
    pub ready: bool,
}

/// One store's word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreView {
    /// Its Watch stream is up.
    pub connected: bool,
    /// Its groups.
    pub groups: BTreeMap<GroupId, GroupView>,
}

/// One replica, as its store said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// The replica.
    pub replica: ReplicaId,
    /// What it is.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Whom it takes for the leader.
    pub leader: Option<ReplicaId>,
    /// The last entry it had applied.
    pub applied: u64,
    /// A leader that takes writes.
    pub ready: bool,
}

impl ClusterView {
    /// Who leads a group, as far as anybody knows.
    pub fn leader(&self, group: GroupId) -> Option<Leader> {
        self.leaders.get(&group).copied()
    }

    /// Stores whose stream is up.
    pub fn connected(&self) -> impl Iterator<Item = StoreId> {
        self.stores.iter().filter(|(_, store)| store.connected).map(|(id, _)| *id)
    }

    /// Connected stores that hold a replica of every one of these partitions, by the map.
    pub fn holders_of_all(&self, partitions: &[PartitionId]) -> Vec<StoreId> {
        let holds = |store: StoreId, partition: PartitionId| {
            let entry = self.meta.partition(partition);
            entry.is_some_and(|entry| entry.replicas.iter().any(|replica| replica.store == store))
        };
        self.connected().filter(|store| partitions.iter().all(|partition| holds(*store, *partition))).collect()
    }
}

/// Connections to stores, one for each address, made when first used.
pub struct Stores {
    credential: Credential,
    addresses: RwLock<BTreeMap<StoreId, String>>,
    clients: RwLock<HashMap<String, rpc::Store>>,
}

impl Stores {
    /// No store known yet.
    pub fn new(credential: Credential) -> Self {
        Self { credential, addresses: RwLock::default(), clients: RwLock::default() }
    }

    /// Where the stores are now.
    pub fn relocate(&self, addresses: BTreeMap<StoreId, String>) {
        self.clients.write().retain(|address, _| addresses.values().any(|kept| kept == address));
        *self.addresses.write() = addresses;
    }

    /// A handle on a store; none where its address is unknown or unusable.
    pub fn client(&self, store: StoreId) -> Option<rpc::Store> {
        let address = self.addresses.read().get(&store).cloned()?;
        self.at(&address)
    }

    /// A handle on whatever store is at `address`.
    pub fn at(&self, address: &str) -> Option<rpc::Store> {
        if let Some(client) = self.clients.read().get(address) {
            return Some(client.clone());
        }
        let client = rpc::store(address, &self.credential).ok()?;
        Some(self.clients.write().entry(address.to_owned()).or_insert(client).clone())
    }
}
