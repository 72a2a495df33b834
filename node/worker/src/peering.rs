//! The Raft service on the worker's port: refused until the store belongs to a cluster, then the
//! groups' core answers.

use futures::StreamExt;
use futures::stream::BoxStream;
use raftduck_wire::proto::peer::Frame;
use raftduck_wire::proto::peer::peer_server::{Peer, PeerServer};
use raftduck_wire::rpc;
use tonic::{Request, Response, Status, Streaming};

use crate::service::MemberSlot;

/// Hands Raft's streams to the member, once there is one.
pub struct PeerGate(MemberSlot);

impl PeerGate {
    /// For the member in the slot.
    pub fn new(member: MemberSlot) -> Self {
        Self(member)
    }

    /// The service to serve.
    pub fn server(self) -> PeerServer<Self> {
        PeerServer::new(self)
            .max_decoding_message_size(rpc::MESSAGE_BYTES)
            .max_encoding_message_size(rpc::MESSAGE_BYTES)
    }
}

#[tonic::async_trait]
impl Peer for PeerGate {
    type ConnectStream = BoxStream<'static, Result<Frame, Status>>;

    async fn connect(&self, request: Request<Streaming<Frame>>) -> Result<Response<Self::ConnectStream>, Status> {
        let member =
            self.0.get().ok_or_else(|| Status::unavailable("this store still opens, or belongs to no cluster yet"))?;
        let response = member.host.peers().connect(request).await?;
        Ok(response.map(|frames| frames.boxed()))
    }
}
