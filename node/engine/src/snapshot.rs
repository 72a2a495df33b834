//! One partition's state as a folder of files: [`export`] makes it from a read transaction, beside
//! everything else that goes on, and [`install`] puts it in the place of another store's state.
//!
//! The folder holds Parquet files, each of one table's rows or of the idempotency keys, and a
//! [`manifest`] that says what they are of, how long they are, and their hashes. The store's own
//! instance of DuckDB reaches no files, so another one writes and reads them ([`parquet`]).

pub(crate) mod export;
pub(crate) mod install;
pub(crate) mod manifest;
mod parquet;

pub use export::{ExportError, Exported};
pub use install::InstallError;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

/// A file's length and hash (xxh3-64), read in pieces.
fn measure(path: &Path) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let (mut hash, mut length) = (Xxh3::new(), 0);
    let mut piece = vec![0; 256 << 10];
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => return Ok((length, hash.digest())),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(piece.get(..read).unwrap_or_default());
        length += read as u64;
    }
}
