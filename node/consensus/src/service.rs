//! The receiving side: frames from peers, handed to the groups they are for.

mod appends;
mod incoming;
mod requests;
mod session;

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use raftduck_model::{ClusterId, StoreId};
use raftduck_wire::proto::peer::Frame;
use raftduck_wire::proto::peer::peer_server::Peer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::frame::{Class, metadata};
use crate::host::Inner;
use session::Session;

/// Answers that wait to be sent to one peer; each is small. A peer that does not read them is not
/// read from either.
const ANSWERS: usize = 1024;

/// The Peer service of one store.
pub struct PeerService(pub(crate) Arc<Inner>);

#[tonic::async_trait]
impl Peer for PeerService {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

    async fn connect(&self, request: Request<Streaming<Frame>>) -> Result<Response<Self::ConnectStream>, Status> {
        let (from, class) = admit(&self.0, request.metadata())?;
        if *self.0.stop.borrow() {
            return Err(Status::unavailable("this store stops"));
        }
        let (answers, outgoing) = mpsc::channel(ANSWERS);
        tokio::spawn(Session::new(self.0.clone(), from, class, answers).run(request.into_inner()));
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

/// Who is calling and for what, if it is one of ours that means this store.
fn admit(host: &Inner, metadata: &MetadataMap) -> Result<(StoreId, Class), Status> {
    host.config.credential.check(metadata)?;
    let text = |key: &str| {
        let value = metadata.get(key).and_then(|value| value.to_str().ok());
        value.ok_or_else(|| Status::invalid_argument(format!("no {key}: this is no peer of this release")))
    };
    let malformed = |key: &str| Status::invalid_argument(format!("{key} is not what it should be"));
    let cluster: ClusterId = text(metadata::CLUSTER)?.parse().map_err(|_| malformed(metadata::CLUSTER))?;
    if cluster != host.config.cluster {
        return Err(Status::failed_precondition(format!("this is cluster {}, not {cluster}", host.config.cluster)));
    }
    let to: StoreId = text(metadata::TO)?.parse().map_err(|_| malformed(metadata::TO))?;
    if to != host.config.store {
        return Err(Status::failed_precondition(format!("this is store {}, not {to}", host.config.store)));
    }
    let from: StoreId = text(metadata::FROM)?.parse().map_err(|_| malformed(metadata::FROM))?;
    let class = Class::from_name(text(metadata::CLASS)?).ok_or_else(|| malformed(metadata::CLASS))?;
    Ok((from, class))
}
