//! The Store service: each call is read, handed to the part that does it, and its outcome written.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::BoxStream;
use raftduck_model::{GroupId, ReplicaId, StoreId};
use raftduck_wire::proto::store::store_server;
use raftduck_wire::proto::store::{
    AppendRequest, AppendResponse, IdentifyRequest, IdentifyResponse, InviteRequest, InviteResponse, JoinRequest,
    JoinResponse, MetaRequest, MetaResponse, NotLeader, QueryFrame, QueryRequest, QuorumsRequest, QuorumsResponse,
    ReadIndexOutcome, ReadIndexRequest, ReadIndexResponse, TransferLeaderRequest, TransferLeaderResponse, WatchRequest,
    WatchUpdate, meta_response,
};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::joining::Joining;
use crate::member::Member;
use crate::{appending, permits, querying, tasks, watching};

/// The longest a read index may take: its caller asks again, and by then another may lead.
const READ_INDEX_TIMEOUT: Duration = Duration::from_millis(250);

/// The member this process becomes once its volume belongs to a cluster.
pub type MemberSlot = Arc<OnceLock<Arc<Member>>>;

/// The Store service of this process.
#[derive(Clone)]
pub struct StoreService {
    member: MemberSlot,
    joining: Arc<Joining>,
}

impl StoreService {
    /// A service that answers for the member in the slot, once it is there.
    pub fn new(member: MemberSlot, joining: Arc<Joining>) -> Self {
        Self { member, joining }
    }

    fn member(&self) -> Result<&Arc<Member>, Status> {
        self.member.get().ok_or_else(|| Status::unavailable("this store still opens, or belongs to no cluster yet"))
    }
}

#[tonic::async_trait]
impl store_server::Store for StoreService {
    async fn identify(&self, _: Request<IdentifyRequest>) -> Result<Response<IdentifyResponse>, Status> {
        let cluster = self.joining.membership().map(|membership| membership.cluster.to_string());
        let store = self.joining.store().to_string();
        let level = self.joining.config().level;
        Ok(Response::new(IdentifyResponse { store, cluster: cluster.unwrap_or_default(), level }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let membership = serde_json::from_slice(&request.into_inner().membership)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        match self.joining.join(membership).await {
            Ok(_) => Ok(Response::new(JoinResponse {})),
            Err(error) => Err(Status::failed_precondition(format!("{error:#}"))),
        }
    }

    async fn invite(&self, request: Request<InviteRequest>) -> Result<Response<InviteResponse>, Status> {
        let store = request.into_inner().store;
        let store: StoreId = store.parse().map_err(|_| Status::invalid_argument(format!("{store:?} is no store")))?;
        let meta = self.member()?.meta.borrow().clone();
        let membership = tasks::membership(&meta)
            .ok_or_else(|| Status::unavailable("this store does not know its cluster's state yet"))?;
        let membership = serde_json::to_vec(&membership).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(InviteResponse { membership: membership.into(), retired: meta.retired.contains(&store) }))
    }

    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<AppendResponse>, Status> {
        Ok(Response::new(appending::append(self.member()?, request.into_inner()).await))
    }

    type QueryStream = BoxStream<'static, Result<QueryFrame, Status>>;

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let frames = querying::query(self.member()?.clone(), request.into_inner()).await;
        Ok(Response::new(frames.map(Ok).boxed()))
    }

    type WatchStream = BoxStream<'static, Result<WatchUpdate, Status>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(watching::updates(self.member()?.clone()).boxed()))
    }

    async fn meta(&self, request: Request<MetaRequest>) -> Result<Response<MetaResponse>, Status> {
        let member = self.member()?;
        let command = serde_json::from_slice(&request.into_inner().command)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let encode = |bytes: serde_json::Result<Vec<u8>>| {
            bytes.map(bytes::Bytes::from).map_err(|error| Status::internal(error.to_string()))
        };
        let outcome = match member.meta_here(&command).await {
            Ok(Ok(reply)) => meta_response::Outcome::Reply(encode(serde_json::to_vec(&reply))?),
            Ok(Err(error)) => meta_response::Outcome::Error(encode(serde_json::to_vec(&error))?),
            Err(leader) => meta_response::Outcome::NotLeader(NotLeader {
                epoch: member.meta.borrow().epoch.0,
                leader_store: leader.map(|store| store.to_string()).unwrap_or_default(),
            }),
        };
        Ok(Response::new(MetaResponse { outcome: Some(outcome) }))
    }

    async fn read_index(&self, request: Request<ReadIndexRequest>) -> Result<Response<ReadIndexResponse>, Status> {
        let member = self.member()?;
        let outcomes = join_all(request.into_inner().groups.into_iter().map(|group| async move {
            let index = match member.group(GroupId(group)) {
                Some(hosted) => timeout(READ_INDEX_TIMEOUT, hosted.group.read_index()).await.ok().and_then(Result::ok),
                None => None,
            };
            ReadIndexOutcome { group, index: index.map_or(0, |index| index.0), leader: index.is_some() }
        }));
        Ok(Response::new(ReadIndexResponse { outcomes: outcomes.await }))
    }

    async fn quorums(&self, request: Request<QuorumsRequest>) -> Result<Response<QuorumsResponse>, Status> {
        let without = request.into_inner().without;
        let without = without.parse().map_err(|_| Status::invalid_argument(format!("{without:?} is no store")))?;
        Ok(Response::new(permits::led(self.member()?, without)))
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        let TransferLeaderRequest { group, to_replica } = request.into_inner();
        let outcome = match self.member()?.group(GroupId(group)) {
            Some(hosted) => hosted.group.transfer_leader(ReplicaId(to_replica)).await.map_err(|e| e.to_string()),
            None => Err(format!("this store holds no replica of group {group}")),
        };
        let (accepted, detail) = match outcome {
            Ok(()) => (true, String::new()),
            Err(detail) => (false, detail),
        };
        Ok(Response::new(TransferLeaderResponse { accepted, detail }))
    }
}
