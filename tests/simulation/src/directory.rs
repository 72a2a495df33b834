//! Where the other stores are, and how they are called over the simulated network.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use raftduck_consensus::AddressBook;
use raftduck_model::StoreId;
use raftduck_model::meta::Meta;
use raftduck_wire::credential::Credential;
use raftduck_wire::rpc;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

use crate::network::Connector;

/// As the worker's.
pub type MetaView = watch::Receiver<Arc<Meta>>;

/// As the worker's.
pub struct Directory {
    meta: MetaView,
    seeds: BTreeMap<StoreId, String>,
    credential: Credential,
    clients: Mutex<BTreeMap<String, rpc::Store>>,
}

/// As the worker's.
#[derive(Debug, thiserror::Error)]
#[error("no address is known for store {0}")]
pub struct UnknownStore(StoreId);

impl Directory {
    pub fn new(meta: MetaView, seeds: impl IntoIterator<Item = (StoreId, String)>, credential: Credential) -> Self {
        Self { meta, seeds: seeds.into_iter().collect(), credential, clients: Mutex::default() }
    }

    pub fn client(&self, store: StoreId) -> Result<rpc::Store, UnknownStore> {
        let address = self.address(store).ok_or(UnknownStore(store))?;
        if let Some(client) = self.clients.lock().get(&address) {
            return Ok(client.clone());
        }
        let client = client(&address, &self.credential).map_err(|_| UnknownStore(store))?;
        self.clients.lock().insert(address, client.clone());
        Ok(client)
    }

    pub fn stores(&self) -> Vec<StoreId> {
        let meta = self.meta.borrow();
        let mut stores: Vec<StoreId> = meta.stores.keys().chain(self.seeds.keys()).copied().collect();
        stores.sort_unstable();
        stores.dedup();
        stores
    }
}

/// A handle on the store at `address`.
pub fn client(address: &str, credential: &Credential) -> Result<rpc::Store, tonic::transport::Error> {
    Ok(rpc::client(rpc::endpoint(address)?.connect_with_connector_lazy(Connector), credential))
}

impl AddressBook for Directory {
    fn address(&self, store: StoreId) -> Option<String> {
        let meta = self.meta.borrow();
        meta.stores.get(&store).map(|info| info.address.clone()).or_else(|| self.seeds.get(&store).cloned())
    }

    fn connect(&self, endpoint: Endpoint) -> BoxFuture<'static, Result<Channel, tonic::transport::Error>> {
        Box::pin(async move { endpoint.connect_with_connector(Connector).await })
    }
}
