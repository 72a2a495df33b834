//! A volume's records, in memory: what is written is there after a crash.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use raftduck_model::meta::Replica;
use raftduck_model::{ClusterId, GroupId, ReplicaId, StoreId};
use serde::{Deserialize, Serialize};

use crate::check::Check;

/// Nothing fails here.
pub type VolumeError = io::Error;

/// As the worker's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Membership {
    pub cluster: ClusterId,
    pub level: u32,
    pub meta: Vec<Replica>,
    pub seeds: Vec<(StoreId, String)>,
}

/// As the worker's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Replicas {
    pub replicas: BTreeMap<GroupId, ReplicaId>,
}

/// As the worker's.
#[derive(Clone)]
pub struct Records {
    store: StoreId,
    check: Arc<Check>,
    folder: PathBuf,
    replicas: Arc<Mutex<Option<Replicas>>>,
}

impl Records {
    /// Those of an empty volume; what is no record is in files below `folder`.
    pub fn new(store: StoreId, check: Arc<Check>, folder: PathBuf) -> Self {
        Self { store, check, folder, replicas: Arc::default() }
    }

    pub fn subfolder(&self, name: &str) -> Result<PathBuf, VolumeError> {
        let path = self.folder.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    pub fn update_membership(&self, _: &Membership) -> Result<(), VolumeError> {
        Ok(())
    }

    pub fn replicas(&self) -> Result<Option<Replicas>, VolumeError> {
        Ok(self.replicas.lock().clone())
    }

    pub fn set_replicas(&self, replicas: &Replicas) -> Result<(), VolumeError> {
        let before = self.replicas.lock().replace(replicas.clone()).unwrap_or_default();
        let gone = before.replicas.into_iter().filter(|(group, replica)| replicas.replicas.get(group) != Some(replica));
        gone.for_each(|(group, replica)| self.check.removed(self.store, group, replica));
        Ok(())
    }
}

/// The process may crash, the file system does not: nothing needs a sync.
pub fn replace_file(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    std::fs::write(folder.join(name), content)
}
