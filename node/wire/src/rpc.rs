//! The client side of the Store service, with the settings everyone uses.

use std::time::Duration;

use raftduck_model::limits;
use tonic::codegen::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::credential::{Credential, OnCalls};
use crate::proto::store::store_client::StoreClient;

/// A handle on one store; clones share its connection.
pub type Store = StoreClient<InterceptedService<Channel, OnCalls>>;

/// How long a connection attempt may take: a store that is gone must not hold a request up.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
/// A frozen store answers nothing and resets nothing: a watch on it ends after two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// HTTP/2's flow-control window. A few entries in flight fit; the default of 64 KiB stalls one.
pub const WINDOW_BYTES: u32 = 8 << 20;

/// A handle on the store at `address` (`host:port`). Connects when first used, and again, resolving
/// the name afresh, after the connection was lost.
///
/// # Errors
/// Where `address` is no authority.
pub fn store(address: &str, credential: &Credential) -> Result<Store, tonic::transport::Error> {
    Ok(client(endpoint(address)?.connect_lazy(), credential))
}

/// The settings of a connection to the store at `address`.
///
/// # Errors
/// Where `address` is no authority.
pub fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    Ok(endpoint)
}

/// A handle on the store at the other end of `channel`.
pub fn client(channel: Channel, credential: &Credential) -> Store {
    let client = StoreClient::with_interceptor(channel, OnCalls(credential.clone()));
    // An append carries parts for several partitions; its sender keeps it below this.
    client.max_decoding_message_size(MESSAGE_BYTES).max_encoding_message_size(MESSAGE_BYTES)
}

/// The largest message of the Store service, either way.
pub const MESSAGE_BYTES: usize = 4 * limits::FRAME_BYTES;
