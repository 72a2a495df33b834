//! From a folder to an open store file, and what it held.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use duckdb::Connection;
use raftduck_model::PartitionId;

use crate::catalog::Catalog;
use crate::fault::Fault;
use crate::instance::{self, Shares};
use crate::keys::KeyIndex;
use crate::leftover;
use crate::options::StoreOptions;
use crate::state::Partition;
use crate::structure;
use crate::system;

/// The store's file in its folder.
pub(crate) const FILE: &str = "store.duckdb";

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder or the file could not be reached.
    #[error("{path} cannot be used")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A write-ahead log lies beside the file: another program has opened it.
    #[error(
        "{0} lies beside the store, which never writes one: another program has written to the file. \
         Restore the folder from before that, or empty it, and this store copies its data from the others"
    )]
    StrayLog(PathBuf),
    /// The folder's name cannot be DuckDB's.
    #[error("{0} has a '?' in its path, behind which DuckDB reads options: give the store another folder")]
    Name(PathBuf),
    /// DuckDB refused the file or the options.
    #[error("the store's file cannot be opened")]
    Engine(#[source] Fault),
}

/// Makes the folders and empties the spill folder. Returns the store's file.
pub(crate) fn prepare_folder(folder: &Path, options: &StoreOptions) -> Result<PathBuf, OpenError> {
    let io = |path: &Path, source| OpenError::Io { path: path.to_path_buf(), source };
    fs::create_dir_all(folder).map_err(|error| io(folder, error))?;
    match fs::remove_dir_all(&options.spill) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(&options.spill, error)),
        _ => fs::create_dir_all(&options.spill).map_err(|error| io(&options.spill, error))?,
    }
    check_name(folder)?;
    clear_log(&folder.join(format!("{FILE}.wal")))?;
    Ok(folder.join(FILE))
}

/// Refuses a folder that DuckDB would read as another.
pub(crate) fn check_name(folder: &Path) -> Result<(), OpenError> {
    match folder.to_string_lossy().contains('?') {
        true => Err(OpenError::Name(folder.to_path_buf())),
        false => Ok(()),
    }
}

/// Removes the log that a killed checkpoint leaves, and refuses any other.
pub(crate) fn clear_log(log: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { path: log.to_path_buf(), source };
    match fs::metadata(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
        Ok(log) if log.len() <= leftover::MAX_BYTES => {}
        Ok(_) => return Err(OpenError::StrayLog(log.to_path_buf())),
    }
    match leftover::is_marker(&fs::read(log).map_err(io)?) {
        true => fs::remove_file(log).map_err(io),
        false => Err(OpenError::StrayLog(log.to_path_buf())),
    }
}

/// A store's file, and what was read of it.
pub(crate) struct Opened {
    pub connection: Connection,
    pub catalog: Catalog,
    pub partitions: BTreeMap<PartitionId, Partition>,
}

pub(crate) fn open_file(file: &Path, options: &StoreOptions) -> Result<Opened, Fault> {
    let connection = instance::open(&Shares {
        memory_bytes: options.memory_bytes,
        threads: options.threads,
        spill: Some((&options.spill, options.spill_bytes)),
    })?;
    let path = file.to_string_lossy().replace('\'', "''");
    // DuckDB passes over a CHECKPOINT where it counts no commits since the last one. It counts those that came while that
    // one was written, and then sets the count to 0 (`WALFinishCheckpoint` in its `storage_manager.cpp`): so they would be
    // in no checkpoint, and the log purged of them.
    connection.execute_batch("PRAGMA force_checkpoint")?;
    connection.execute_batch(&format!("ATTACH '{path}' AS store (RECOVERY_MODE no_wal_writes)"))?;
    system::prepare(&connection)?;
    instance::harden(&connection)?;

    let applied = system::read_applied(&connection)?;
    let mut keys = system::read_keys(&connection, None, &applied, options.keys_per_partition)?;
    let mut catalog = Catalog::default();
    for (part, table) in system::read_schemas(&connection, None)? {
        if catalog.physical(table.id).is_none_or(|physical| physical.definition.version < table.version) {
            catalog.set_physical(structure::open_physical(&connection, &table)?);
        }
        catalog.learn(part, &table);
    }
    for physical in catalog.tables().filter_map(|table| catalog.physical(table)) {
        structure::narrow_physical(&connection, &physical.definition)?;
    }
    let partitions = applied.into_iter().map(|(part, applied)| {
        let keys = keys.remove(&part).unwrap_or_else(|| KeyIndex::new(options.keys_per_partition));
        (part, Partition::new(applied, keys))
    });
    Ok(Opened { partitions: partitions.collect(), connection, catalog })
}
