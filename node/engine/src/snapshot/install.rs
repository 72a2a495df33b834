//! A snapshot in the place of what a partition has: verified first, then written in one transaction
//! of the apply thread, and there for good with the checkpoint that follows.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use bytes::Bytes;
use duckdb::Connection;
use raftduck_model::codec::DecodeError;
use raftduck_model::{LogId, PartitionId, Table, TableId};

use super::manifest::{self, Content, DataFile, Manifest};
use super::parquet::Parquet;
use crate::catalog::{Catalog, Physical};
use crate::checkpoint::CheckpointError;
use crate::fault::Fault;
use crate::keys::KeyIndex;
use crate::state::Applied;
use crate::store::StoreHalted;
use crate::write::{self, Appending};
use crate::{structure, system};

/// Why a snapshot is not installed. Unless the store has halted, nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file of it could not be read.
    #[error("{path} cannot be read")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The manifest is damaged, or a newer build's.
    #[error("the snapshot's manifest cannot be read")]
    Manifest(#[source] DecodeError),
    /// A file is not what the manifest says.
    #[error("the snapshot's file {0} is damaged: send the snapshot again")]
    Damaged(String),
    /// It is of another partition.
    #[error("the snapshot is of partition {found}, not {wanted}")]
    OtherPartition {
        /// The snapshot's.
        found: PartitionId,
        /// The one it was to be installed for.
        wanted: PartitionId,
    },
    /// The partition has more than the snapshot.
    #[error("the snapshot ends before {0}, which is applied already")]
    Behind(LogId),
    /// Its rows do not fit together with its own tables or with those that are here.
    #[error("the snapshot's rows cannot be taken in: {0}")]
    Rows(String),
    /// No DuckDB could be opened to read it.
    #[error("the snapshot's files cannot be opened")]
    Engine(#[source] Fault),
    /// The store has halted or is closed; the snapshot may or may not be installed.
    #[error(transparent)]
    Halted(#[from] StoreHalted),
    /// The snapshot is applied, and the checkpoint that makes it last did not come.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// A snapshot whose files are those that its manifest names.
pub(crate) struct Verified {
    pub manifest: Manifest,
    folder: PathBuf,
    parquet: Parquet,
}

/// Reads the manifest and checks every file's length and hash.
pub(crate) fn verify(folder: &Path, part: PartitionId) -> Result<Verified, InstallError> {
    let manifest = read_manifest(&folder.join(manifest::FILE))?;
    if manifest.partition != part {
        return Err(InstallError::OtherPartition { found: manifest.partition, wanted: part });
    }
    let known = |id: TableId| manifest.tables.iter().any(|table| table.id == id);
    for file in &manifest.files {
        let path = folder.join(file.name());
        let found = super::measure(&path).map_err(|source| InstallError::Io { path, source })?;
        if found != (file.length, file.hash) {
            return Err(InstallError::Damaged(file.name()));
        }
        if matches!(file.content, Content::Rows(table) if !known(table)) {
            return Err(InstallError::Rows(format!("{} is of no table that the manifest names", file.name())));
        }
    }
    let parquet = Parquet::open().map_err(InstallError::Engine)?;
    Ok(Verified { manifest, folder: folder.to_owned(), parquet })
}

fn read_manifest(path: &Path) -> Result<Manifest, InstallError> {
    let io = |source| InstallError::Io { path: path.to_owned(), source };
    if fs::metadata(path).map_err(io)?.len() > manifest::MAX_BYTES as u64 {
        return Err(InstallError::Manifest(DecodeError::Invalid("it is longer than any manifest may be")));
    }
    let bytes = fs::read(path).map_err(io)?;
    Manifest::decode(Bytes::from(bytes)).map_err(InstallError::Manifest)
}

/// What the apply thread and everybody else know of the partition once the transaction is
/// committed.
pub(crate) struct Installed {
    tables: Vec<Table>,
    physical: Vec<Physical>,
    pub keys: KeyIndex,
    pub applied: Applied,
    pub rows: u64,
}

impl Installed {
    /// Makes the tables known.
    pub fn apply_to(self, catalog: &mut Catalog, part: PartitionId) -> (KeyIndex, Applied) {
        catalog.forget_partition(part);
        for physical in self.physical {
            catalog.set_physical(physical);
        }
        for table in &self.tables {
            catalog.learn(part, table);
        }
        (self.keys, self.applied)
    }
}

/// Replaces all that the file holds of the partition, in one transaction, or changes nothing.
///
/// # Errors
/// [`Fault::Statement`] where the snapshot is at fault.
pub(crate) fn write(
    connection: &Connection,
    catalog: &Catalog,
    part: PartitionId,
    snapshot: &Verified,
    remembered: usize,
) -> Result<Installed, Fault> {
    let manifest = &snapshot.manifest;
    let mut installed = None;
    write::atomically(connection, || {
        // A table that this transaction has deleted from or appended to may not be altered in it, so
        // the tables come first.
        let physical = restructure(connection, catalog, part, manifest)?;
        for table in physical.keys() {
            structure::delete_rows(connection, part, *table)?;
        }
        system::replace_partition(connection, part, manifest)?;
        let widths: BTreeMap<_, _> = manifest.newest().map(|table| (table.id, table.columns.len())).collect();
        for file in &manifest.files {
            let path = snapshot.folder.join(file.name());
            let mut appending = Appending::begin(connection, &file_table(file))?;
            let rows = snapshot.parquet.read(&path, |batch| {
                let batch = match file.content {
                    Content::Keys => key_rows(part, &batch)?,
                    Content::Rows(table) => {
                        physical_rows(part, physical.get(&table).zip(widths.get(&table).copied()), &batch)?
                    }
                };
                appending.append(&batch)
            })?;
            if rows != file.rows {
                let text = format!("{} holds {rows} rows, and its manifest says {}", file.name(), file.rows);
                return Err(Fault::Statement(text));
            }
        }
        let applied = Applied { last: manifest.last, time: manifest.time, membership: manifest.membership.clone() };
        let all = BTreeMap::from([(part, applied.clone())]);
        let keys = system::read_keys(connection, Some(part), &all, remembered)?.remove(&part);
        installed = Some(Installed {
            tables: manifest.tables.clone(),
            physical: physical.into_values().collect(),
            keys: keys.unwrap_or_else(|| KeyIndex::new(remembered)),
            applied,
            rows: manifest.files.iter().map(|file| file.rows).sum(),
        });
        Ok(())
    })?;
    installed.ok_or_else(|| Fault::Storage("a committed snapshot came to nothing".into()))
}

/// Drops the tables that nobody knows without this partition's old state, and makes or widens those
/// of its new one. Returns every physical table that is left and was or is the partition's.
fn restructure(
    connection: &Connection,
    catalog: &Catalog,
    part: PartitionId,
    manifest: &Manifest,
) -> Result<BTreeMap<TableId, Physical>, Fault> {
    let mut left = BTreeMap::new();
    let kept = |id: TableId| manifest.tables.iter().any(|table| table.id == id);
    for id in catalog.tables().filter(|id| !kept(*id)) {
        match catalog.physical(id) {
            // It may hold rows of this partition from before the partition dropped it.
            Some(physical) if catalog.others_know(part, id) => {
                left.insert(id, structure::open_physical(connection, &physical.definition)?);
            }
            _ => structure::drop_physical(connection, id)?,
        }
    }
    for table in manifest.newest() {
        let present = catalog.physical(table.id);
        let widened = structure::widen_physical(connection, present, table)?;
        let definition = present.map_or(table, |present| &present.definition);
        let physical = match widened {
            Some(physical) => physical,
            None => structure::open_physical(connection, definition)?,
        };
        left.insert(table.id, physical);
    }
    Ok(left)
}

fn file_table(file: &DataFile) -> String {
    match file.content {
        Content::Keys => "keys".to_owned(),
        Content::Rows(table) => table.physical_name(),
    }
}

fn part_column(part: PartitionId, rows: usize) -> (Arc<Field>, ArrayRef) {
    (Arc::new(Field::new("_part", DataType::UInt32, false)), Arc::new(UInt32Array::from_value(part.0, rows)))
}

/// A file's keys with their partition before them, as the store's table has it.
fn key_rows(part: PartitionId, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let (field, column) = part_column(part, batch.num_rows());
    let fields: Vec<_> = std::iter::once(field).chain(batch.schema().fields().iter().cloned()).collect();
    let columns = std::iter::once(column).chain(batch.columns().iter().cloned()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// A file's rows in the physical table's columns: those that the snapshot's version of the table
/// lacks have their defaults.
fn physical_rows(
    part: PartitionId,
    table: Option<(&Physical, usize)>,
    batch: &RecordBatch,
) -> Result<RecordBatch, Fault> {
    const HIDDEN: usize = 2;
    let damaged = || Fault::Statement("a file has not the columns of its table".into());
    let (physical, width) = table.filter(|(_, width)| HIDDEN + width == batch.num_columns()).ok_or_else(damaged)?;
    let schema = batch.schema();
    let (hidden, users) = schema.fields().split_at_checked(HIDDEN).ok_or_else(damaged)?;
    let rest: Vec<usize> = (HIDDEN..batch.num_columns()).collect();
    let wide = physical.widen(&batch.project(&rest)?)?;
    let missing = physical.schema.fields().get(width..).ok_or_else(damaged)?;

    let (field, column) = part_column(part, batch.num_rows());
    let fields: Vec<_> = std::iter::once(&field).chain(hidden).chain(users).chain(missing).cloned().collect();
    let own = batch.columns().iter().take(HIDDEN).cloned();
    let columns = std::iter::once(column).chain(own).chain(wide).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
