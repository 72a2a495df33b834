//! Rows into Parquet files and back, by a small DuckDB of its own: the store's is closed to files.
//!
//! Parquet has no type for two of ours. A HUGEINT, whose magnitude is below 10^38, is carried as
//! DECIMAL(38,0), and an INTERVAL as text that DuckDB reads back exactly.

use std::path::Path;

use arrow::array::RecordBatch;
use duckdb::Connection;
use raftduck_model::ColumnType;

use crate::fault::Fault;
use crate::instance::{self, Shares};
use crate::{appendable, view};

/// The rows of one file, in Arrow's form: what a writer or reader holds at a time. A Parquet writer
/// holds a group of rows, so files are bounded by bytes and not by rows.
pub(super) const FILE_BYTES: usize = 16 << 20;
/// What the instance may hold: a file's rows as Arrow, as a table, and as pages.
const MEMORY_BYTES: u64 = 256 << 20;

/// A column of a file.
pub(super) struct FileColumn {
    pub name: String,
    pub kind: ColumnType,
}

/// Writes and reads files of rows.
pub(super) struct Parquet(Connection);

impl Parquet {
    pub fn open() -> Result<Self, Fault> {
        let connection = instance::open(&Shares { memory_bytes: MEMORY_BYTES, threads: 1, spill: None })?;
        connection.execute_batch("SET lock_configuration = true")?;
        Ok(Self(connection))
    }

    /// Writes the batches, which have these columns as DuckDB answers them, to one file.
    pub fn write(&self, path: &Path, columns: &[FileColumn], batches: Vec<RecordBatch>) -> Result<(), Fault> {
        let columns: Vec<_> =
            columns.iter().map(|column| format!("{} {}", view::quoted(&column.name), carried(&column.kind))).collect();
        self.0.execute_batch(&format!("CREATE OR REPLACE TABLE rows ({})", columns.join(", ")))?;
        let mut appender = self.0.appender("rows")?;
        for batch in batches {
            for piece in appendable::pieces(&batch)? {
                appender.append_record_batch(piece)?;
            }
        }
        appender.flush()?;
        drop(appender);
        let path = quoted(path);
        Ok(self.0.execute_batch(&format!("COPY rows TO {path} (FORMAT parquet, COMPRESSION zstd); DROP TABLE rows"))?)
    }

    /// Hands the file's batches to `take` in their order. Returns how many rows they were.
    pub fn read(&self, path: &Path, mut take: impl FnMut(RecordBatch) -> Result<(), Fault>) -> Result<u64, Fault> {
        // A file that was verified and cannot be read is the snapshot's fault, not the store's.
        let damaged = |error: duckdb::Error| Fault::Statement(format!("{}: {error}", path.display()));
        let select = format!("SELECT * FROM read_parquet({}, hive_partitioning = false)", quoted(path));
        let mut statement = self.0.prepare(&select).map_err(damaged)?;
        let mut rows = 0;
        for batch in statement.stream_arrow([]).map_err(damaged)? {
            let batch = batch.map_err(damaged)?;
            rows += batch.num_rows() as u64;
            take(batch)?;
        }
        Ok(rows)
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "''"))
}

/// The type in which values of a column type lie in a file.
fn carried(kind: &ColumnType) -> ColumnType {
    match kind {
        ColumnType::HugeInt => ColumnType::Decimal { precision: 38, scale: 0 },
        ColumnType::Interval => ColumnType::Varchar,
        ColumnType::List(item) => ColumnType::List(Box::new(carried(item))),
        ColumnType::Struct(fields) => {
            ColumnType::Struct(fields.iter().map(|(name, kind)| (name.clone(), carried(kind))).collect())
        }
        kind => kind.clone(),
    }
}
