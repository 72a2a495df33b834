//! A request's body into Arrow rows of one table.
//!
//! Every number is read from its text, so that 2^63 and DECIMAL(38,10) arrive as they were sent. The first value that
//! does not fit ends the whole request, with its row and column: nothing of it is written.

mod base64;
pub mod cell;
mod column;
mod csv;
mod json;
mod number;
mod rows;
mod time;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use raftduck_model::{Table, limits};

pub use base64::encode as base64_encode;
pub use rows::Rows;

/// What a request's rows may take as Arrow, in bytes, before they are split. A body of 256 MiB can hold a hundred
/// million empty rows, whose columns would take far more than the body.
pub const ROWS_BYTES: usize = 2 * limits::INFLATED_BODY_BYTES;

/// A body's format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// An array of row objects, or one row object.
    Json,
    /// One row object a line.
    Ndjson,
    /// RFC 4180 with a header row; an empty cell is NULL, a quoted empty one is ''.
    Csv,
}

/// Why a body is not rows of the table. Nothing of it was written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IngestError {
    /// A value that its column does not take.
    #[error("row {row}, column {column:?}: {reason}")]
    Value {
        /// From 1.
        row: u64,
        /// The column's name.
        column: String,
        /// What was found, and what it is not.
        reason: String,
    },
    /// A column that the table does not have.
    #[error("row {row}: table {table:?} has no column {column:?}; it has {columns}")]
    UnknownColumn {
        /// From 1; for CSV, 0 is the header.
        row: u64,
        /// What was named.
        column: String,
        /// The table's name.
        table: String,
        /// The columns it has.
        columns: String,
    },
    /// A body that does not follow its format.
    #[error("row {row}: {reason}")]
    Syntax {
        /// The row in or before which it stands, from 1.
        row: u64,
        /// What is wrong, and where.
        reason: String,
    },
    /// More rows than one request may hold.
    #[error("row {row}: the request's rows take more than {ROWS_BYTES} bytes: send them in several requests")]
    TooLarge {
        /// The first row too many.
        row: u64,
    },
    /// The table cannot take rows from this format.
    #[error("column {column:?}: {reason}")]
    Unsupported {
        /// The column's name.
        column: String,
        /// Why.
        reason: String,
    },
}

/// Reads a whole body. `schema` is the table's own columns as Arrow, in its order.
pub fn read(format: Format, body: &[u8], table: &Table, schema: SchemaRef) -> Result<RecordBatch, IngestError> {
    let mut rows = Rows::new(table, schema)?;
    match format {
        Format::Json => json::read_array(body, &mut rows)?,
        Format::Ndjson => json::read_lines(body, &mut rows)?,
        Format::Csv => csv::read(body, &mut rows)?,
    }
    rows.finish()
}

#[cfg(test)]
mod tests;
