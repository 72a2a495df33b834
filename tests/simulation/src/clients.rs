//! Those who use the cluster: writers that repeat themselves until they have an answer, readers, and an
//! operator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use raftduck_model::meta::{LEVEL, Meta, MetaCommand, StoreInfo};
use raftduck_model::{Column, PartitionId, StoreId};
use raftduck_wire::proto::store::query_frame::Frame;
use raftduck_wire::proto::store::{AppendRequest, PartitionBound, QueryRequest, RowsPart, part_outcome, refused};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::chance::Chance;
use crate::check::Check;
use crate::directory::Directory;
use crate::metaclient;
use crate::seat::{cluster, credential};
use crate::volume::Membership;

/// How long control waits for a store.
const ATTEMPT: Duration = Duration::from_millis(250);
const READ: Duration = Duration::from_millis(1000);
/// Between two writes of one writer.
const PAUSE: Duration = Duration::from_millis(60);
const WRITERS: u64 = 5;
const READERS: u64 = 3;
/// The only table there is.
const TABLE: u32 = 1;

/// All clients; they run on one host.
pub struct Clients {
    check: Arc<Check>,
    chance: Chance,
    directory: Directory,
    stores: Vec<StoreId>,
    partitions: u32,
    /// No writes are begun any more, and no stores drained.
    pub finishing: AtomicBool,
    /// Writes that were begun and not answered.
    pub open: AtomicUsize,
    next: AtomicU64,
}

/// One request.
#[derive(Clone)]
struct Write {
    partition: u32,
    key: u64,
    rows: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Written(u64),
    KeyReused,
    /// Nobody waits for it any more.
    None,
}

impl Clients {
    pub fn new(seed: u64, membership: &Membership, partitions: u32, check: Arc<Check>) -> Self {
        // They know where the stores are, and nothing else.
        let (_, meta) = watch::channel(Arc::new(Meta::default()));
        Self {
            check,
            chance: Chance::new(seed, 1),
            directory: Directory::new(meta, membership.seeds.iter().cloned(), credential()),
            stores: membership.seeds.iter().map(|(store, _)| *store).collect(),
            partitions,
            finishing: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            next: AtomicU64::new(1),
        }
    }

    /// Makes the cluster of the first stores, then lets everybody begin.
    ///
    /// # Errors
    /// Where the cluster refuses to be made.
    pub async fn run(self: Arc<Self>, membership: Membership, partitions: u32) -> anyhow::Result<()> {
        let first = membership.meta.iter().map(|replica| replica.store);
        let address =
            |store: StoreId| membership.seeds.iter().find(|(seed, _)| *seed == store).map(|(_, at)| at.clone());
        let info = |store| (store, StoreInfo { address: address(store).unwrap_or_default(), level: LEVEL });
        self.command(&MetaCommand::Bootstrap {
            cluster: cluster(),
            stores: first.map(info).collect(),
            replicas: membership.meta.clone(),
            partitions,
            replication: 3,
        })
        .await?;
        let column = Column { name: "row".into(), kind: "BIGINT".parse()?, nullable: false, default: None };
        let (name, columns) = ("rows".to_owned(), vec![column]);
        self.command(&MetaCommand::CreateTable { name, columns, key: 0, if_not_exists: true }).await?;
        for _ in 0..WRITERS {
            tokio::spawn(self.clone().write());
        }
        for _ in 0..READERS {
            tokio::spawn(self.clone().read());
        }
        tokio::spawn(self.clone().operate());
        std::future::pending().await
    }

    async fn command(&self, command: &MetaCommand) -> anyhow::Result<()> {
        loop {
            let outcome = metaclient::send(&self.directory, command, Instant::now() + READ).await;
            if let Ok(outcome) = outcome {
                return outcome.map(drop).map_err(Into::into);
            }
        }
    }

    fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::Relaxed)
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn anyone(&self) -> StoreId {
        self.stores[self.chance.below(self.stores.len())]
    }

    async fn write(self: Arc<Self>) {
        while !self.is_finishing() {
            sleep(self.chance.up_to(PAUSE)).await;
            let rows = (0..=self.chance.below(3)).map(|_| self.number()).collect();
            let partition = 1 + self.chance.below(self.partitions as usize) as u32;
            let write = Write { partition, key: self.number(), rows };
            let patience = if self.chance.percent(10) { 1 } else { usize::MAX };
            let Answer::Written(index) = self.deliver(&write, patience).await else { continue };
            self.check.answered(PartitionId(partition), &write.rows, index, false);
            if self.chance.percent(25) {
                tokio::spawn(self.clone().repeat(write, index));
            }
        }
    }

    /// Sends an answered write again, some time later: the same answer. Then its key with other rows.
    async fn repeat(self: Arc<Self>, write: Write, index: u64) {
        sleep(self.chance.up_to(Duration::from_secs(4))).await;
        let answer = self.deliver(&write, usize::MAX).await;
        self.check.answered(PartitionId(write.partition), &write.rows, index, true);
        if answer != Answer::Written(index) {
            let Write { partition, key, .. } = write;
            self.check
                .fail(format!("2: key {key} of partition {partition} at {index} is answered by {answer:?} again"));
        }
        let other = Write { rows: vec![self.number()], ..write };
        let answer = self.deliver(&other, usize::MAX).await;
        if answer != Answer::KeyReused {
            self.check.fail(format!("2: key {} is taken for other rows: {answer:?}", other.key));
        }
    }

    /// Sends a write until somebody answers it, or `patience` attempts were without an answer.
    async fn deliver(&self, write: &Write, patience: usize) -> Answer {
        self.open.fetch_add(1, Ordering::Relaxed);
        let (mut to, mut silent) = (self.anyone(), 0);
        let answer = loop {
            if silent >= patience {
                break Answer::None;
            }
            match self.attempt(write, to).await {
                Some(part_outcome::Outcome::Written(written)) => break Answer::Written(written.log_index),
                Some(part_outcome::Outcome::NotLeader(hint)) => {
                    to = hint.leader_store.parse().ok().filter(|leader| *leader != to).unwrap_or_else(|| self.anyone());
                }
                Some(part_outcome::Outcome::Refused(refused)) => match refused.code() {
                    refused::Code::KeyReused => break Answer::KeyReused,
                    refused::Code::UnknownOutcome => silent += 1,
                    _ => {}
                },
                None => {
                    silent += 1;
                    to = self.anyone();
                }
            }
            sleep(Duration::from_millis(10) + self.chance.up_to(PAUSE)).await;
        };
        self.open.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    async fn attempt(&self, write: &Write, to: StoreId) -> Option<part_outcome::Outcome> {
        let data: Vec<u8> = write.rows.iter().flat_map(|row| row.to_le_bytes()).collect();
        let part = RowsPart {
            partition: write.partition,
            table: TABLE,
            schema_version: 1,
            key: Bytes::copy_from_slice(&u128::from(write.key).to_le_bytes()),
            body_digest: xxhash_rust::xxh3::xxh3_64(&data),
            rows: write.rows.len() as u32,
            data: data.into(),
        };
        let request = AppendRequest { parts: vec![part], timeout_ms: ATTEMPT.as_millis() as u32 };
        let mut client = self.directory.client(to).ok()?;
        let response = timeout(ATTEMPT, client.append(request)).await.ok()?.ok()?;
        response.into_inner().outcomes.into_iter().next()?.outcome
    }

    /// Reads every partition once, from as many stores as that takes.
    async fn read(self: Arc<Self>) {
        loop {
            sleep(self.chance.up_to(PAUSE)).await;
            let begin = |partition| (partition, self.check.begin_read(PartitionId(partition)));
            let mut left: BTreeMap<u32, usize> = (1..=self.partitions).map(begin).collect();
            for _ in 0..self.stores.len() {
                let store = self.anyone();
                for (partition, rows) in self.ask(store, &left).await.unwrap_or_default() {
                    match left.remove(&partition) {
                        Some(begun) => self.check.end_read(store, PartitionId(partition), begun, &rows),
                        None => self.check.fail(format!("4: {store} answers for partition {partition} unasked")),
                    }
                }
                if left.is_empty() {
                    break;
                }
            }
        }
    }

    /// What a store says of these partitions; only a whole answer counts.
    async fn ask(&self, store: StoreId, partitions: &BTreeMap<u32, usize>) -> Option<Vec<(u32, Vec<u64>)>> {
        let bound = |partition: &u32| PartitionBound { partition: *partition, least_index: 0 };
        let partitions = partitions.keys().map(bound).collect();
        let request = QueryRequest { partitions, timeout_ms: READ.as_millis() as u32, ..QueryRequest::default() };
        let mut client = self.directory.client(store).ok()?;
        let whole = async {
            let mut frames = client.query(request).await.ok()?.into_inner();
            let (mut answered, mut batches) = (Vec::new(), Vec::new());
            while let Some(frame) = frames.message().await.ok()? {
                match frame.frame? {
                    Frame::Start(start) => answered = start.answered,
                    Frame::Batch(batch) => batches.push(batch),
                    Frame::Error(_) => return None,
                    Frame::End(_) => {
                        let rows = |batch: Bytes| {
                            let row = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
                            batch.chunks_exact(8).map(row).collect()
                        };
                        let batches = batches.into_iter().map(rows);
                        return Some(answered.iter().map(|bound| bound.partition).zip(batches).collect());
                    }
                }
            }
            None
        };
        timeout(2 * READ, whole).await.ok()?
    }

    /// Empties a store now and then, and takes it back.
    async fn operate(self: Arc<Self>) {
        let mut draining = None;
        while !self.is_finishing() {
            sleep(self.chance.between(Duration::from_millis(500), Duration::from_secs(3))).await;
            let (store, drain) = match draining.take() {
                Some(store) => (store, false),
                None => (self.anyone(), true),
            };
            draining = drain.then_some(store);
            // Refused where too few stores would be left, and where this one has not registered yet.
            let _ = self.command(&MetaCommand::DrainStore { store, draining: drain }).await;
        }
        if let Some(store) = draining.filter(|_| self.chance.percent(50)) {
            let _ = self.command(&MetaCommand::DrainStore { store, draining: false }).await;
        }
    }
}
