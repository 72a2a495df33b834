//! Workers in this process, and what a control would do with them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use raftduck_engine::{arrow_schema, batch};
use raftduck_model::meta::{LEVEL, Meta, MetaCommand, MetaReply};
use raftduck_model::{Column, ColumnType, KeyDigest, PartitionId, StoreId, Table};
use raftduck_wire::credential::Credential;
use raftduck_wire::proto::store::{
    AppendRequest, IdentifyRequest, MetaRequest, PartitionBound, QueryRequest, Role, RowsPart, WatchRequest, Written,
    meta_response, part_outcome, query_frame,
};
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

    /// One call to a store's admin endpoints.
    pub async fn admin(&self, store: usize, method: reqwest::Method, path: &str) -> (u16, String) {
        self.admin_with(store, method, path, None).await
    }

    /// The same, with a JSON body.
    pub async fn admin_with(
        &self,
        store: usize,
        method: reqwest::Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> (u16, String) {
        let (status, _, text) = self.call(store, method, path, body, true).await;
        (status, text)
    }

    /// The same, with the cluster's token or without: the status, the content type, the text.
    pub async fn call(
        &self,
        store: usize,
        method: reqwest::Method,
        path: &str,
        body: Option<serde_json::Value>,
        token: bool,
    ) -> (u16, String, String) {
        let url = format!("http://{}/admin/v1/{path}", self.0[store].address);
        let client = reqwest::Client::new();
        let send = async || {
            let mut request = client.request(method.clone(), &url);
            if token {
                request = request.bearer_auth(TOKEN);
            }
            body.iter().fold(request, |request, body| request.json(body)).send().await
        };
        let response = eventually(send).await;
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        (response.status().as_u16(), kind.unwrap_or_default(), response.text().await.unwrap())
    }

    /// Waits until a store would be permitted to restart: a new leader has not heard of every follower yet.
    pub async fn wait_permit(&self, through: usize, store: usize) {
        let path = format!("stores/{}/restart-permit", self.id(store).await);
        eventually(async || match self.admin(through, reqwest::Method::POST, &path).await {
            (204, _) => Ok(()),
            (_, text) => Err(text),
        })
        .await;
        assert_eq!(self.admin(through, reqwest::Method::DELETE, &path).await.0, 204);
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
    pub async fn log_length(&self, store: usize, group: u32) -> u64 {
        let url = format!("http://{}/metrics", self.0[store].address);
        let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
        let line = format!("raft_log_length{{group=\"{group}\"}} ");
        let value = text.lines().find_map(|found| found.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("no {line}in {text}")).parse().unwrap()
    }

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

    /// A table of one BIGINT column that is NOT NULL.
    pub async fn create_table(&self, name: &str) -> Arc<Table> {
        let columns = vec![Column { name: "v".into(), kind: ColumnType::BigInt, nullable: false, default: None }];
        let command = MetaCommand::CreateTable { name: name.into(), columns, key: 0, if_not_exists: true };
        let command: Bytes = serde_json::to_vec(&command).unwrap().into();
        let ask_all = async || {
            for store in 0..self.0.len() {
                let Ok(response) = self.client(store).meta(MetaRequest { command: command.clone() }).await else {
                    continue;
                };
                if let Some(meta_response::Outcome::Reply(reply)) = response.into_inner().outcome {
                    return Ok(reply);
                }
            }
            Err("no meta leader")
        };
        let reply = eventually(ask_all).await;
        let MetaReply::Table { table } = serde_json::from_slice(&reply).unwrap() else { panic!("{reply:?}") };
        Arc::new(table)
    }

    pub fn part(&self, table: &Table, partition: PartitionId, key: KeyDigest, values: &[i64]) -> RowsPart {
        let values: Vec<Option<i64>> = values.iter().copied().map(Some).collect();
        RowsPart {
            partition: partition.0,
            table: table.id.0,
            schema_version: table.version.0,
            key: key.0.to_le_bytes().to_vec().into(),
            body_digest: 1,
            rows: values.len() as u32,
            data: rows(table, &values),
        }
    }

    /// Sends one part to one store, once.
    pub async fn try_send(&self, store: usize, part: RowsPart, wait: Duration) -> part_outcome::Outcome {
        let request = AppendRequest { parts: vec![part], timeout_ms: wait.as_millis() as u32 };
        let response = self.client(store).append(request).await.unwrap().into_inner();
        response.outcomes.into_iter().next().unwrap().outcome.unwrap()
    }

    /// Sends one part to whoever leads its partition, again and again with the same key, until it
    /// is written or refused for a reason of its own.
    pub async fn send(&self, part: RowsPart) -> part_outcome::Outcome {
        eventually(async || {
            for store in (0..self.0.len()).filter(|store| self.0[*store].running.is_some()) {
                let outcome = self.try_send(store, part.clone(), Duration::from_secs(1)).await;
                let again = match &outcome {
                    part_outcome::Outcome::NotLeader(_) => true,
                    part_outcome::Outcome::Refused(refusal) => {
                        use raftduck_wire::proto::store::refused::Code;
                        matches!(refusal.code(), Code::UnknownOutcome | Code::SchemaBehind | Code::Busy)
                    }
                    part_outcome::Outcome::Written(_) => false,
                };
                if !again {
                    return Ok(outcome);
                }
            }
            Err("nobody takes the rows")
        })
        .await
    }

    pub async fn append(&self, table: &Table, partition: PartitionId, key: KeyDigest, values: &[i64]) -> Written {
        match self.send(self.part(table, partition, key, values)).await {
            part_outcome::Outcome::Written(written) => written,
            other => panic!("{other:?}"),
        }
    }

    /// `count(*)` and `sum(v)` over all partitions, asked of one store.
    pub async fn count_and_sum(&self, store: usize, table: &Table) -> (i64, i64) {
        let partitions = (1..=self.partitions().await).map(PartitionId);
        self.ask_of(store, table, partitions).await
    }

    /// `count(*)` of one partition, asked of one store.
    pub async fn count_of(&self, store: usize, table: &Table, partition: PartitionId) -> i64 {
        self.ask_of(store, table, [partition]).await.0
    }

    async fn ask_of(
        &self,
        store: usize,
        table: &Table,
        partitions: impl IntoIterator<Item = PartitionId>,
    ) -> (i64, i64) {
        let request = QueryRequest {
            sql: format!("SELECT count(*), coalesce(sum(v), 0)::BIGINT FROM {}", table.name),
            tables: vec![serde_json::to_vec(table).unwrap().into()],
            partitions: partitions.into_iter().map(|id| PartitionBound { partition: id.0, least_index: 0 }).collect(),
            timeout_ms: 10_000,
            ..QueryRequest::default()
        };
        eventually(async || self.ask(store, request.clone()).await.ok_or(format!("store {store} does not answer")))
            .await
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

    async fn ask(&self, store: usize, request: QueryRequest) -> Option<(i64, i64)> {
        let mut frames = self.client(store).query(request).await.ok()?.into_inner();
        let (mut schema, mut answer) = (None, None);
        while let Some(frame) = frames.message().await.ok()? {
            match frame.frame? {
                query_frame::Frame::Start(start) => schema = Some(batch::decode_schema(&start.schema).unwrap()),
                query_frame::Frame::Batch(bytes) => {
                    let batch = batch::decode(bytes, schema.as_ref()?).unwrap();
                    let value = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(0);
                    answer = Some((value(0), value(1)));
                }
                query_frame::Frame::End(_) => return answer,
                query_frame::Frame::Error(_) => return None,
            }
        }
        None
    }
}

/// The bytes of rows of the table that [`Workers::create_table`] makes.
pub fn rows(table: &Table, values: &[Option<i64>]) -> Bytes {
    let schema = arrow_schema::of_table(table);
    let fields = schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap();
    batch::encode(&batch).unwrap()
}

pub fn key(partition: u32, number: u32) -> KeyDigest {
    KeyDigest(u128::from(partition) << 64 | u128::from(number))
}
