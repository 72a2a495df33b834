//! A store: one DuckDB file, its threads, and the handle that everybody holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;
use std::{fs, io};

use parking_lot::Mutex;
use raftduck_model::{PartitionId, SchemaVersion, TableId};
use tokio::sync::{Semaphore, oneshot};

use crate::apply::{Applier, Job};
use crate::catalog::Learned;
use crate::checkpoint::{self, CheckpointError, Checkpoints};
use crate::entry::ApplyBatch;
use crate::instance::Connector;
use crate::nice::{self, Priority};
use crate::opening::{self, FILE, OpenError};
use crate::options::StoreOptions;
use crate::query::{self, QueryError, QuerySpec, QueryStream, Slots};
use crate::running::Running;
use crate::snapshot::export::{self, ExportError, Exported, Exports};
use crate::snapshot::install::{self, InstallError};
use crate::state::{Partition, Partitions};
use crate::stats::{Counters, EngineStats};

/// Where exports lie until they are sent; emptied at opening.
const EXPORTS: &str = "exports";

/// The store has halted or is closed; what was asked for may or may not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store has halted: {0}")]
pub struct StoreHalted(pub String);

/// What all threads of a store share.
pub(crate) struct Shared {
    pub options: StoreOptions,
    pub partitions: Partitions,
    pub learned: Arc<Learned>,
    pub checkpoints: Checkpoints,
    pub running: Arc<Running>,
    pub stats: Counters,
    /// Held by a schema change and by a checkpoint: the one fails where the other is under way.
    pub structure: Arc<Mutex<()>>,
    halted: OnceLock<String>,
}

impl Shared {
    /// Stops the store for good. The first reason counts.
    pub fn halt(&self, reason: &str) {
        if self.halted.set(reason.to_owned()).is_ok() {
            tracing::error!(reason, "the store has halted");
            self.checkpoints.stop();
            (self.options.on_halt)(reason);
        }
    }

    pub fn is_halted(&self) -> bool {
        self.halted.get().is_some()
    }

    pub fn halted(&self) -> StoreHalted {
        StoreHalted(self.halted.get().cloned().unwrap_or_else(|| "it is closed".into()))
    }
}

/// One DuckDB file that all partitions of a worker share. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    folder: PathBuf,
    jobs: mpsc::Sender<Job>,
    queue: Arc<Semaphore>,
    slots: Slots,
    exports: Exports,
    connector: Connector,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Halts the store if the thread that holds it ends by a panic.
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.halt("a thread of the store ended by a panic, which is a bug");
        }
    }
}

impl Store {
    /// Opens the store in `folder`, which is made if it is not there, and starts its threads.
    ///
    /// # Errors
    /// Where the folder or file cannot be used, or is not what a store leaves behind.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let folder = folder.to_path_buf();
        let file = opening::prepare_folder(&folder, &options)?;
        let io = |source| OpenError::Io { path: folder.clone(), source };
        // DuckDB's own threads inherit the priority of the thread that opens the instance; the
        // threads below must not, so they are started from here.
        let opening = options.clone();
        let opened = nice::spawn("engine-open", Priority::Engine, move || opening::open_file(&file, &opening))
            .map_err(io)?
            .join();
        let opened =
            opened.map_err(|_| io(io::Error::other("opening ended by a panic")))?.map_err(OpenError::Engine)?;
        let running = Running::start().map_err(io)?;
        let connector = Connector::new(&opened.connection).map_err(OpenError::Engine)?;
        let checkpointer = connector.connect().map_err(OpenError::Engine)?;

        let queue = Arc::new(Semaphore::new(options.apply_queue_bytes.min(Semaphore::MAX_PERMITS)));
        let slots = Slots::new(&options).map_err(io)?;
        let exports = Exports::new(folder.join(EXPORTS)).map_err(io)?;
        let shared = Arc::new(Shared {
            partitions: Partitions::new(opened.partitions, options.keys_per_partition),
            learned: Arc::clone(&opened.catalog.learned),
            checkpoints: Checkpoints::new(),
            running,
            stats: Counters::default(),
            structure: Arc::default(),
            halted: OnceLock::new(),
            options,
        });
        let (jobs, waiting) = mpsc::channel();
        let applier = Applier::new(opened.connection, opened.catalog, Arc::clone(&shared));
        let guard = Guard(Arc::clone(&shared));
        let start = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(io)
        };
        let apply = start(
            "apply",
            Box::new(move || {
                let _guard = guard;
                applier.run(&waiting);
            }),
        )?;
        let checkpointing = Arc::clone(&shared);
        let checkpoint = start(
            "checkpoint",
            Box::new(move || {
                let _guard = Guard(Arc::clone(&checkpointing));
                checkpoint::run(&checkpointing, &checkpointer);
            }),
        )?;
        let threads = vec![apply, checkpoint];
        let threads = Mutex::new(threads);
        Ok(Self(Arc::new(Inner { shared, folder, jobs, queue, slots, exports, connector, threads })))
    }

    /// The partition's state, which is empty if this store never heard of it.
    pub fn partition(&self, id: PartitionId) -> Partition {
        self.0.shared.partitions.get(id)
    }

    /// Whether the partition's log has named this version of the table.
    pub fn knows(&self, partition: PartitionId, table: TableId, version: SchemaVersion) -> bool {
        self.0.shared.learned.knows(partition, table, version)
    }

    /// The tables that the partition's log has named and not dropped.
    pub fn tables(&self, partition: PartitionId) -> Vec<TableId> {
        self.0.shared.learned.tables(partition)
    }

    /// Every partition of which this store holds anything.
    pub fn partitions(&self) -> BTreeMap<PartitionId, Partition> {
        let held = |(_, partition): &(PartitionId, Partition)| partition.0.applied.borrow().last.is_some();
        self.0.shared.partitions.all().into_iter().filter(held).collect()
    }

    /// Applies committed entries, in log order for each partition; returns when they are applied
    /// and visible. Waits while the queue is full; a batch beyond the queue's size takes all of it.
    ///
    /// # Errors
    /// Where the store has halted; the entries may or may not be applied then.
    pub async fn apply(&self, batch: ApplyBatch) -> Result<(), StoreHalted> {
        let since = Instant::now();
        let bytes = batch.bytes();
        let permits = u32::try_from(bytes.min(self.0.shared.options.apply_queue_bytes)).unwrap_or(u32::MAX);
        let halted = |_| self.0.shared.halted();
        let room = Arc::clone(&self.0.queue).acquire_many_owned(permits).await.map_err(halted)?;
        let (finished, done) = oneshot::channel();
        self.send(Job::Apply { batch, bytes, room, since, finished })?;
        done.await.map_err(|_| self.0.shared.halted())
    }

    pub(crate) fn send(&self, job: Job) -> Result<(), StoreHalted> {
        self.0.jobs.send(job).map_err(|_| self.0.shared.halted())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(crate) fn connector(&self) -> Connector {
        self.0.connector.clone()
    }

    /// Writes a checkpoint that begins after this call, and returns when it has ended.
    ///
    /// # Errors
    /// Where the store halts or closes first.
    pub async fn checkpoint(&self) -> Result<(), CheckpointError> {
        self.0.shared.checkpoints.request().await
    }

    /// Runs one SELECT over the tables named, and returns once its columns are known.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn query(&self, spec: QuerySpec) -> Result<QueryStream, QueryError> {
        query::start(self, &self.0.slots, spec).await
    }

    /// Writes the partition's state, as of its last applied entry or later, to a folder of files.
    /// Applying goes on meanwhile; other exports wait for their turn. Dropping the future gives the
    /// export up.
    ///
    /// # Errors
    /// See [`ExportError`]; nothing is left of it then.
    pub async fn export(&self, partition: PartitionId) -> Result<Exported, ExportError> {
        export::start(self, &self.0.exports, partition).await
    }

    /// Replaces the partition's state by that in a folder that [`Self::export`] made, here or
    /// elsewhere; returns once it would survive a crash. Nothing is applied to any partition while
    /// its rows are written.
    ///
    /// # Errors
    /// See [`InstallError`]; unless the store has halted, nothing has changed then.
    pub async fn install(&self, partition: PartitionId, folder: &Path) -> Result<(), InstallError> {
        let folder = folder.to_path_buf();
        let verified = tokio::task::spawn_blocking(move || install::verify(&folder, partition)).await;
        let snapshot = verified.map_err(|_| self.0.shared.halted())??;
        tracing::debug!(part = %partition, "a snapshot was verified");
        let (finished, done) = oneshot::channel();
        self.send(Job::Install { part: partition, snapshot: Box::new(snapshot), finished })?;
        done.await.map_err(|_| self.0.shared.halted())??;
        tracing::debug!(part = %partition, "a snapshot's rows were written");
        self.checkpoint().await?;
        tracing::debug!(part = %partition, "a snapshot's rows are there for good");
        Ok(())
    }

    /// Removes the partition for good: its rows, keys, membership and position, and the tables that
    /// no other partition here knows. Returns once that would survive a crash. A crash before may
    /// leave all of the partition as a checkpoint held it: whoever meant it to go finds it in
    /// [`Self::partitions`] after opening, and removes it again. One that is not there is gone already.
    ///
    /// Queries and exports that have begun see all of the partition to their end, those that begin
    /// later nothing of it. Nothing is applied to any partition while its rows are deleted. Where a
    /// table was dropped, the checkpoint, and so this call, but nothing else, waits for the queries
    /// and exports that began before. Dropping the future calls nothing back.
    ///
    /// The caller has ended the partition's log first. Entries that wait to be applied when this is
    /// called are applied before. Those that come later are passed over, and nobody hears of them,
    /// until the log begins again with its first entry or a snapshot is installed.
    ///
    /// # Errors
    /// Where the store has halted; the partition is there whole or not at all then.
    pub async fn remove(&self, partition: PartitionId) -> Result<(), StoreHalted> {
        let (finished, done) = oneshot::channel();
        self.send(Job::Remove { part: partition, finished })?;
        done.await.map_err(|_| self.0.shared.halted())?;
        self.checkpoint().await.map_err(|_| self.0.shared.halted())
    }

    /// What the store has counted.
    pub fn stats(&self) -> EngineStats {
        let shared = &self.0.shared;
        let queued = shared.options.apply_queue_bytes.saturating_sub(self.0.queue.available_permits());
        EngineStats {
            queued_bytes: queued as u64,
            unchecked_bytes: shared.checkpoints.unchecked_bytes(),
            running_queries: shared.running.count() as u64,
            file_bytes: fs::metadata(self.0.folder.join(FILE)).map(|file| file.len()).unwrap_or_default(),
            ..shared.stats.read()
        }
    }

    /// Stops the store after what waits is applied and a last checkpoint is written. Waits for
    /// both, so it must not be called from an asynchronous task without `spawn_blocking`.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Inner {
    fn close(&self) {
        self.queue.close();
        self.exports.close();
        self.shared.running.end_all();
        // The apply thread may be gone already; then there is nothing to stop.
        let _ = self.jobs.send(Job::Stop);
        let mut threads = self.threads.lock();
        for thread in threads.drain(..) {
            self.join(thread);
        }
    }

    fn join(&self, thread: JoinHandle<()>) {
        let name = thread.thread().name().unwrap_or_default().to_owned();
        if name.as_str() == "checkpoint" {
            self.shared.checkpoints.stop();
        }
        if thread.join().is_err() {
            tracing::error!(thread = name, "a thread of the store ended by a panic");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
