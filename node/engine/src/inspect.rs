//! What a store's file holds, read without opening the store: nothing in it is changed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use raftduck_model::{PartitionId, Table};

use crate::fault::Fault;
use crate::instance::{self, Shares};
use crate::nice::{self, Priority};
use crate::opening::{self, FILE, OpenError};
use crate::state::Applied;
use crate::system;

/// The memory that looking takes at most, in bytes.
const MEMORY_BYTES: u64 = 512 << 20;

/// What a store's file holds, as of its last checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Inspected {
    /// How far each partition is applied.
    pub applied: BTreeMap<PartitionId, Applied>,
    /// Every version of a table that each partition knows, older ones first.
    pub schemas: Vec<(PartitionId, Table)>,
}

/// Reads the file of the store in `folder`; one that has none yet holds nothing. Nobody may have the
/// store open. A checkpoint that was killed leaves a marker beside the file, which is removed as at
/// opening.
///
/// # Errors
/// See [`OpenError`].
pub fn inspect(folder: &Path) -> Result<Inspected, OpenError> {
    let io = |source| OpenError::Io { path: folder.to_path_buf(), source };
    opening::check_name(folder)?;
    let file = folder.join(FILE);
    match fs::metadata(&file) {
        Ok(found) if found.len() == 0 => return Ok(Inspected::default()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Inspected::default()),
        Err(error) => return Err(io(error)),
    }
    opening::clear_log(&folder.join(format!("{FILE}.wal")))?;
    let reading = nice::spawn("engine-inspect", Priority::Lowest, move || read(&file)).map_err(io)?.join();
    reading.map_err(|_| io(io::Error::other("looking ended by a panic")))?.map_err(OpenError::Engine)
}

fn read(file: &Path) -> Result<Inspected, Fault> {
    let connection = instance::open(&Shares { memory_bytes: MEMORY_BYTES, threads: 1, spill: None })?;
    let path = file.to_string_lossy().replace('\'', "''");
    connection.execute_batch(&format!("ATTACH '{path}' AS store (READ_ONLY)"))?;
    instance::harden(&connection)?;
    if !system::is_prepared(&connection)? {
        // Killed before its first checkpoint.
        return Ok(Inspected::default());
    }
    system::check_format(&connection)?;
    Ok(Inspected { applied: system::read_applied(&connection)?, schemas: system::read_schemas(&connection, None)? })
}
