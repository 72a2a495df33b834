//! Workers in this process, and what a control would do with them.

mod admin;
pub mod rows;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use raftduck_model::meta::{LEVEL, Meta};
use raftduck_model::{KeyDigest, StoreId};
use raftduck_wire::credential::Credential;
use raftduck_wire::proto::store::{IdentifyRequest, Role, WatchRequest};
use raftduck_wire::rpc;
use raftduck_worker::{Timing, WorkerConfig, run};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Nothing here takes this long; a machine that is busy with other things may.
const DEADLINE: Duration = Duration::from_secs(90);
/// Between looks at a state that is waited for.
const LOOK: Duration = Duration::from_millis(20);
pub const TOKEN: &str = "a cluster token";

/// Looks until there is what is waited for; an error says what there was instead.
pub async fn eventually<T, E: Display>(look: impl AsyncFn() -> Result<T, E>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(LOOK).await;
    }
}

struct Worker {
    address: SocketAddr,
    folder: tempfile::TempDir,
    log_bytes: u64,
    level: u32,
    join: Vec<String>,
    stop: CancellationToken,
    running: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Worker {
    fn start(&mut self) {
        let config = WorkerConfig {
            data: self.folder.path().to_owned(),
            listen: self.address,
            advertise: self.address.to_string(),
            join: self.join.clone(),
            replace_after: Duration::from_secs(600),
            credential: Credential::new(TOKEN),
            memory_bytes: 256 << 20,
            threads: 1,
            spill_bytes: 64 << 20,
            log_bytes: self.log_bytes,
            timing: Timing::default(),
            level: self.level,
        };
        self.stop = CancellationToken::new();
        self.running = Some(tokio::spawn(run(config, self.stop.clone())));
    }
}

pub struct Workers(Vec<Worker>);

impl Workers {
    /// Starts a cluster and waits until every partition takes writes.
    pub async fn start(stores: usize, partitions: u32) -> Self {
        Self::start_with_log(stores, partitions, 256 << 20).await
    }

    /// The same, whose stores keep at most so many bytes of log for one that is away.
    pub async fn start_with_log(stores: usize, partitions: u32, log_bytes: u64) -> Self {
        let reserved: Vec<TcpListener> = (0..stores).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<SocketAddr> = reserved.iter().map(|listener| listener.local_addr().unwrap()).collect();
        drop(reserved);
        let mut workers = Self(Vec::new());
        for address in &addresses {
            let folder = tempfile::tempdir().unwrap();
            let stop = CancellationToken::new();
            let (address, join) = (*address, Vec::new());
            let mut worker = Worker { address, folder, log_bytes, level: LEVEL, join, stop, running: None };
            worker.start();
            workers.0.push(worker);
        }
        workers.bootstrap(partitions, stores.min(3)).await;
        workers.wait(|leaders| leaders.len() == partitions as usize).await;
        workers
    }

    async fn bootstrap(&self, partitions: u32, replication: usize) {
        let body = serde_json::json!({
            "cluster_uuid": uuid::Uuid::now_v7(),
            "stores": self.0.iter().map(|worker| worker.address.to_string()).collect::<Vec<_>>(),
            "partitions": partitions,
            "replication": replication,
        });
        let url = format!("http://{}/admin/v1/bootstrap", self.0[0].address);
        let client = reqwest::Client::new();
        let send = async || client.post(&url).bearer_auth(TOKEN).json(&body).send().await;
        let response = eventually(send).await;
        assert!(response.status().is_success(), "bootstrap: {}", response.text().await.unwrap());
    }

    /// Starts another worker, on an empty volume, that asks the others to take it in. Returns its number.
    pub async fn add(&mut self) -> usize {
        let reserved = TcpListener::bind("127.0.0.1:0").unwrap();
        let join = self.0.iter().map(|worker| worker.address.to_string()).collect();
        let (folder, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let address = reserved.local_addr().unwrap();
        drop(reserved);
        let log_bytes = 256 << 20;
        let mut worker = Worker { address, folder, log_bytes, level: LEVEL, join, stop, running: None };
        worker.start();
        self.0.push(worker);
        let store = self.0.len() - 1;
        eventually(async || self.watch(store).await.ok_or(format!("store {store} is not taken in"))).await;
        store
    }

    /// Where the store keeps everything.
    pub fn folder(&self, store: usize) -> &Path {
        self.0[store].folder.path()
    }

    /// The store's own name.
    pub async fn id(&self, store: usize) -> StoreId {
        let answer = eventually(async || self.client(store).identify(IdentifyRequest {}).await).await;
        answer.into_inner().store.parse().unwrap()
    }

    /// The cluster's state, as a store knows it.
    pub async fn meta(&self, store: usize) -> Meta {
        let update = eventually(async || {
            let mut updates =
                self.client(store).watch(WatchRequest {}).await.map_err(|error| error.to_string())?.into_inner();
            let update = updates.message().await.map_err(|error| error.to_string())?;
            update.filter(|update| !update.meta.is_empty()).ok_or("no state".to_owned())
        });
        serde_json::from_slice(&update.await.meta).unwrap()
    }

    /// Waits until the cluster's state, as a store knows it, is as wanted.
    pub async fn wait_meta(&self, store: usize, wanted: impl Fn(&Meta) -> bool) -> Meta {
        eventually(async || {
            let meta = self.meta(store).await;
            if wanted(&meta) { Ok(meta) } else { Err(format!("{meta:?}")) }
        })
        .await
    }

    /// The store's `host:port`.
    pub fn address(&self, store: usize) -> String {
        self.0[store].address.to_string()
    }

    pub async fn stop(&mut self, store: usize) {
        let worker = &mut self.0[store];
        worker.stop.cancel();
        timeout(DEADLINE, worker.running.take().unwrap()).await.unwrap().unwrap().unwrap();
    }

    /// Starts it as a release of another level.
    pub async fn restart_at(&mut self, store: usize, level: u32) {
        self.0[store].level = level;
        self.restart(store).await;
    }

    /// Starts it as a release that cannot stay, and says why it ended.
    pub async fn start_refused(&mut self, store: usize, level: u32) -> String {
        self.0[store].level = level;
        self.0[store].start();
        let ended = timeout(DEADLINE, self.0[store].running.take().unwrap()).await.unwrap().unwrap();
        format!("{:#}", ended.unwrap_err())
    }

    /// Waits until a record on the store's volume says something.
    pub async fn wait_record(&self, store: usize, name: &str, wanted: &str) {
        let path = self.folder(store).join(name);
        eventually(async || match std::fs::read_to_string(&path) {
            Ok(text) if text.contains(wanted) => Ok(()),
            other => Err(format!("{}: {other:?}", path.display())),
        })
        .await
    }

    /// Ends a worker and takes its volume away.
    pub async fn lose(&mut self, store: usize) {
        self.stop(store).await;
        std::fs::rename(self.folder(store), self.lost(store)).unwrap();
    }

    /// Starts a worker on the volume that was taken away; returns once it knows which cluster it is of.
    pub async fn bring_back(&mut self, store: usize) {
        std::fs::rename(self.lost(store), self.folder(store)).unwrap();
        self.0[store].start();
        eventually(async || self.client(store).watch(WatchRequest {}).await.map(drop)).await;
    }

    /// Waits until the worker ends by itself, and says why.
    pub async fn ends(&mut self, store: usize) -> String {
        let ended = timeout(DEADLINE, self.0[store].running.take().unwrap()).await.unwrap().unwrap();
        format!("{:#}", ended.unwrap_err())
    }

    fn lost(&self, store: usize) -> std::path::PathBuf {
        self.folder(store).with_extension("lost")
    }

    /// Starts it, and again if it ends, as whoever runs a worker does: one that ended by an error lets go of its
    /// port and its volume a little later, where its process goes on.
    pub async fn restart(&mut self, store: usize) {
        let deadline = Instant::now() + DEADLINE;
        let mut why = "nothing".to_owned();
        self.0[store].start();
        while self.watch(store).await.is_none() {
            if self.0[store].running.as_ref().is_some_and(JoinHandle::is_finished) {
                why = self.ends(store).await;
                self.0[store].start();
            }
            assert!(Instant::now() < deadline, "store {store} does not come back; it last ended by {why}");
            sleep(LOOK).await;
        }
    }

    pub fn client_with_token(&self, store: usize, token: &str) -> rpc::Store {
        rpc::store(&self.0[store].address.to_string(), &Credential::new(token)).unwrap()
    }

    fn client(&self, store: usize) -> rpc::Store {
        self.client_with_token(store, TOKEN)
    }

    /// What a store says of its groups: the partitions it leads and takes writes for.
    async fn watch(&self, store: usize) -> Option<Vec<u32>> {
        self.0[store].running.as_ref()?;
        let mut updates = self.client(store).watch(WatchRequest {}).await.ok()?.into_inner();
        let update = updates.message().await.ok()??;
        let leads = update.groups.iter().filter(|group| group.role() == Role::Leader && group.ready && group.group > 0);
        Some(leads.map(|group| group.group).collect())
    }

    /// Entries that a store keeps of a group's log.
    async fn leaders(&self) -> BTreeMap<u32, usize> {
        let mut leaders = BTreeMap::new();
        for store in 0..self.0.len() {
            leaders.extend(self.watch(store).await.unwrap_or_default().into_iter().map(|group| (group, store)));
        }
        leaders
    }

    /// Waits until the partitions' leaders (partition to store) are as wanted.
    pub async fn wait(&self, wanted: impl Fn(&BTreeMap<u32, usize>) -> bool) {
        eventually(async || {
            let leaders = self.leaders().await;
            if wanted(&leaders) { Ok(()) } else { Err(format!("leaders: {leaders:?}")) }
        })
        .await;
    }

    async fn partitions(&self) -> u32 {
        let mut meta = self.client(self.first_running()).watch(WatchRequest {}).await.unwrap().into_inner();
        let update = meta.message().await.unwrap().unwrap();
        let meta: raftduck_model::meta::Meta = serde_json::from_slice(&update.meta).unwrap();
        meta.partitions.len() as u32
    }

    fn first_running(&self) -> usize {
        self.0.iter().position(|worker| worker.running.is_some()).unwrap()
    }
}

pub fn key(partition: u32, number: u32) -> KeyDigest {
    KeyDigest(u128::from(partition) << 64 | u128::from(number))
}
