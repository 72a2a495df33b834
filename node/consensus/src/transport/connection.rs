//! One connection of a link, from its name lookup to its end.

use std::sync::Arc;
use std::time::Duration;

use raftduck_wire::proto::peer::Frame;
use raftduck_wire::proto::peer::peer_client::PeerClient;
use raftduck_wire::rpc::WINDOW_BYTES;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status, Streaming};

use super::link::Link;
use crate::frame::{FRAME_BYTES, metadata};

/// How long a peer that refused us by name is left alone: people must act first.
const REFUSED_REST: Duration = Duration::from_secs(1);
/// A stream is open once the peer's process has looked at it, which takes it longer than its
/// kernel takes to accept a connection.
const OPEN_FACTOR: u32 = 5;

#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("its address is not known")]
    NoAddress,
    #[error("its address {0:?} is none")]
    BadAddress(String),
    #[error("it does not accept connections: {0}")]
    Connect(String),
    #[error("it does not answer")]
    Silent,
    #[error("it refused: {}", .0.message())]
    Refused(Status),
    #[error("the connection ended: {0}")]
    Ended(String),
}

/// Connects, sends what is queued and hands on what is answered, until that fails or the host stops.
pub(super) async fn run(link: Arc<Link>, connection: u64) {
    let mut stop = link.links.stop.clone();
    let error = tokio::select! {
        error = carry(&link, connection) => error,
        _ = stop.wait_for(|stopped| *stopped) => ConnectError::Ended("this store stops".to_owned()),
    };
    let rest = match &error {
        ConnectError::Refused(_) => REFUSED_REST,
        _ => link.links.timing().reconnect,
    };
    link.failed(connection, rest, error.to_string());
}

async fn carry(link: &Arc<Link>, connection: u64) -> ConnectError {
    let mut answers = match connect(link, connection).await {
        Ok(answers) => answers,
        Err(error) => return error,
    };
    link.established();
    loop {
        match answers.message().await {
            Ok(Some(frame)) => link.answered(frame),
            Ok(None) => return ConnectError::Ended("the peer closed it".to_owned()),
            Err(status) => return ended(status),
        }
    }
}

async fn connect(link: &Arc<Link>, connection: u64) -> Result<Streaming<Frame>, ConnectError> {
    let (links, timing) = (&link.links, link.links.timing());
    let address = links.book.address(link.peer).ok_or(ConnectError::NoAddress)?;
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).map_err(|_| ConnectError::BadAddress(address.clone()))?;
    let endpoint = endpoint
        .connect_timeout(timing.connect)
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(timing.keepalive)
        .keep_alive_timeout(timing.keepalive_answer)
        .keep_alive_while_idle(true);
    // The endpoint's own bound does not cover the name lookup.
    let channel = tokio::time::timeout(2 * timing.connect, links.book.connect(endpoint)).await;
    let channel = channel.map_err(|_| ConnectError::Silent)?.map_err(|error| ConnectError::Connect(root(&error)))?;

    let sender = link.clone();
    let frames = futures::stream::unfold(sender, move |sender| async move {
        let frame = sender.next(connection).await?;
        Some((frame, sender))
    });
    let mut request = Request::new(frames);
    let pairs = [
        (metadata::CLUSTER, links.cluster.to_string()),
        (metadata::FROM, links.store.to_string()),
        (metadata::TO, link.peer.to_string()),
        (metadata::CLASS, link.class.name().to_owned()),
    ];
    for (key, value) in pairs {
        let value = MetadataValue::try_from(value).map_err(|error| ConnectError::Connect(error.to_string()))?;
        request.metadata_mut().insert(key, value);
    }
    links.credential.add_to(request.metadata_mut()).map_err(ConnectError::Refused)?;
    let mut client =
        PeerClient::new(channel).max_decoding_message_size(FRAME_BYTES).max_encoding_message_size(FRAME_BYTES);
    let opened = tokio::time::timeout(OPEN_FACTOR * timing.connect, client.connect(request)).await;
    opened.map_err(|_| ConnectError::Silent)?.map(tonic::Response::into_inner).map_err(ended)
}

fn ended(status: Status) -> ConnectError {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition | Code::Unimplemented => {
            ConnectError::Refused(status)
        }
        _ => ConnectError::Ended(status.message().to_owned()),
    }
}

/// The innermost cause: the layers above it say only that there is one.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
