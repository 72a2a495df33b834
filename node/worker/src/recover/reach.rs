//! Whether the stores that are to be given up answer, which those that are gone do not.

use std::time::Duration;

use futures::future::join_all;
use raftduck_model::StoreId;
use raftduck_wire::credential::Credential;
use raftduck_wire::proto::store::IdentifyRequest;
use raftduck_wire::rpc;
use tokio::time::timeout;
use tonic::Code;

/// A store of the cluster that runs and is near answers much sooner.
const PATIENCE: Duration = Duration::from_secs(3);

/// What answers where a store was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reached {
    /// Nothing, or another store.
    Nothing,
    /// The store itself: it is not lost.
    Itself,
    /// Something that does not take the cluster token.
    Stranger,
}

/// Asks all of them at once who they are.
pub async fn reach(stores: &[(StoreId, String)], credential: &Credential) -> Vec<Reached> {
    join_all(stores.iter().map(|(store, address)| ask(*store, address, credential))).await
}

async fn ask(store: StoreId, address: &str, credential: &Credential) -> Reached {
    let Ok(mut client) = rpc::store(address, credential) else { return Reached::Nothing };
    match timeout(PATIENCE, client.identify(IdentifyRequest {})).await {
        Ok(Ok(answer)) if answer.get_ref().store == store.to_string() => Reached::Itself,
        Ok(Err(status)) if status.code() == Code::Unauthenticated => Reached::Stranger,
        _ => Reached::Nothing,
    }
}
