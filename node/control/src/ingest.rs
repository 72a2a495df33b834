//! A request's body into Arrow rows of one table.
//!
//! Every number is read from its text, so that 2^63 and DECIMAL(38,10) arrive as they were sent. The first value that
//! does not fit ends the whole request, with its row and column: nothing of it is written.

pub mod cell;
mod column;
mod csv;
mod infer;
mod json;
mod number;
mod rows;
mod stream;
mod time;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use raftduck_engine::values::{self, ValueError};
use raftduck_model::{Column, Table, limits};

use crate::Format;
use cell::Cell;

pub use rows::Rows;

/// What a request's rows may take as Arrow, in bytes, before they are split. A body of 256 MiB can hold a hundred
/// million empty rows, whose columns would take far more than the body.
pub const ROWS_BYTES: usize = 2 * limits::INFLATED_BODY_BYTES;

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

/// What takes the rows of JSON and CSV, value by value.
trait Sink {
    /// The row being read, from 1.
    fn row(&self) -> u64;
    /// The place of the column of that name, met in `row`; for CSV, 0 is the header.
    fn place(&mut self, name: &str, row: u64) -> Result<usize, IngestError>;
    /// Gives a column of the current row its value.
    fn set(&mut self, place: usize, cell: Cell<'_>) -> Result<(), IngestError>;
    /// Ends the current row.
    fn end_row(&mut self) -> Result<(), IngestError>;
}

/// Reads a whole body. `schema` is the table's own columns as Arrow, in its order.
///
/// # Errors
/// At the first value that does not fit; then nothing of the body is of use.
pub fn read(format: Format, body: &Bytes, table: &Table, schema: SchemaRef) -> Result<RecordBatch, IngestError> {
    let rows = if format == Format::Arrow {
        stream::read(body.clone(), table, schema)?
    } else {
        let mut rows = Rows::new(table, schema)?;
        fill(format, body, &mut rows)?;
        rows.finish()?
    };
    values::check(&rows).map_err(|ValueError { row, column, what }| IngestError::Value {
        row,
        column,
        reason: what,
    })?;
    Ok(rows)
}

/// The columns of a table that takes all rows of a body.
///
/// # Errors
/// A body that does not follow its format, or has more columns than a table may.
pub fn infer(format: Format, body: &Bytes) -> Result<Vec<Column>, IngestError> {
    if format == Format::Arrow {
        return Ok(infer::columns(stream::columns(body.clone())?));
    }
    let mut columns = infer::Columns::new(format == Format::Csv);
    fill(format, body, &mut columns)?;
    Ok(infer::columns(columns.finish()))
}

fn fill(format: Format, body: &[u8], sink: &mut impl Sink) -> Result<(), IngestError> {
    match format {
        Format::Json => json::read_array(body, sink),
        Format::Ndjson => json::read_lines(body, sink),
        Format::Csv => csv::read(body, sink),
        Format::Arrow => Ok(()),
    }
}

#[cfg(test)]
mod tests;
