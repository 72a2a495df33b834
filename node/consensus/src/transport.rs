//! The sending side: how a group's leader and candidates reach its other replicas.

mod call;
mod connection;
mod link;
mod outgoing;
mod pipeline;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::storage::Snapshot as RaftSnapshot;
use openraft::{OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use raftduck_model::codec::DecodeError;
use raftduck_model::{GroupId, ReplicaId, StoreId};

use crate::applier::SnapshotData;
use crate::codec;
use crate::frame::{Address, Class, Kind};
use crate::types::{LeaderId, Node, Types, Vote};
pub(crate) use call::CallError;
pub(crate) use link::Links;

/// Makes one group's [`Network`]s.
pub(crate) struct Factory {
    pub group: GroupId,
    pub replica: ReplicaId,
    pub links: Arc<Links>,
}

impl Factory {
    fn network(&self, target: u64, node: &Node, beats: bool) -> Network {
        let address = Address { group: self.group, from: self.replica, to: ReplicaId(target) };
        Network { address, peer: node.store, links: self.links.clone(), beats }
    }
}

impl RaftNetworkFactory<Types> for Factory {
    type Network = Network;

    async fn new_client(&mut self, target: u64, node: &Node) -> Network {
        self.network(target, node, false)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Node) -> Network {
        self.network(target, node, true)
    }
}

/// One replica's way to another.
pub(crate) struct Network {
    address: Address,
    peer: StoreId,
    links: Arc<Links>,
    /// Sends heartbeats: one request at a time, beside the entries and not behind them.
    beats: bool,
}

impl Network {
    /// Sends a request and waits for its answer, no longer than `ttl`.
    async fn ask<T>(
        &self,
        kind: Kind,
        body: Bytes,
        ttl: Duration,
        decode: impl FnOnce(Bytes) -> Result<T, DecodeError>,
    ) -> Result<T, CallError> {
        let link = self.links.get(self.peer, Class::Control);
        let mut call = link.open(self.address);
        call.send(kind, body)?;
        let answer = tokio::time::timeout(ttl, call.answer()).await.map_err(|_| CallError::Timeout(ttl))??;
        decode(answer).map_err(CallError::Malformed)
    }

    fn rpc_error(&self, action: RPCTypes, error: CallError) -> RPCError<Types> {
        error.into_rpc(action, self.address)
    }

    async fn beat(
        &self,
        request: AppendEntriesRequest<Types>,
        ttl: Duration,
    ) -> Result<StreamAppendResult<Types>, CallError> {
        let range = pipeline::Range::of(&request);
        let body = codec::encode_append(&request);
        let answer = self.ask(Kind::Heartbeat, body, ttl, codec::decode_append_answer).await?;
        range.check(answer)
    }
}

impl RaftNetworkV2<Types> for Network {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let answer = self.beat(rpc, option.soft_ttl()).await;
        answer.map(AppendEntriesResponse::from).map_err(|error| self.rpc_error(RPCTypes::AppendEntries, error))
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        let this = &*self;
        Box::pin(async move {
            let answers: BoxStream<'s, _> = if this.beats {
                Box::pin(futures::stream::once(async move {
                    match input.next().await {
                        Some(request) => this.beat(request, option.hard_ttl()).await,
                        None => Err(CallError::Broken),
                    }
                    .map_err(|error| this.rpc_error(RPCTypes::AppendEntries, error))
                }))
            } else {
                let link = this.links.get(this.peer, Class::Log);
                let patience = this.links.timing().append_answer;
                let answers = pipeline::run(link, this.address, input, patience);
                Box::pin(answers.map(|answer| answer.map_err(|error| this.rpc_error(RPCTypes::AppendEntries, error))))
            };
            Ok(answers)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let body = codec::encode_vote_request(&rpc);
        let answer = self.ask(Kind::Vote, body, option.hard_ttl(), codec::decode_vote_answer).await;
        answer.map_err(|error| self.rpc_error(RPCTypes::Vote, error))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let body = codec::encode_vote_request(&rpc);
        let answer = self.ask(Kind::PreVote, body, option.hard_ttl(), codec::decode_vote_answer).await;
        answer.map_err(|error| self.rpc_error(RPCTypes::Vote, error))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: RaftSnapshot<LeaderId, u64, Node, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = outgoing::send(&self.links, self.peer, self.address, vote, snapshot.snapshot) => match sent {
                Ok(vote) => Ok(SnapshotResponse::new(vote)),
                Err(error) => {
                    tracing::warn!(group = %self.address.group, to = %self.peer, %error, "a snapshot was not taken");
                    Err(self.rpc_error(RPCTypes::InstallSnapshot, error.into()).into())
                }
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let body = codec::encode_transfer(&request);
        let answer = self.ask(Kind::Transfer, body, option.hard_ttl(), codec::decode_transfer_answer).await;
        answer.map_err(|error| self.rpc_error(RPCTypes::TransferLeader, error))
    }
}
