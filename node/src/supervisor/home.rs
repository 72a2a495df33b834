//! A local cluster's folder: its identity, its secret, its volumes and its children's logs.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `cluster.json`: what must be the same at every start.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    version: u32,
    cluster: Uuid,
    /// Those that made the cluster.
    workers: u16,
    base_port: u16,
    /// Those that joined it later.
    #[serde(default)]
    joined: u16,
}

const VERSION: u32 = 1;

/// The folder, locked for as long as this lives.
pub struct Home {
    folder: PathBuf,
    /// The cluster's UUID, made at the first start.
    pub cluster: Uuid,
    /// Whether this is the first start.
    pub new: bool,
    /// How many workers made the cluster; the others join it.
    pub first_workers: u16,
    _lock: File,
}

impl Home {
    /// The folder's cluster, or a new one where it is empty. One with fewer workers grows.
    ///
    /// # Errors
    /// Where another process uses the folder, or its cluster has more workers or other ports: the stores know each
    /// other by their addresses, and a removed worker's rows would be missed.
    pub fn open(folder: &Path, workers: u16, base_port: u16) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let folder = std::path::absolute(folder)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("{} is in use by another raftduck: stop it, or pass another --data", folder.display())
            }
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the data folder"),
        }
        let path = folder.join("cluster.json");
        let found = match std::fs::read(&path) {
            Ok(bytes) => Some(serde_json::from_slice::<Identity>(&bytes).with_context(|| path.display().to_string())?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let new = found.is_none();
        let made = Identity { version: VERSION, cluster: Uuid::new_v4(), workers, base_port, joined: 0 };
        let mut identity = found.unwrap_or(made);
        if identity.version != VERSION {
            bail!("{} has version {}, this raftduck knows {VERSION}", path.display(), identity.version);
        }
        let has = identity.workers.saturating_add(identity.joined);
        let place = folder.display();
        if base_port != identity.base_port {
            bail!("the cluster in {place} has --base-port {}: pass that, or another --data", identity.base_port);
        }
        if workers < has {
            bail!("the cluster in {place} has --workers {has}: pass that or more, or another --data");
        }
        let grows = workers > has;
        identity.joined = workers - identity.workers;
        let first_workers = identity.workers;
        let home = Self { folder, cluster: identity.cluster, new, first_workers, _lock: lock };
        if !home.token_file().exists() {
            write_whole(&home.token_file(), format!("{}\n", Uuid::new_v4().simple()).as_bytes())?;
        }
        if new || grows {
            write_whole(&path, &serde_json::to_vec_pretty(&identity)?)?;
        }
        Ok(home)
    }

    /// Where everything is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Worker `number`'s volume.
    pub fn volume(&self, number: u16) -> PathBuf {
        self.folder.join(format!("store-{number}"))
    }

    /// The log of the child `name`.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// The file of the secret that the children share, made at the first start.
    pub fn token_file(&self) -> PathBuf {
        self.folder.join("cluster-token")
    }

    /// The secret itself.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn cluster_token(&self) -> anyhow::Result<String> {
        let text = std::fs::read_to_string(self.token_file()).context("cannot read the cluster token")?;
        Ok(text.trim().to_owned())
    }
}

/// The default folder of `raftduck dev`.
///
/// # Errors
/// Where the user has no home.
pub fn default_folder() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    Ok(data.context("neither XDG_DATA_HOME nor HOME is set: pass --data DIR")?.join("raftduck/dev"))
}

/// A file that is whole or absent after a crash, and that only its owner can read.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let beside = path.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_finds_the_same_cluster_and_secret() {
        let folder = tempfile::tempdir().unwrap();
        let first = Home::open(folder.path(), 3, 8080).unwrap();
        assert!(first.new);
        let (cluster, token) = (first.cluster, first.cluster_token().unwrap());
        drop(first);
        let second = Home::open(folder.path(), 3, 8080).unwrap();
        assert!(!second.new);
        assert_eq!((second.cluster, second.cluster_token().unwrap()), (cluster, token));
    }

    #[test]
    fn a_cluster_grows_and_does_not_shrink() {
        let folder = tempfile::tempdir().unwrap();
        for workers in [3, 3, 5, 5] {
            let home = Home::open(folder.path(), workers, 8080).unwrap();
            assert_eq!(home.first_workers, 3);
        }
        let error = Home::open(folder.path(), 4, 8080).err().unwrap().to_string();
        assert!(error.contains("--workers 5"), "{error}");
    }

    #[test]
    fn a_folder_in_use_and_another_shape_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = Home::open(folder.path(), 3, 8080).unwrap();
        assert!(Home::open(folder.path(), 3, 8080).err().unwrap().to_string().contains("in use"));
        drop(first);
        let error = Home::open(folder.path(), 2, 8080).err().unwrap().to_string();
        assert!(error.contains("--workers 3"), "{error}");
    }
}
