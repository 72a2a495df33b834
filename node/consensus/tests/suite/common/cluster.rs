//! Stores in one process, over real loopback gRPC and real logs.
#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use raftduck_consensus::{AddressBook, Group, Host, HostConfig, ProposeError, Role, Status, Timing};
use raftduck_model::meta::Replica;
use raftduck_model::{ClusterId, GroupId, LogIndex, ReplicaId, StoreId};
use raftduck_wal::{Options, RealDisk, Wal, abort_process};
use raftduck_wire::credential::Credential;
use raftduck_wire::rpc::WINDOW_BYTES;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::server::TcpIncoming;
use uuid::Uuid;

use super::machine::{MemoryMachine, State};
use super::proxy::Proxy;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const TOKEN: &str = "the cluster's token";

#[derive(Default)]
pub struct Book(pub Mutex<HashMap<StoreId, String>>);

impl AddressBook for Book {
    fn address(&self, store: StoreId) -> Option<String> {
        self.0.lock().get(&store).cloned()
    }
}

/// A machine under test has other things to do: clocks three times slower than a store's.
pub fn timing() -> Timing {
    slower(3)
}

/// For tests that fail if anybody calls an election: however busy the machine, nobody shall.
pub fn patient() -> Timing {
    slower(8)
}

fn slower(times: u32) -> Timing {
    let usual = Timing::default();
    Timing {
        heartbeat: times * usual.heartbeat,
        election_min: times * usual.election_min,
        election_max: times * usual.election_max,
        quorum_loss_probe: times * usual.quorum_loss_probe,
        ..usual
    }
}

pub fn cluster_id() -> ClusterId {
    ClusterId(Uuid::from_u128(0xC1))
}

pub struct Cluster {
    pub folder: TempDir,
    pub book: Arc<Book>,
    pub nodes: BTreeMap<usize, Node>,
    pub replicas: usize,
    pub timing: Timing,
}

pub struct Node {
    pub number: usize,
    pub store: StoreId,
    pub host: Host,
    pub wal: Wal,
    pub groups: BTreeMap<GroupId, (Group, Arc<MemoryMachine>)>,
    pub accepts: Arc<AtomicBool>,
    server: JoinHandle<()>,
}

pub fn store(number: usize) -> StoreId {
    StoreId(Uuid::from_u128(0x500 + number as u128))
}

pub fn replica(group: GroupId, number: usize) -> Replica {
    Replica { id: ReplicaId(u64::from(group.0) * 100 + number as u64), store: store(number) }
}

impl Cluster {
    pub fn new(timing: Timing) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, book: Arc::default(), nodes: BTreeMap::new(), replicas: 3, timing }
    }

    /// Three stores with `groups` groups, initialised, each with a leader.
    pub async fn start(groups: u32) -> Self {
        Self::start_with(groups, timing()).await
    }

    pub async fn start_with(groups: u32, timing: Timing) -> Self {
        let mut cluster = Self::new(timing);
        for number in 1..=3 {
            cluster.open(number, groups).await;
        }
        cluster.initialize(groups).await;
        cluster
    }

    /// The same, with a [`Proxy`] before each store.
    pub async fn start_behind_proxies(groups: u32, timing: Timing) -> (Self, BTreeMap<usize, Proxy>) {
        let mut cluster = Self::new(timing);
        let mut proxies = BTreeMap::new();
        for number in 1..=3 {
            cluster.open(number, groups).await;
            proxies.insert(number, cluster.detour(number).await);
        }
        cluster.initialize(groups).await;
        (cluster, proxies)
    }

    async fn initialize(&self, groups: u32) {
        for group in (1..=groups).map(GroupId) {
            let members = (1..=3).map(|number| replica(group, number)).collect();
            let first = 1 + group.0 as usize % 3;
            self.group(first, group).initialize(members).await.unwrap();
        }
        for group in (1..=groups).map(GroupId) {
            self.leader(group).await;
        }
    }

    /// Puts a proxy before a store, for connections made from now on.
    pub async fn detour(&self, number: usize) -> Proxy {
        let direct = self.book.0.lock()[&store(number)].clone();
        let proxy = Proxy::start(direct).await;
        self.book.0.lock().insert(store(number), proxy.address.clone());
        proxy
    }

    pub fn path(&self, number: usize, name: &str) -> PathBuf {
        self.folder.path().join(format!("store-{number}")).join(name)
    }

    /// Opens a store on a port of its own, with what its log holds and new, empty machines.
    pub async fn open(&mut self, number: usize, groups: u32) {
        self.open_with(number, groups, HashMap::new()).await;
    }

    /// The same, with machines that kept their state.
    pub async fn open_with(&mut self, number: usize, groups: u32, mut kept: HashMap<GroupId, Arc<MemoryMachine>>) {
        let options = Options { segment_bytes: 16 << 20, ..Options::default() };
        let wal = Wal::open(Arc::new(RealDisk), &self.path(number, "log"), options, abort_process()).unwrap();
        let accepts = Arc::new(AtomicBool::new(true));
        let says = accepts.clone();
        let config = HostConfig {
            cluster: cluster_id(),
            store: store(number),
            timing: self.timing.clone(),
            credential: Credential::new(TOKEN),
            accepts_entries: Arc::new(move || says.load(Ordering::Relaxed)),
            snapshots: self.path(number, "incoming"),
        };
        let host = Host::new(config, wal.clone(), self.book.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.book.0.lock().insert(store(number), listener.local_addr().unwrap().to_string());
        let server = tokio::spawn(serve(host.clone(), listener));
        let mut running = BTreeMap::new();
        for group in (1..=groups).map(GroupId) {
            let machine = kept
                .remove(&group)
                .unwrap_or_else(|| Arc::new(MemoryMachine::new(&self.path(number, &format!("machine-{group}")))));
            let opened = host.open(group, replica(group, number).id, machine.clone()).await.unwrap();
            running.insert(group, (opened, machine));
        }
        let node = Node { number, store: store(number), host, wal, groups: running, accepts, server };
        assert!(self.nodes.insert(number, node).is_none(), "store {number} runs already");
    }

    /// Ends a store; gives back its machines.
    pub async fn stop(&mut self, number: usize) -> HashMap<GroupId, Arc<MemoryMachine>> {
        let node = self.nodes.remove(&number).unwrap();
        node.server.abort();
        node.host.shutdown().await;
        node.wal.close();
        node.groups.into_iter().map(|(group, (_, machine))| (group, machine)).collect()
    }

    pub fn group(&self, number: usize, group: GroupId) -> Group {
        self.nodes[&number].groups[&group].0.clone()
    }

    pub fn machine(&self, number: usize, group: GroupId) -> Arc<MemoryMachine> {
        self.nodes[&number].groups[&group].1.clone()
    }

    /// The store whose replica leads `group`, proven by a read index.
    pub async fn leader(&self, group: GroupId) -> usize {
        let search = async {
            loop {
                for number in self.nodes.keys() {
                    let candidate = self.group(*number, group);
                    let leads = candidate.status().borrow().role == Role::Leader;
                    if leads && candidate.read_index().await.is_ok() {
                        return *number;
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("nobody leads {group}: {:#?}", self.statuses(group)))
    }

    pub fn statuses(&self, group: GroupId) -> Vec<Status> {
        self.nodes.keys().map(|number| self.group(*number, group).status().borrow().clone()).collect()
    }

    /// Writes a command wherever `group`'s leader is, again and again until it is committed.
    pub async fn write(&self, group: GroupId, command: &[u8]) -> LogIndex {
        let write = async {
            loop {
                let leader = self.leader(group).await;
                match timeout(Duration::from_secs(5), self.group(leader, group).propose(command).committed()).await {
                    Ok(Ok(id)) => return LogIndex(id.index),
                    Ok(Err(ProposeError::TooLarge { .. })) => panic!("the command is too large"),
                    Ok(Err(_)) | Err(_) => {}
                }
            }
        };
        timeout(PATIENCE, write).await.expect("a write is committed in time")
    }

    /// Waits until all stores that run have applied all that is committed; returns the state they
    /// then share.
    pub async fn settled(&self, group: GroupId) -> State {
        let leader = self.leader(group).await;
        let index = self.group(leader, group).read_index().await.unwrap();
        for number in self.nodes.keys() {
            let applied = timeout(PATIENCE, self.group(*number, group).wait_applied(index)).await;
            applied.unwrap_or_else(|_| panic!("store {number} lags: {:#?}", self.statuses(group))).unwrap();
        }
        let states: Vec<State> = self.nodes.keys().map(|number| self.machine(*number, group).state()).collect();
        for state in &states {
            assert_eq!(*state, states[0], "{group}");
        }
        states[0].clone()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Before its folder goes: a log that cannot go on ends the process.
        for node in self.nodes.values() {
            node.server.abort();
            node.wal.close();
        }
    }
}

pub async fn serve(host: Host, listener: TcpListener) {
    // The server's own `tcp_nodelay` is for listeners that it makes itself.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tonic::transport::Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .add_service(host.service())
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}

/// Waits until a status is as it should be.
pub async fn until(group: &Group, what: &str, is_so: impl FnMut(&Status) -> bool) -> Status {
    let mut status = group.status();
    let seen = timeout(PATIENCE, status.wait_for(is_so)).await;
    match seen {
        Ok(Ok(status)) => status.clone(),
        Ok(Err(_)) => panic!("the group ended before {what}"),
        Err(_) => panic!("not in time: {what}: {:#?}", group.status().borrow()),
    }
}
