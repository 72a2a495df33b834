//! A disk in memory that fails the way disks do, for tests of the log and of what stands on it.
//!
//! Writes are visible at once and durable after a sync, sector by sector; a crash keeps any
//! subset of the sectors that were not synced. After a failed sync the bytes stay visible, count
//! as clean, and a crash may lose them: what Linux does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile};
use crate::format::sectors::SECTOR;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemDisk(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    files: BTreeMap<PathBuf, Content>,
    /// The files as of the last sync of their folder.
    durable: BTreeMap<PathBuf, Content>,
    capacity: u64,
    locked: BTreeSet<PathBuf>,
    writes: u64,
    syncs: u64,
    fail_write: Option<u64>,
    fail_sync: Option<u64>,
}

type Content = Arc<Mutex<FileContent>>;

#[derive(Debug, Default)]
struct FileContent {
    visible: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<u64>,
    /// A sync of these failed: they count as clean, and may or may not be on the device.
    doubtful: BTreeSet<u64>,
}

#[derive(Debug)]
struct MemFile {
    disk: MemDisk,
    content: Content,
}

struct MemLock(MemDisk, PathBuf);

impl Drop for MemLock {
    fn drop(&mut self) {
        self.0.0.lock().locked.remove(&self.1);
    }
}

impl Default for MemDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemDisk {
    /// An empty disk without a limit.
    pub fn new() -> Self {
        Self::with(BTreeMap::new(), u64::MAX)
    }

    fn with(files: BTreeMap<PathBuf, Content>, capacity: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            durable: files.clone(),
            files,
            capacity,
            locked: BTreeSet::new(),
            writes: 0,
            syncs: 0,
            fail_write: None,
            fail_sync: None,
        })))
    }

    /// Bounds the sum of all files' lengths, for files to be made from now on.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.lock().capacity = bytes;
    }

    /// Makes the `nth` write from now (0 is the next) fail half-way, and every later one.
    pub fn fail_write(&self, nth: u64) {
        let mut inner = self.0.lock();
        inner.fail_write = Some(inner.writes + nth);
    }

    /// Makes the `nth` sync of a file from now (0 is the next) fail; later ones succeed, as if
    /// nothing had happened.
    pub fn fail_sync(&self, nth: u64) {
        let mut inner = self.0.lock();
        inner.fail_sync = Some(inner.syncs + nth);
    }

    /// Writes to files so far.
    pub fn writes(&self) -> u64 {
        self.0.lock().writes
    }

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// What the disk holds after a power cut: all that was synced, and of the rest whatever
    /// `keep` says, asked for each sector and each file that was made or removed. Nobody holds
    /// a lock on the result; this disk stays as it is.
    pub fn crash(&self, mut keep: impl FnMut() -> bool) -> MemDisk {
        let inner = self.0.lock();
        let mut files = BTreeMap::new();
        let paths: BTreeSet<&PathBuf> = inner.files.keys().chain(inner.durable.keys()).collect();
        for path in paths {
            let (visible, durable) = (inner.files.get(path), inner.durable.get(path));
            let survivor = match (visible, durable) {
                (Some(a), Some(b)) if Arc::ptr_eq(a, b) => Some(a),
                (a, b) => {
                    if keep() {
                        a
                    } else {
                        b
                    }
                }
            };
            if let Some(content) = survivor {
                files.insert(path.clone(), Arc::new(Mutex::new(content.lock().crash(&mut keep))));
            }
        }
        Self::with(files, inner.capacity)
    }

    /// A disk with the same visible files, all of them durable.
    pub fn copy(&self) -> MemDisk {
        let inner = self.0.lock();
        let copy = |content: &Content| {
            let visible = content.lock().visible.clone();
            Arc::new(Mutex::new(FileContent { durable: visible.clone(), visible, ..FileContent::default() }))
        };
        let files = inner.files.iter().map(|(path, content)| (path.clone(), copy(content))).collect();
        Self::with(files, inner.capacity)
    }

    /// The files' paths.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().files.keys().cloned().collect()
    }

    /// What a file reads as; empty if there is none.
    pub fn contents(&self, path: &Path) -> Vec<u8> {
        self.0.lock().files.get(path).map(|content| content.lock().visible.clone()).unwrap_or_default()
    }

    /// Puts a file there, durably, whatever the capacity.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let content = FileContent { visible: bytes.clone(), durable: bytes, ..FileContent::default() };
        let content = Arc::new(Mutex::new(content));
        let mut inner = self.0.lock();
        inner.files.insert(path.to_owned(), content.clone());
        inner.durable.insert(path.to_owned(), content);
    }
}

impl FileContent {
    fn crash(&self, keep: &mut impl FnMut() -> bool) -> FileContent {
        let mut bytes = self.durable.clone();
        for sector in self.dirty.union(&self.doubtful) {
            if keep() {
                let from = (sector * SECTOR) as usize;
                let to = (from + SECTOR as usize).min(self.visible.len());
                if let (Some(new), Some(old)) = (self.visible.get(from..to), bytes.get_mut(from..to)) {
                    old.copy_from_slice(new);
                }
            }
        }
        FileContent { visible: bytes.clone(), durable: bytes, ..Self::default() }
    }
}

impl Disk for MemDisk {
    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, folder: &Path) -> io::Result<Box<dyn Send>> {
        match self.0.lock().locked.insert(folder.to_owned()) {
            true => Ok(Box::new(MemLock(self.clone(), folder.to_owned()))),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inner = self.0.lock();
        let inside = inner.files.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.0.lock();
        if inner.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let used: u64 = inner.files.values().map(|content| content.lock().visible.len() as u64).sum();
        if used.saturating_add(bytes) > inner.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let zeros = vec![0; bytes as usize];
        let content = FileContent { visible: zeros.clone(), durable: zeros, ..FileContent::default() };
        let content = Arc::new(Mutex::new(content));
        inner.files.insert(path.to_owned(), content.clone());
        Ok(Arc::new(MemFile { disk: self.clone(), content }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let content = self.0.lock().files.get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemFile { disk: self.clone(), content }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().files.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        let inner = &mut *inner;
        inner.durable.retain(|path, _| path.parent() != Some(folder));
        let inside = inner.files.iter().filter(|(path, _)| path.parent() == Some(folder));
        inner.durable.extend(inside.map(|(path, content)| (path.clone(), content.clone())));
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let inner = self.0.lock();
        let used: u64 = inner.files.values().map(|content| content.lock().visible.len() as u64).sum();
        Ok(inner.capacity.saturating_sub(used))
    }
}

impl DiskFile for MemFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.content.lock().visible.len() as u64)
    }

    fn write(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut inner = self.disk.0.lock();
        let failing = inner.fail_write.is_some_and(|at| inner.writes >= at);
        inner.writes += 1;
        if failing {
            bytes.truncate(bytes.len() / 2);
        }
        let mut content = self.content.lock();
        let range = offset as usize..offset as usize + bytes.len();
        content.visible.get_mut(range).ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(&bytes);
        if !bytes.is_empty() {
            content.dirty.extend(offset / SECTOR..=(offset + bytes.len() as u64 - 1) / SECTOR);
        }
        if failing { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let content = self.content.lock();
        let bytes = content.visible.get(offset as usize..offset as usize + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.0.lock();
        let failing = inner.fail_sync == Some(inner.syncs);
        inner.syncs += 1;
        let mut content = self.content.lock();
        let content = &mut *content;
        let dirty = std::mem::take(&mut content.dirty);
        if failing {
            content.doubtful.extend(dirty);
            return Err(io::Error::other("the device reports an error"));
        }
        for sector in dirty {
            content.doubtful.remove(&sector);
            let from = (sector * SECTOR) as usize;
            let to = (from + SECTOR as usize).min(content.visible.len());
            if let (Some(new), Some(old)) = (content.visible.get(from..to), content.durable.get_mut(from..to)) {
                old.copy_from_slice(new);
            }
        }
        Ok(())
    }
}
