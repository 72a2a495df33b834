//! What stands in for DuckDB: rows, keys and applied indexes in memory, durable as of the last checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use raftduck_consensus::machine::Payload;
use raftduck_model::{
    Command, CommandBody, GroupId, KeyDigest, LogId, LogTime, Part, PartitionId, SchemaVersion, StoreId, TableId,
    limits,
};
use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::check::Check;

/// One store's rows, of all partitions; clones share them.
#[derive(Clone)]
pub struct Rows {
    store: StoreId,
    check: Arc<Check>,
    images: Arc<Mutex<Images>>,
    /// Below it is a folder for every snapshot.
    folder: PathBuf,
    chance: Chance,
}

#[derive(Default)]
struct Images {
    now: BTreeMap<PartitionId, Partition>,
    /// As of the last checkpoint: what a crash leaves.
    durable: BTreeMap<PartitionId, Partition>,
}

/// One partition's rows.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Partition {
    pub last: Option<LogId>,
    pub membership: Vec<u8>,
    pub time: LogTime,
    /// Every row, and the entry that wrote it.
    pub rows: BTreeMap<u64, u64>,
    keys: BTreeMap<u64, Key>,
    named: BTreeSet<(TableId, SchemaVersion)>,
}

/// A key that was written.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Key {
    /// As [`raftduck_model::BodyDigest`].
    pub body: u64,
    pub index: u64,
    time: LogTime,
}

impl Partition {
    /// What was written under a key, if it is remembered.
    pub fn key(&self, key: KeyDigest) -> Option<Key> {
        let age = limits::KEY_AGE.as_micros() as u64;
        let found = self.keys.get(&(key.0 as u64)).copied();
        found.filter(|found| found.time.0.saturating_add(age) >= self.time.0)
    }

    pub fn knows(&self, table: TableId, version: SchemaVersion) -> bool {
        self.named.contains(&(table, version))
    }

    /// All rows, as one number.
    fn digest(&self) -> u64 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        let mut add = |number: u64| hash.update(&number.to_le_bytes());
        for (row, index) in &self.rows {
            add(*row);
            add(*index);
        }
        hash.digest()
    }

    fn append(&mut self, part: &Part, index: u64, store: StoreId, check: &Check) {
        if self.key(part.key).is_some() {
            // The leader looks every key up, so that no entry carries one twice.
            check.fail(format!("2: {store}: entry {index} carries a key that was written before"));
            return;
        }
        self.keys.insert(part.key.0 as u64, Key { body: part.body.0, index, time: self.time });
        for row in part.data.chunks_exact(8) {
            let row = u64::from_le_bytes(row.try_into().unwrap_or_default());
            if let Some(before) = self.rows.insert(row, index) {
                check.fail(format!("2: {store}: row {row} is written by entry {before} and again by entry {index}"));
            }
        }
    }
}

/// A partition, as the log's keeper asks for it.
pub struct View {
    checkpointed: Option<LogId>,
}

impl View {
    /// Up to where the partition is in a finished checkpoint.
    pub fn checkpointed(&self) -> Option<LogId> {
        self.checkpointed
    }
}

impl Rows {
    /// An empty store's.
    pub fn new(store: StoreId, check: Arc<Check>, folder: PathBuf, chance: Chance) -> Self {
        Self { store, check, images: Arc::default(), folder, chance }
    }

    /// How long something takes: at most so long.
    pub fn pause(&self, at_most: Duration) -> Duration {
        self.chance.up_to(at_most)
    }

    /// A folder for a snapshot's files.
    pub fn new_folder(&self) -> io::Result<PathBuf> {
        let folder = self.folder.join(format!("outgoing-{:016x}", self.chance.number()));
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// An entry is applied here: the same one as everywhere.
    pub fn applied(&self, group: GroupId, id: LogId, payload: &Payload) {
        let (kind, bytes): (u64, &[u8]) = match payload {
            Payload::Blank => (0, &[]),
            Payload::Command(bytes) => (1, bytes),
            Payload::Membership(bytes) => (2, bytes),
        };
        self.check.applied(self.store, group, id, xxhash_rust::xxh3::xxh3_64_with_seed(bytes, kind));
    }

    /// Takes in the next command of the log.
    pub fn command(&self, state: &mut Partition, index: u64, bytes: Bytes) -> io::Result<()> {
        let command = Command::decode(bytes).map_err(io::Error::other)?;
        state.time = command.time;
        match command.body {
            CommandBody::Append(append) => {
                if !state.knows(append.table, append.version) {
                    let store = self.store;
                    self.check.fail(format!("{store}: entry {index} has rows of a version that the log has not named"));
                }
                append.parts.iter().for_each(|part| state.append(part, index, self.store, &self.check));
            }
            CommandBody::SetSchema(table) => {
                state.named.insert((table.id, table.version));
            }
            CommandBody::DropTable(_) => {}
        }
        Ok(())
    }

    /// As the engine's.
    pub fn partitions(&self) -> BTreeMap<PartitionId, ()> {
        self.images.lock().now.keys().map(|partition| (*partition, ())).collect()
    }

    /// As the engine's.
    pub fn partition(&self, partition: PartitionId) -> View {
        View { checkpointed: self.images.lock().durable.get(&partition).and_then(|found| found.last) }
    }

    /// Deletes a partition for good.
    #[allow(clippy::unused_async)] // As the engine's.
    pub async fn remove(&self, partition: PartitionId) -> io::Result<()> {
        let mut images = self.images.lock();
        images.now.remove(&partition);
        images.durable = images.now.clone();
        Ok(())
    }

    /// Changes a partition; `after` says what the state is afterwards, to whoever compares.
    pub fn change<T>(
        &self,
        partition: PartitionId,
        change: impl FnOnce(&mut Partition) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut images = self.images.lock();
        let state = images.now.entry(partition).or_default();
        let changed = change(state)?;
        if let Some(last) = state.last {
            self.check.state(self.store, partition, last, state.digest());
        }
        Ok(changed)
    }

    /// Looks at a partition; an empty one where there is none.
    pub fn look<T>(&self, partition: PartitionId, look: impl FnOnce(&Partition) -> T) -> T {
        match self.images.lock().now.get(&partition) {
            Some(found) => look(found),
            None => look(&Partition::default()),
        }
    }

    /// A partition as it would be after a crash.
    pub fn durable_last(&self, partition: PartitionId) -> Option<LogId> {
        self.images.lock().durable.get(&partition)?.last
    }

    /// Makes everything durable that is applied.
    pub fn checkpoint(&self) {
        let mut images = self.images.lock();
        images.durable = images.now.clone();
    }

    /// Loses what no checkpoint holds.
    pub fn crash(&self) {
        let mut images = self.images.lock();
        images.now = images.durable.clone();
    }

    /// Loses the keys, as a build would that does not write them down.
    pub fn forget_keys(&self) {
        let mut images = self.images.lock();
        images.now.values_mut().for_each(|partition| partition.keys.clear());
        images.durable = images.now.clone();
    }
}
