//! A partition's state into files, from one read transaction, while applying goes on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arrow::array::RecordBatch;
use bytes::Bytes;
use duckdb::Connection;
use raftduck_model::{ColumnType, LogId, PartitionId, Table};
use tokio::sync::{Semaphore, oneshot};

use super::manifest::{self, Content, DataFile, Manifest};
use super::parquet::{FILE_BYTES, FileColumn, Parquet};
use crate::catalog::physical_column;
use crate::fault::Fault;
use crate::instance::Connector;
use crate::nice::Priority;
use crate::pool::Pool;
use crate::running::{Ended, Query};
use crate::store::{Store, StoreHalted};
use crate::system;

/// A partition's state as files.
#[derive(Debug)]
pub struct Exported {
    /// The last entry whose effects are in it; none before the first.
    pub last: Option<LogId>,
    /// The last applied membership, as it came; empty before the first.
    pub membership: Bytes,
    /// A folder of plain files. It is the caller's to remove; what is left of it when the store is
    /// opened again goes then.
    pub folder: PathBuf,
}

/// Why there is no export. Nothing is left of it, and the store goes on.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file could not be written or read back.
    #[error("{path} cannot be used")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// DuckDB refused.
    #[error("the partition's rows cannot be written to files")]
    Engine(#[source] Fault),
    /// It took longer than [`crate::StoreOptions::longest_export`].
    #[error("the export took too long: its read transaction may not stay open")]
    Timeout,
    /// The store needed the memory.
    #[error("the store ran short of memory; try again later")]
    Memory,
    /// The partition knows more schema versions than a manifest can hold.
    #[error("the partition's schemas do not fit into a manifest")]
    TooLarge,
    /// The store has halted or is closed.
    #[error(transparent)]
    Halted(#[from] StoreHalted),
}

impl From<Fault> for ExportError {
    fn from(fault: Fault) -> Self {
        Self::Engine(fault)
    }
}

impl From<duckdb::Error> for ExportError {
    fn from(error: duckdb::Error) -> Self {
        Self::Engine(error.into())
    }
}

/// Where exports are made, and whose turn it is.
pub(crate) struct Exports {
    folder: PathBuf,
    next: AtomicU64,
    /// One at a time: each holds a read transaction and the processor.
    turn: Arc<Semaphore>,
    thread: Pool,
}

impl Exports {
    /// Exports into folders in `folder`, from which whatever is there goes.
    pub fn new(folder: PathBuf) -> io::Result<Self> {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&folder)?,
        }
        let thread = Pool::start("export", Priority::Engine, 1)?;
        Ok(Self { folder, next: AtomicU64::new(0), turn: Arc::new(Semaphore::new(1)), thread })
    }

    /// No export begins any more.
    pub fn close(&self) {
        self.turn.close();
    }
}

/// A folder that goes unless it is kept.
struct Folder(Option<PathBuf>);

impl Folder {
    fn keep(mut self) -> Option<PathBuf> {
        self.0.take()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(folder) = &self.0
            && let Err(error) = fs::remove_dir_all(folder)
        {
            tracing::warn!(folder = %folder.display(), %error, "an export that was given up could not be removed");
        }
    }
}

type Answer = oneshot::Sender<Result<Exported, ExportError>>;

pub(crate) async fn start(store: &Store, exports: &Exports, part: PartitionId) -> Result<Exported, ExportError> {
    let halted = |_| store.shared().halted();
    let turn = Arc::clone(&exports.turn).acquire_owned().await.map_err(halted)?;
    let deadline = Instant::now() + store.shared().options.longest_export;
    let registered = store.shared().running.register(deadline);
    let number = exports.next.fetch_add(1, Ordering::Relaxed);
    let path = exports.folder.join(format!("{part}-{number}"));
    let (answer, exported) = oneshot::channel();
    let connector = store.connector();
    exports.thread.run(move || {
        let result = run(&connector, &registered.0, part, &path, &answer).map_err(|error| match error {
            ExportError::Engine(Fault::Interrupted) => registered.0.ended().map_or(ExportError::Timeout, why),
            error => error,
        });
        drop((registered, turn));
        if let Err(Ok(unwanted)) = answer.send(result) {
            drop(Folder(Some(unwanted.folder)));
        }
    });
    exported.await.map_err(|_| store.shared().halted())?
}

/// Exports on a connection of its own, which ends the read transaction.
fn run(
    connector: &Connector,
    query: &Query,
    part: PartitionId,
    path: &Path,
    answer: &Answer,
) -> Result<Exported, ExportError> {
    let connection = connector.connect()?;
    query.runs_on(&connection);
    let exported = export(&connection, query, part, path, answer);
    query.leave();
    exported
}

fn export(
    connection: &Connection,
    query: &Query,
    part: PartitionId,
    path: &Path,
    answer: &Answer,
) -> Result<Exported, ExportError> {
    let begun = Instant::now();
    tracing::debug!(%part, "a partition is being exported");
    fs::create_dir(path).map_err(io_at(path))?;
    let folder = Folder(Some(path.to_owned()));
    connection.execute_batch("BEGIN TRANSACTION READ ONLY")?;
    let applied = system::read_applied(connection)?.remove(&part).unwrap_or_default();
    let tables = system::read_schemas(connection, Some(part))?.into_iter().map(|(_, table)| table).collect();
    let mut manifest = Manifest {
        partition: part,
        last: applied.last,
        time: applied.time,
        membership: applied.membership,
        tables,
        files: Vec::new(),
    };
    let mut writer = Writer { connection, query, answer, path, parquet: Parquet::open()?, files: Vec::new() };
    writer.content(Content::Keys, &keys_columns(), &system::select_keys(part))?;
    for table in manifest.newest() {
        writer.content(Content::Rows(table.id), &row_columns(table), &select_rows(table, part))?;
    }
    manifest.files = writer.files;
    write_manifest(&manifest, path)?;

    let rows: u64 = manifest.files.iter().map(|file| file.rows).sum();
    let bytes: u64 = manifest.files.iter().map(|file| file.length).sum();
    tracing::info!(%part, last = ?manifest.last, rows, bytes, took = ?begun.elapsed(), "a partition was exported");
    let folder = folder.keep().unwrap_or_default();
    Ok(Exported { last: manifest.last, membership: manifest.membership, folder })
}

fn write_manifest(manifest: &Manifest, folder: &Path) -> Result<(), ExportError> {
    let bytes = manifest.encode().map_err(|error| Fault::Storage(error.to_string()))?;
    if bytes.len() > manifest::MAX_BYTES {
        return Err(ExportError::TooLarge);
    }
    let path = folder.join(manifest::FILE);
    fs::write(&path, bytes).map_err(io_at(&path))
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> ExportError {
    move |source| ExportError::Io { path: path.to_owned(), source }
}

fn keys_columns() -> Vec<FileColumn> {
    use ColumnType::{UBigInt, UInteger};
    let columns = [UBigInt, UInteger, UBigInt, UBigInt, UBigInt, UInteger, UBigInt];
    let columns = system::KEY_COLUMNS.into_iter().zip(columns);
    columns.map(|(name, kind)| FileColumn { name: name.into(), kind }).collect()
}

fn row_columns(table: &Table) -> Vec<FileColumn> {
    let hidden = [("_idx", ColumnType::UBigInt), ("_ord", ColumnType::UInteger)];
    let hidden = hidden.into_iter().map(|(name, kind)| FileColumn { name: name.into(), kind });
    let columns = table.columns.iter().enumerate();
    hidden
        .chain(columns.map(|(place, column)| FileColumn { name: physical_column(place), kind: column.kind.clone() }))
        .collect()
}

/// The partition's rows in the columns of a version that it knows. The physical table is at least
/// as wide, because the partition could not have learned of the version otherwise.
fn select_rows(table: &Table, part: PartitionId) -> String {
    let columns: Vec<_> = row_columns(table).into_iter().map(|column| column.name).collect();
    format!("SELECT {} FROM store.main.{} WHERE _part = {part}", columns.join(", "), table.id.physical_name())
}

/// What all files of an export are written with.
struct Writer<'a> {
    connection: &'a Connection,
    query: &'a Query,
    answer: &'a Answer,
    path: &'a Path,
    parquet: Parquet,
    files: Vec<DataFile>,
}

impl Writer<'_> {
    /// Writes the statement's rows to as many files as they take.
    fn content(&mut self, content: Content, columns: &[FileColumn], select: &str) -> Result<(), ExportError> {
        let mut statement = self.connection.prepare(select)?;
        let batches = statement.stream_arrow([])?;
        let (mut gathered, mut bytes, mut number) = (Vec::new(), 0, 0);
        for batch in batches {
            let batch = batch?;
            self.wanted()?;
            bytes += batch.get_array_memory_size();
            gathered.push(batch);
            if bytes >= FILE_BYTES {
                self.file(content, number, columns, std::mem::take(&mut gathered))?;
                (bytes, number) = (0, number + 1);
            }
        }
        match gathered.is_empty() {
            true => Ok(()),
            false => self.file(content, number, columns, gathered),
        }
    }

    fn file(
        &mut self,
        content: Content,
        number: u32,
        columns: &[FileColumn],
        batches: Vec<RecordBatch>,
    ) -> Result<(), ExportError> {
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let mut file = DataFile { content, number, rows, length: 0, hash: 0 };
        let path = self.path.join(file.name());
        self.parquet.write(&path, columns, batches)?;
        (file.length, file.hash) = super::measure(&path).map_err(io_at(&path))?;
        self.files.push(file);
        Ok(())
    }

    /// An error if the export must end, or if nobody waits for it any more.
    fn wanted(&self) -> Result<(), ExportError> {
        match self.query.ended() {
            Some(ended) => Err(why(ended)),
            None if self.answer.is_closed() => Err(why(Ended::Dropped)),
            None => Ok(()),
        }
    }
}

fn why(ended: Ended) -> ExportError {
    match ended {
        Ended::Memory => ExportError::Memory,
        Ended::Deadline => ExportError::Timeout,
        Ended::Dropped => ExportError::Halted(StoreHalted("it is closed, or nobody waits for the export".into())),
    }
}
