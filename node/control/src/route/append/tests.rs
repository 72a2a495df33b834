#![allow(clippy::unwrap_used, clippy::panic)]

//! The router against stores that lose replies, freeze, and send elsewhere. What they hold at the end counts.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;

use futures::Stream;
use parking_lot::Mutex;
use raftduck_model::meta::{Meta, Partition, PartitionState, Replica, StoreInfo};
use raftduck_model::{BodyDigest, Column, ColumnType, GroupId, KeyDigest, ReplicaId, SchemaVersion, TableId};
use raftduck_wire::credential::{Credential, OnService};
use raftduck_wire::proto::store::refused::Code;
use raftduck_wire::proto::store::store_server::{Store as Service, StoreServer};
use raftduck_wire::proto::store::*;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::*;
use crate::view::Leader;

/// What a store does with its next append.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trick {
    /// Writes, and then the reply is lost.
    LoseReply,
    /// Writes, and answers only after the caller has gone.
    WriteAndFreeze,
    /// Takes nothing and never answers.
    Freeze,
    /// Refuses every part.
    Refuse(Code),
    /// Answers fewer outcomes than there were parts, having written.
    TooFewOutcomes,
}

/// The cluster's truth, which all fake stores share as if Raft did it.
#[derive(Default)]
struct Truth {
    leaders: HashMap<u32, StoreId>,
    /// What each key holds: its digest and rows.
    written: HashMap<(u32, Vec<u8>), (u64, u32)>,
    tricks: HashMap<StoreId, VecDeque<Trick>>,
    /// A store that does the same thing for ever.
    always: HashMap<StoreId, Trick>,
    calls: Vec<StoreId>,
}

impl Truth {
    fn rows(&self) -> u32 {
        self.written.values().map(|(_, rows)| rows).sum()
    }

    fn append(&mut self, store: StoreId, part: &RowsPart) -> Outcome {
        let leader = self.leaders.get(&part.partition).copied();
        if leader != Some(store) {
            let leader_store = leader.map(|leader| leader.to_string()).unwrap_or_default();
            return Outcome::NotLeader(NotLeader { epoch: 1, leader_store });
        }
        let known = self.written.insert((part.partition, part.key.to_vec()), (part.body_digest, part.rows));
        match known {
            Some((digest, rows)) if digest != part.body_digest => {
                self.written.insert((part.partition, part.key.to_vec()), (digest, rows));
                refused(Code::KeyReused)
            }
            known => Outcome::Written(Written { log_index: 1, duplicate: known.is_some() }),
        }
    }
}

fn refused(code: Code) -> Outcome {
    Outcome::Refused(Refused { code: code.into(), detail: "said so".to_owned(), retry_after_ms: 1 })
}

struct Fake {
    id: StoreId,
    truth: Arc<Mutex<Truth>>,
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Service for Fake {
    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<AppendResponse>, Status> {
        let parts = request.into_inner().parts;
        let (trick, outcomes) = {
            let mut truth = self.truth.lock();
            truth.calls.push(self.id);
            let trick = truth.tricks.get_mut(&self.id).and_then(VecDeque::pop_front);
            let trick = trick.or_else(|| truth.always.get(&self.id).copied());
            let outcomes: Vec<PartOutcome> = parts
                .iter()
                .map(|part| {
                    let outcome = match trick {
                        Some(Trick::Freeze) => refused(Code::Busy),
                        Some(Trick::Refuse(code)) => refused(code),
                        _ => truth.append(self.id, part),
                    };
                    PartOutcome { partition: part.partition, outcome: Some(outcome) }
                })
                .collect();
            (trick, outcomes)
        };
        match trick {
            Some(Trick::LoseReply) => Err(Status::unavailable("the connection broke")),
            Some(Trick::Freeze | Trick::WriteAndFreeze) => std::future::pending().await,
            Some(Trick::TooFewOutcomes) => Ok(Response::new(AppendResponse::default())),
            Some(Trick::Refuse(_)) | None => Ok(Response::new(AppendResponse { outcomes })),
        }
    }

    type QueryStream = Streamed<QueryFrame>;
    type WatchStream = Streamed<WatchUpdate>;

    async fn query(&self, _: Request<QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
    async fn meta(&self, _: Request<MetaRequest>) -> Result<Response<MetaResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
    async fn identify(&self, _: Request<IdentifyRequest>) -> Result<Response<IdentifyResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
    async fn quorums(&self, _: Request<QuorumsRequest>) -> Result<Response<QuorumsResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
    async fn invite(&self, _: Request<InviteRequest>) -> Result<Response<InviteResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
    async fn join(&self, _: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
    async fn read_index(&self, _: Request<ReadIndexRequest>) -> Result<Response<ReadIndexResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
    async fn transfer_leader(
        &self,
        _: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}

struct Cluster {
    truth: Arc<Mutex<Truth>>,
    router: Router,
    stores: Vec<StoreId>,
    publish: watch::Sender<Arc<ClusterView>>,
}

/// Three stores and three partitions; store `n` leads partition `n`, and the view says so.
async fn cluster() -> Cluster {
    let credential = Credential::new("secret");
    let truth: Arc<Mutex<Truth>> = Arc::default();
    let stores: Vec<StoreId> = (1..=3).map(|number| StoreId(Uuid::from_u128(number))).collect();
    let mut addresses = BTreeMap::new();
    for id in &stores {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.insert(*id, listener.local_addr().unwrap().to_string());
        let fake = Fake { id: *id, truth: truth.clone() };
        let service = StoreServer::new(fake).max_decoding_message_size(rpc::MESSAGE_BYTES);
        let service = tonic::service::interceptor::InterceptedService::new(service, OnService(credential.clone()));
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    }
    let replicas: Vec<Replica> =
        stores.iter().zip(1..).map(|(store, id)| Replica { id: ReplicaId(id), store: *store }).collect();
    let partition = |id| Partition {
        id: PartitionId(id),
        replicas: replicas.clone(),
        state: PartitionState::Created,
        change: None,
    };
    let info = |(id, address): (&StoreId, &String)| (*id, StoreInfo::at(address.as_str()));
    let meta = Meta {
        stores: addresses.iter().map(info).collect(),
        partitions: (1..=3).map(partition).collect(),
        ..Meta::default()
    };
    let mut view = ClusterView { meta: Arc::new(meta), ..ClusterView::default() };
    for (store, number) in stores.iter().zip(1_u32..) {
        truth.lock().leaders.insert(number, *store);
        view.leaders.insert(GroupId(number), Leader { store: *store, term: 1, ready: true });
    }
    let (publish, view) = watch::channel(Arc::new(view));
    let connections = Arc::new(Stores::new(credential));
    connections.relocate(addresses);
    Cluster { truth, router: Router::new(view, connections, Arc::new(Metrics::new().unwrap())), stores, publish }
}

impl Cluster {
    fn play(&self, store: usize, tricks: impl IntoIterator<Item = Trick>) {
        self.truth.lock().tricks.insert(self.stores[store], tricks.into_iter().collect());
    }

    fn always(&self, store: usize, trick: Trick) {
        self.truth.lock().always.insert(self.stores[store], trick);
    }

    fn lead(&self, partition: u32, store: usize) {
        self.truth.lock().leaders.insert(partition, self.stores[store]);
    }

    async fn append(&self, digest: u64) -> Result<Appended, AppendError> {
        self.append_within(digest, Duration::from_secs(10)).await
    }

    async fn append_within(&self, digest: u64, time: Duration) -> Result<Appended, AppendError> {
        let column = Column { name: "k".to_owned(), kind: ColumnType::BigInt, nullable: true, default: None };
        let table =
            Table { id: TableId(1), name: "t".to_owned(), version: SchemaVersion(1), columns: vec![column], key: 0 };
        let part = |partition| Part {
            partition: PartitionId(partition),
            key: KeyDigest(77),
            digest: BodyDigest(digest),
            rows: 10,
            data: bytes::Bytes::from_static(b"rows"),
        };
        self.router.append(&table, (1..=3).map(part).collect(), Instant::now() + time).await
    }
}

const ALL: Appended = Appended { rows: 30, duplicate: false };
const AGAIN: Appended = Appended { rows: 30, duplicate: true };

#[tokio::test]
async fn every_partitions_leader_is_asked_once_when_all_is_well() {
    let cluster = cluster().await;
    assert_eq!(cluster.append(1).await, Ok(ALL));
    assert_eq!(cluster.truth.lock().calls.len(), 3);
}

#[tokio::test]
async fn a_lost_reply_is_asked_for_again_under_the_same_key_and_nothing_doubles() {
    let cluster = cluster().await;
    cluster.play(0, [Trick::LoseReply, Trick::LoseReply, Trick::TooFewOutcomes]);
    assert_eq!(cluster.append(1).await, Ok(AGAIN));
    let truth = cluster.truth.lock();
    assert_eq!((truth.rows(), truth.written.len()), (30, 3));
}

#[tokio::test]
async fn a_store_that_writes_and_freezes_costs_an_attempt_and_nothing_doubles() {
    let cluster = cluster().await;
    cluster.play(1, [Trick::WriteAndFreeze]);
    assert_eq!(cluster.append(1).await, Ok(AGAIN));
    assert_eq!(cluster.truth.lock().rows(), 30);
}

#[tokio::test]
async fn a_hint_is_followed() {
    let cluster = cluster().await;
    cluster.lead(1, 2);
    assert_eq!(cluster.append(1).await, Ok(ALL));
    assert_eq!(cluster.truth.lock().calls.len(), 4, "the wrong leader, and then the right one at once");
}

#[tokio::test]
async fn a_frozen_leaders_successor_is_found_though_the_view_and_the_followers_still_name_it() {
    let cluster = cluster().await;
    cluster.always(0, Trick::Freeze);
    let writing = cluster.append(1);
    let electing = async {
        // Followers name the frozen leader until one of them takes over, after several refusals.
        let mut asked = 0;
        while asked < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            asked = cluster.truth.lock().calls.len();
        }
        cluster.lead(1, 1);
    };
    let (written, ()) = tokio::join!(writing, electing);
    assert_eq!(written, Ok(ALL));
    assert_eq!(cluster.truth.lock().rows(), 30);
}

#[tokio::test]
async fn what_is_in_and_what_is_not_known_is_said_and_the_repeated_request_heals_it() {
    let cluster = cluster().await;
    cluster.always(2, Trick::WriteAndFreeze);
    let error = cluster.append_within(1, Duration::from_millis(700)).await.unwrap_err();
    assert_eq!(error.written, [PartitionId(1), PartitionId(2)]);
    assert_eq!(error.failed, BTreeMap::from([(PartitionId(3), Failure::Unknown)]));
    cluster.truth.lock().always.clear();
    assert_eq!(cluster.append(1).await, Ok(AGAIN));
    assert_eq!(cluster.truth.lock().rows(), 30, "the first attempt had written it all");
}

#[tokio::test]
async fn another_body_under_the_key_is_refused_for_good() {
    let cluster = cluster().await;
    cluster.append(1).await.unwrap();
    let error = cluster.append(2).await.unwrap_err();
    assert!(error.written.is_empty());
    assert!(error.failed.values().all(|failure| *failure == Failure::Final(Final::KeyReused)), "{error:?}");
}

#[tokio::test]
async fn a_busy_store_is_waited_for_and_named_when_the_time_is_up() {
    let cluster = cluster().await;
    cluster
        .play(0, [Trick::Refuse(Code::Busy), Trick::Refuse(Code::SchemaBehind), Trick::Refuse(Code::UnknownOutcome)]);
    assert_eq!(cluster.append(1).await, Ok(ALL));
    cluster.always(0, Trick::Refuse(Code::Busy));
    let error = cluster.append_within(1, Duration::from_millis(100)).await.unwrap_err();
    let busy = Failure::NotWritten(Waiting::Busy { retry_after_ms: 1 });
    assert_eq!(error.failed, BTreeMap::from([(PartitionId(1), busy)]));
}

#[tokio::test]
async fn a_full_disk_and_a_dropped_table_end_the_request_at_once() {
    for (code, reason) in
        [(Code::DiskFull, Final::DiskFull("said so".to_owned())), (Code::TableDropped, Final::TableDropped)]
    {
        let cluster = cluster().await;
        cluster.always(0, Trick::Refuse(code));
        let error = cluster.append(1).await.unwrap_err();
        assert_eq!(error.failed, BTreeMap::from([(PartitionId(1), Failure::Final(reason))]));
    }
}

#[tokio::test]
async fn without_a_known_leader_the_replicas_are_asked_in_turn() {
    let cluster = cluster().await;
    cluster.publish.send_modify(|view| Arc::make_mut(view).leaders.clear());
    for partition in 1..=3 {
        cluster.lead(partition, 2);
    }
    assert_eq!(cluster.append(1).await, Ok(ALL));
}

#[tokio::test]
async fn a_cluster_without_a_map_writes_nothing_and_says_so() {
    let cluster = cluster().await;
    cluster.publish.send_replace(Arc::default());
    let error = cluster.append_within(1, Duration::from_millis(100)).await.unwrap_err();
    assert!(error.failed.values().all(|failure| *failure == Failure::NotWritten(Waiting::NoLeader)), "{error:?}");
    assert_eq!(cluster.truth.lock().rows(), 0);
}
