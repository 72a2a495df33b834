//! What makes a folder a store: its identity, its membership of a cluster, the replicas it holds, and
//! the lock that keeps two processes from opening it at once.
//!
//! The records are small JSON files with a format number, replaced atomically: written beside,
//! synced, renamed over, folder synced. The tests hold their text.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use raftduck_model::meta::Replica;
use raftduck_model::{ClusterId, GroupId, ReplicaId, StoreId};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::recover::Plan;

const FORMAT: u32 = 1;
const LOCK_FILE: &str = "lock";
const STORE_FILE: &str = "store.json";
const CLUSTER_FILE: &str = "cluster.json";
const REPLICAS_FILE: &str = "replicas.json";
/// A plan of `raftduck recover` that was begun; no worker opens the volume before it is done.
const RECOVERY_FILE: &str = "recovery.json";

/// Why a folder cannot serve as a store's volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The file system refused.
    #[error("{action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another worker: give each worker a folder of its own", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A record of ours that cannot be read back.
    #[error("{} is damaged ({reason}): restore it, or set the folder aside and let the store join empty", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data was written by a newer release, and finalised.
    #[error("{} is at level {found}, this build knows {known}: run a newer release", path.display())]
    TooNew {
        /// The record.
        path: PathBuf,
        /// The level found.
        found: u32,
        /// The level this build writes.
        known: u32,
    },
    /// There is no store in the folder.
    #[error("{} holds no store: name the folder that was a worker's --data", path.display())]
    NoStore {
        /// The folder.
        path: PathBuf,
    },
    /// A recovery by hand is half done.
    #[error("recovery {plan} of {} was begun and not finished: `raftduck recover --data {} --apply {plan}`", path.display(), path.display())]
    HalfRecovered {
        /// The folder.
        path: PathBuf,
        /// The plan.
        plan: String,
    },
    /// The volume belongs to another cluster.
    #[error("this volume belongs to cluster {found}, not {asked}: give the worker its own volume, or an empty one")]
    OtherCluster {
        /// The cluster on the volume.
        found: ClusterId,
        /// The one asked for.
        asked: ClusterId,
    },
}

/// Which cluster a store belongs to, and how it finds the others before it knows the map.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Membership {
    /// The cluster.
    pub cluster: ClusterId,
    /// The level of what is on this volume.
    pub level: u32,
    /// The meta group's replicas, when this was written.
    pub meta: Vec<Replica>,
    /// Where stores were when this was written: `host:port` each.
    pub seeds: Vec<(StoreId, String)>,
}

/// Which replica of each group a volume's log and rows are of. Written before the replica's first
/// byte and taken out after its last, so that nobody takes one replica's data for another's.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Replicas {
    /// By group.
    #[serde(with = "pairs")]
    pub replicas: BTreeMap<GroupId, ReplicaId>,
}

/// A map as a list of pairs: JSON's keys are texts, which serde does not read back as numbers from a
/// record that is flattened.
mod pairs {
    use std::collections::BTreeMap;

    use raftduck_model::{GroupId, ReplicaId};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(map: &BTreeMap<GroupId, ReplicaId>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<BTreeMap<GroupId, ReplicaId>, D::Error> {
        Ok(Vec::<(GroupId, ReplicaId)>::deserialize(from)?.into_iter().collect())
    }
}

/// An open store folder; the lock is held until it is dropped.
#[derive(Debug)]
pub struct Volume {
    folder: PathBuf,
    store: StoreId,
    level: u32,
    _lock: File,
}

/// The records of an open store folder, for those that outlive neither the process nor its lock.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Record<T> {
    format: u32,
    #[serde(flatten)]
    content: T,
}

#[derive(Serialize, Deserialize)]
struct StoreRecord {
    store: StoreId,
}

impl Volume {
    /// Opens the folder, and makes it a new store's where it holds none.
    ///
    /// What a release that knows more than `level` has finalised is refused.
    pub fn open(folder: &Path, level: u32) -> Result<Self, VolumeError> {
        fs::create_dir_all(folder).map_err(|source| failed("cannot create", folder, source))?;
        let lock = lock(folder)?;
        let store = match read::<StoreRecord>(&folder.join(STORE_FILE))? {
            Some(record) => record.store,
            None => {
                let store = StoreId(Uuid::now_v7());
                write(folder, STORE_FILE, StoreRecord { store })?;
                store
            }
        };
        let volume = Self { folder: folder.to_owned(), store, level, _lock: lock };
        match volume.records().recovery()? {
            Some(plan) => Err(VolumeError::HalfRecovered { path: folder.to_owned(), plan: plan.id }),
            None => Ok(volume),
        }
    }

    /// Opens a folder that holds a store, for recovery by hand, which may be half done.
    pub fn open_to_recover(folder: &Path, level: u32) -> Result<Self, VolumeError> {
        let none = || VolumeError::NoStore { path: folder.to_owned() };
        let path = folder.join(STORE_FILE);
        if !path.try_exists().map_err(|source| failed("cannot read", &path, source))? {
            return Err(none());
        }
        let lock = lock(folder)?;
        let store = read::<StoreRecord>(&path)?.ok_or_else(none)?.store;
        Ok(Self { folder: folder.to_owned(), store, level, _lock: lock })
    }

    /// Who this store is.
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// The folder's records.
    pub fn records(&self) -> Records {
        Records { folder: self.folder.clone() }
    }

    /// A folder below this one, for one part of the store.
    pub fn subfolder(&self, name: &str) -> Result<PathBuf, VolumeError> {
        self.records().subfolder(name)
    }

    /// The cluster this store belongs to; none for an empty one.
    pub fn membership(&self) -> Result<Option<Membership>, VolumeError> {
        let record: Option<Membership> = read(&self.folder.join(CLUSTER_FILE))?;
        record.iter().try_for_each(|record| self.knows(record))?;
        Ok(record)
    }

    fn knows(&self, membership: &Membership) -> Result<(), VolumeError> {
        match membership.level {
            found if found <= self.level => Ok(()),
            found => Err(VolumeError::TooNew { path: self.folder.join(CLUSTER_FILE), found, known: self.level }),
        }
    }

    /// Moves everything here to `retired-<uuid>/`, and makes this a new, empty store. A crash within
    /// leaves a store of the old identity, for which it is done again.
    pub fn set_aside(&mut self) -> Result<PathBuf, VolumeError> {
        let aside = self.folder.join(format!("retired-{}", self.store));
        fs::create_dir_all(&aside).map_err(|source| failed("cannot create", &aside, source))?;
        let entries = fs::read_dir(&self.folder).map_err(|source| failed("cannot read", &self.folder, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| failed("cannot read", &self.folder, source))?;
            let name = entry.file_name();
            let stays = name == LOCK_FILE || name == STORE_FILE || name.to_string_lossy().starts_with("retired-");
            if !stays {
                fs::rename(entry.path(), aside.join(&name))
                    .map_err(|source| failed("cannot move", &entry.path(), source))?;
            }
        }
        // The identity goes last: it is what says that this is to be done.
        let store = StoreId(Uuid::now_v7());
        write(&self.folder, STORE_FILE, StoreRecord { store })?;
        self.store = store;
        Ok(aside)
    }

    /// Writes down the cluster, once: a second time only the same one is accepted.
    pub fn join(&self, membership: &Membership) -> Result<Membership, VolumeError> {
        self.knows(membership)?;
        match self.membership()? {
            Some(found) if found.cluster == membership.cluster => Ok(found),
            Some(found) => Err(VolumeError::OtherCluster { found: found.cluster, asked: membership.cluster }),
            None => {
                write(&self.folder, CLUSTER_FILE, membership.clone())?;
                Ok(membership.clone())
            }
        }
    }
}

impl Records {
    /// A folder below the store's, for one part of it.
    pub fn subfolder(&self, name: &str) -> Result<PathBuf, VolumeError> {
        let path = self.folder.join(name);
        fs::create_dir_all(&path).map_err(|source| failed("cannot create", &path, source))?;
        Ok(path)
    }

    /// Writes down where the cluster's stores are now.
    pub fn update_membership(&self, membership: &Membership) -> Result<(), VolumeError> {
        write(&self.folder, CLUSTER_FILE, membership.clone())
    }

    /// The replicas whose data is here; none where the volume is from before they were written down.
    pub fn replicas(&self) -> Result<Option<Replicas>, VolumeError> {
        read(&self.folder.join(REPLICAS_FILE))
    }

    /// The recovery by hand that was begun here and not finished.
    pub fn recovery(&self) -> Result<Option<Plan>, VolumeError> {
        read(&self.folder.join(RECOVERY_FILE))
    }

    /// Writes down that a recovery begins: from now on no worker opens the volume.
    pub fn begin_recovery(&self, plan: &Plan) -> Result<(), VolumeError> {
        write(&self.folder, RECOVERY_FILE, plan.clone())
    }

    /// The recovery is done; its record stays beside the others under a name of its own.
    pub fn end_recovery(&self, plan: &Plan) -> Result<(), VolumeError> {
        let path = self.folder.join(RECOVERY_FILE);
        let kept = self.folder.join(format!("recovered-{}.json", plan.id));
        let renamed = fs::rename(&path, kept).and_then(|()| File::open(&self.folder)?.sync_all());
        renamed.map_err(|source| failed("cannot rename", &path, source))
    }

    /// Writes down whose data is here.
    pub fn set_replicas(&self, replicas: &Replicas) -> Result<(), VolumeError> {
        write(&self.folder, REPLICAS_FILE, replicas.clone())
    }
}

/// Keeps every other process off the folder until it is dropped.
fn lock(folder: &Path) -> Result<File, VolumeError> {
    let path = folder.join(LOCK_FILE);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| failed("cannot open", &path, source))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(VolumeError::InUse { path: folder.to_owned() }),
        Err(error) => Err(failed("cannot lock", &path, error.into())),
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> VolumeError {
    VolumeError::Io { action, path: path.to_owned(), source }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, VolumeError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("cannot read", path, source)),
    };
    let damaged = |reason: String| VolumeError::Damaged { path: path.to_owned(), reason };
    let record: Record<T> = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    match record.format {
        FORMAT => Ok(Some(record.content)),
        other => Err(VolumeError::TooNew { path: path.to_owned(), found: other, known: FORMAT }),
    }
}

fn write<T: Serialize>(folder: &Path, name: &str, content: T) -> Result<(), VolumeError> {
    let path = folder.join(name);
    let record = Record { format: FORMAT, content };
    let text = serde_json::to_vec_pretty(&record)
        .map_err(|error| VolumeError::Damaged { path: path.clone(), reason: error.to_string() })?;
    replace_file(folder, name, &text).map_err(|source| failed("cannot write", &path, source))
}

/// Replaces `folder/name` so that a crash at any point leaves the old content or the new.
pub(crate) fn replace_file(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let beside = folder.join(format!("{name}.new"));
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, folder.join(name))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
