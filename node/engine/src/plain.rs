//! One DuckDB as anybody would run it, without Raft: what answers and rates of a cluster are held against.
//!
//! It takes SQL from this program only, so nothing is closed off here.

use std::path::Path;

use arrow::array::RecordBatch;
use duckdb::{Config, Connection};

use crate::fault::Fault;

/// Who makes a commit last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// DuckDB's own write-ahead log, with its defaults: a commit is on the disk.
    OwnLog,
    /// No log (`RECOVERY_MODE no_wal_writes`), as a store uses it: a commit lasts from the next checkpoint on.
    None,
}

/// One connection to one plain DuckDB.
pub struct Plain {
    connection: Connection,
}

impl Plain {
    /// An empty DuckDB in memory that may use `memory_bytes` and `threads`.
    ///
    /// # Errors
    /// What DuckDB said.
    pub fn open_in_memory(memory_bytes: u64, threads: usize) -> Result<Self, Fault> {
        let config = Config::default()
            .with("memory_limit", format!("{memory_bytes}B"))?
            .with("threads", threads.max(1).to_string())?;
        Ok(Self { connection: Connection::open_in_memory_with_flags(config)? })
    }

    /// A DuckDB over the file at `path`, which becomes the default database.
    ///
    /// # Errors
    /// What DuckDB said.
    pub fn open_file(path: &Path, durability: Durability, memory_bytes: u64, threads: usize) -> Result<Self, Fault> {
        let plain = Self::open_in_memory(memory_bytes, threads)?;
        let path = path.to_string_lossy().replace('\'', "''");
        let options = match durability {
            Durability::OwnLog => "",
            Durability::None => " (RECOVERY_MODE no_wal_writes)",
        };
        if durability == Durability::None {
            plain.execute("SET checkpoint_threshold = '1TB'")?;
        }
        plain.execute(&format!("ATTACH '{path}' AS plain{options}; USE plain"))?;
        Ok(plain)
    }

    /// Runs statements whose answers nobody wants.
    ///
    /// # Errors
    /// What DuckDB said.
    pub fn execute(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.connection.execute_batch(sql)?)
    }

    /// A query's answer, whole.
    ///
    /// # Errors
    /// What DuckDB said.
    pub fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, Fault> {
        let mut statement = self.connection.prepare(sql)?;
        let batches = statement.stream_arrow([])?.collect::<Result<_, _>>()?;
        Ok(batches)
    }

    /// Appends a batch to `table` in one transaction.
    ///
    /// # Errors
    /// What DuckDB said; nothing was appended then.
    pub fn append(&self, table: &str, batch: &RecordBatch) -> Result<(), Fault> {
        let transaction = self.connection.unchecked_transaction()?;
        let mut appender = transaction.appender(table)?;
        appender.append_record_batch(batch.clone())?;
        appender.flush()?;
        drop(appender);
        Ok(transaction.commit()?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_answered_with_and_without_a_log() {
        for durability in [Durability::OwnLog, Durability::None] {
            let folder = tempfile::tempdir().unwrap();
            let plain = Plain::open_file(&folder.path().join("p.duckdb"), durability, 256 << 20, 1).unwrap();
            plain.execute("CREATE TABLE t (a BIGINT)").unwrap();
            let batch = plain.query("SELECT range AS a FROM range(5000)").unwrap();
            for part in &batch {
                plain.append("t", part).unwrap();
            }
            let count: usize = plain.query("SELECT a FROM t").unwrap().iter().map(RecordBatch::num_rows).sum();
            assert_eq!(count, 5000, "{durability:?}");
        }
    }
}
