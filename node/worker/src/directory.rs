//! Where the other stores are, and how to call them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use raftduck_consensus::AddressBook;
use raftduck_model::StoreId;
use raftduck_model::meta::Meta;
use raftduck_wire::credential::Credential;
use raftduck_wire::rpc;
use tokio::sync::watch;

/// The newest cluster state this store knows, whoever told it.
pub type MetaView = watch::Receiver<Arc<Meta>>;

/// Addresses from the newest map, else from the seeds the volume was given at bootstrap.
pub struct Directory {
    meta: MetaView,
    seeds: BTreeMap<StoreId, String>,
    credential: Credential,
    clients: Mutex<HashMap<String, rpc::Store>>,
}

/// A store that nobody has said the address of.
#[derive(Debug, thiserror::Error)]
#[error("no address is known for store {0}")]
pub struct UnknownStore(StoreId);

impl Directory {
    /// A directory over the cluster state and the volume's seeds.
    pub fn new(meta: MetaView, seeds: impl IntoIterator<Item = (StoreId, String)>, credential: Credential) -> Self {
        Self { meta, seeds: seeds.into_iter().collect(), credential, clients: Mutex::default() }
    }

    /// A handle on a store; its connection is shared and made when first used.
    ///
    /// # Errors
    /// Where no usable address is known.
    pub fn client(&self, store: StoreId) -> Result<rpc::Store, UnknownStore> {
        let address = self.address(store).ok_or(UnknownStore(store))?;
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(&address) {
            return Ok(client.clone());
        }
        let client = rpc::store(&address, &self.credential).map_err(|_| UnknownStore(store))?;
        clients.insert(address, client.clone());
        Ok(client)
    }

    /// Every store that is known of.
    pub fn stores(&self) -> Vec<StoreId> {
        let meta = self.meta.borrow();
        let mut stores: Vec<StoreId> = meta.stores.keys().chain(self.seeds.keys()).copied().collect();
        stores.sort_unstable();
        stores.dedup();
        stores
    }
}

impl AddressBook for Directory {
    fn address(&self, store: StoreId) -> Option<String> {
        let meta = self.meta.borrow();
        meta.stores.get(&store).map(|info| info.address.clone()).or_else(|| self.seeds.get(&store).cloned())
    }
}
