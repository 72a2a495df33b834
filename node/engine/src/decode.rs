//! From an entry's bytes to what the apply thread does with it.

use arrow::array::{Array, RecordBatch};
use bytes::Bytes;
use raftduck_model::{Append, BodyDigest, KeyDigest, LogTime, PartitionId, TableId};

use crate::batch;
use crate::catalog::Catalog;
use crate::values;

/// An append whose rows were read.
#[derive(Debug)]
pub(crate) struct Rows {
    pub table: TableId,
    pub time: LogTime,
    pub parts: Vec<RowsPart>,
}

/// One request's rows.
#[derive(Debug)]
pub(crate) struct RowsPart {
    pub key: KeyDigest,
    pub body: BodyDigest,
    pub rows: RecordBatch,
}

/// What an entry wants of a transaction that it shares with others.
#[derive(Debug)]
pub(crate) enum Wanted {
    Nothing,
    /// Nothing but its log time: its change is made beside the plan.
    Timed(LogTime),
    Membership(Bytes),
    Rows(Rows),
    /// The same refusal on every replica.
    Rejected {
        reason: String,
        time: LogTime,
    },
}

impl Wanted {
    /// The log time that the entry carries.
    pub fn time(&self) -> Option<LogTime> {
        match self {
            Self::Nothing | Self::Membership(_) => None,
            Self::Timed(time) | Self::Rejected { time, .. } => Some(*time),
            Self::Rows(rows) => Some(rows.time),
        }
    }
}

/// Reads an append's rows by the schema that the partition has learned.
///
/// The leader has checked all this before it proposed, so a refusal here says that a leader of
/// another build saw the data differently; it is the same on every replica.
pub(crate) fn rows(catalog: &Catalog, part: PartitionId, append: Append, time: LogTime) -> Wanted {
    match read(catalog, part, &append) {
        Ok(parts) => Wanted::Rows(Rows { table: append.table, time, parts }),
        Err(reason) => Wanted::Rejected { reason, time },
    }
}

fn read(catalog: &Catalog, part: PartitionId, append: &Append) -> Result<Vec<RowsPart>, String> {
    let (table, version) = (append.table, append.version);
    if !catalog.knows(part, table) {
        return Err(format!("table {table} was dropped: create it again and send the rows again"));
    }
    let version = catalog
        .version(part, table, version)
        .ok_or_else(|| format!("version {version} of table {table} was never announced in this log"))?;
    append
        .parts
        .iter()
        .map(|sent| {
            let rows = batch::decode(sent.data.clone(), &version.schema).map_err(|error| match error {
                batch::DecodeError::Rows(inner) => format!("the rows are not of the table's schema: {inner}"),
                error => error.to_string(),
            })?;
            values::check(&rows).map_err(|error| error.to_string())?;
            if rows.num_rows() != sent.rows as usize {
                return Err(format!("the part says {} rows and holds {}", sent.rows, rows.num_rows()));
            }
            for (column, required) in rows.columns().iter().zip(version.required.iter()) {
                if let Some(name) = required
                    && column.null_count() > 0
                {
                    return Err(format!("column {name:?} is NOT NULL and has a NULL"));
                }
            }
            Ok(RowsPart { key: sent.key, body: sent.body, rows })
        })
        .collect()
}
