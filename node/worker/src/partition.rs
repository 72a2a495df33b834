//! A partition's state machine: the store's rows, seen as consensus and a leadership want them.

use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use raftduck_consensus::machine::{AppliedState, Committed, Payload, Snapshot, StateMachine};
use raftduck_engine::{ApplyBatch, EngineEntry, EntryKind, Store, StoreOptions};
use raftduck_model::{KeyDigest, LogTime, PartitionId, SchemaVersion, TableId};
use tokio_util::sync::CancellationToken;

use crate::config::WorkerConfig;
use crate::leadership::{Applied, AppliedKey};

/// One partition of the store.
pub struct PartitionMachine {
    engine: Store,
    partition: PartitionId,
}

impl PartitionMachine {
    /// The partition of this number.
    pub fn new(engine: Store, partition: PartitionId) -> Self {
        Self { engine, partition }
    }

    /// The tables that its log has named and not dropped.
    pub fn tables(&self) -> Vec<TableId> {
        self.engine.tables(self.partition)
    }
}

/// The engine's share of what the worker was given. A store that halts ends the process: what it
/// holds in memory is worth nothing then, and the log has everything.
pub fn engine_options(config: &WorkerConfig, spill: std::path::PathBuf, stop: &CancellationToken) -> StoreOptions {
    let stop = stop.clone();
    let mut options =
        StoreOptions::new(config.memory_bytes, config.threads, spill, Arc::new(move |_: &str| stop.cancel()));
    options.spill_bytes = config.spill_bytes;
    options
}

impl StateMachine for PartitionMachine {
    fn applied(&self) -> BoxFuture<'_, io::Result<AppliedState>> {
        let applied = self.engine.partition(self.partition).applied();
        Box::pin(async move { Ok(AppliedState { last: applied.last, membership: applied.membership }) })
    }

    fn apply(&self, entries: Vec<Committed>) -> BoxFuture<'_, io::Result<()>> {
        let entries = entries.into_iter().map(|entry| EngineEntry {
            id: entry.id,
            kind: match entry.payload {
                Payload::Blank => EntryKind::Blank,
                Payload::Command(bytes) => EntryKind::Command(bytes),
                Payload::Membership(bytes) => EntryKind::Membership(bytes),
            },
            done: entry.done.map(|done| -> raftduck_engine::Done { Box::new(move |outcome| done(outcome.encode())) }),
        });
        let batch = ApplyBatch { partition: self.partition, entries: entries.collect() };
        Box::pin(async move { self.engine.apply(batch).await.map_err(io::Error::other) })
    }

    fn snapshot(&self) -> BoxFuture<'_, io::Result<Snapshot>> {
        Box::pin(async move {
            let manifest = self.engine.export(self.partition).await.map_err(io::Error::other)?;
            Ok(Snapshot::new(manifest.last, manifest.membership, manifest.folder))
        })
    }

    fn install(&self, snapshot: Snapshot) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move { self.engine.install(self.partition, snapshot.folder()).await.map_err(io::Error::other) })
    }
}

impl Applied for PartitionMachine {
    fn key(&self, key: KeyDigest) -> Option<AppliedKey> {
        let found = self.engine.partition(self.partition).key(key)?;
        Some(AppliedKey { body: found.body, index: found.index.0 })
    }

    fn knows(&self, table: TableId, version: SchemaVersion) -> bool {
        self.engine.knows(self.partition, table, version)
    }

    fn time(&self) -> LogTime {
        self.engine.partition(self.partition).applied().time
    }
}
