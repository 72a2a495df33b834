//! What the log asks of a disk. [`RealDisk`] is one; tests have one that loses what was not
//! synced (see [`crate::testing`]).

mod real;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub use real::RealDisk;

/// Folders and files.
pub trait Disk: Send + Sync + Debug + 'static {
    /// Makes the folder and those above it, if it is not there.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Keeps every other process out of the folder until the result is dropped;
    /// [`io::ErrorKind::WouldBlock`] if another has it.
    fn lock(&self, folder: &Path) -> io::Result<Box<dyn Send>>;
    /// The names of the folder's files.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Makes a file of this length that reads as zeros, and whose blocks are allocated: writing
    /// into it later takes no space. The file is durable once the folder was synced; after an
    /// error there is no file.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file to read and write.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Removes a file; durable once the folder was synced.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the folder's list of files durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Bytes that are free where the folder is.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// An open file of fixed length.
pub trait DiskFile: Send + Sync + Debug {
    /// The length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Writes all parts, one behind the other.
    fn write(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()>;
    /// Fills the buffer; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Makes everything written so far durable. After an error nobody knows what is.
    fn sync(&self) -> io::Result<()>;
}
