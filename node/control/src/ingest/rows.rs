//! A table's rows being filled, column by name.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use raftduck_model::Table;

use super::cell::Cell;
use super::column::Column;
use super::{IngestError, ROWS_BYTES, Sink};

/// How many of a table's columns an error lists.
const LISTED_COLUMNS: usize = 20;

/// Rows of one table, as far as they were read.
pub struct Rows<'a> {
    table: &'a Table,
    schema: SchemaRef,
    columns: Vec<Column>,
    /// Where a name stands, in lower case.
    places: HashMap<String, usize>,
    /// The row that last gave each column a value, to find those a row leaves out or names twice.
    given: Vec<u64>,
    /// The row being read, from 1.
    row: u64,
    row_bytes: usize,
    /// What values inside lists and structs take beyond that.
    nested_bytes: usize,
}

impl<'a> Rows<'a> {
    /// No rows yet. `schema` is the table's own columns as Arrow, in its order.
    pub fn new(table: &'a Table, schema: SchemaRef) -> Result<Self, IngestError> {
        let columns = table
            .columns
            .iter()
            .zip(schema.fields())
            .map(|(column, field)| {
                Column::new(&column.kind, field.data_type()).ok_or_else(|| IngestError::Unsupported {
                    column: column.name.clone(),
                    reason: format!("{} cannot be read into {}", column.kind, field.data_type()),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let places = table.columns.iter().enumerate().map(|(place, c)| (c.name.to_ascii_lowercase(), place)).collect();
        let row_bytes = schema.fields().iter().map(|field| width(field.data_type())).sum();
        Ok(Self { table, schema, given: vec![0; columns.len()], columns, places, row: 1, row_bytes, nested_bytes: 0 })
    }

    /// All rows that were ended.
    pub fn finish(self) -> Result<RecordBatch, IngestError> {
        let rows = self.row - 1;
        let malformed = |error: ArrowError| IngestError::Syntax { row: rows, reason: error.to_string() };
        let arrays = self.columns.into_iter().map(Column::finish).collect::<Result<_, _>>().map_err(malformed)?;
        let options = RecordBatchOptions::new().with_row_count(usize::try_from(rows).ok());
        RecordBatch::try_new_with_options(self.schema, arrays, &options).map_err(malformed)
    }
}

impl Sink for Rows<'_> {
    fn row(&self) -> u64 {
        self.row
    }

    fn place(&mut self, name: &str, row: u64) -> Result<usize, IngestError> {
        let exact = self.table.columns.iter().position(|column| column.name == name);
        exact.or_else(|| self.places.get(&name.to_ascii_lowercase()).copied()).ok_or_else(|| {
            let mut names: Vec<&str> = self.table.columns.iter().map(|column| column.name.as_str()).collect();
            if names.len() > LISTED_COLUMNS {
                names.truncate(LISTED_COLUMNS);
                names.push("…");
            }
            IngestError::UnknownColumn {
                row,
                column: Cell::Text(name).excerpt().trim_matches('"').to_owned(),
                table: self.table.name.clone(),
                columns: names.join(", "),
            }
        })
    }

    fn set(&mut self, place: usize, cell: Cell<'_>) -> Result<(), IngestError> {
        let row = self.row;
        let (Some(column), Some(target), Some(given)) =
            (self.table.columns.get(place), self.columns.get_mut(place), self.given.get_mut(place))
        else {
            return Err(IngestError::Syntax { row, reason: format!("there is no column {place}") });
        };
        let wrong = |reason| IngestError::Value { row, column: column.name.clone(), reason };
        if *given == row {
            return Err(wrong("the row gives it twice".to_owned()));
        }
        *given = row;
        if cell == Cell::Null && !column.nullable {
            return Err(wrong("NULL, but the column is NOT NULL".to_owned()));
        }
        if let (Cell::Json(text) | Cell::Text(text), Some(field)) = (cell, self.schema.fields().get(place))
            && field.data_type().is_nested()
        {
            // Before it is read: one cell of `[{},{},…]` can take a thousand times its text.
            let values = text.bytes().filter(|byte| *byte == b',').count() + 1;
            self.nested_bytes = self.nested_bytes.saturating_add(values.saturating_mul(width(field.data_type())));
            if self.nested_bytes > ROWS_BYTES {
                return Err(IngestError::TooLarge { row });
            }
        }
        target.push(cell, &column.kind).map_err(wrong)
    }

    /// Columns that the row left out get their defaults.
    fn end_row(&mut self) -> Result<(), IngestError> {
        for place in 0..self.columns.len() {
            if self.given.get(place) == Some(&self.row) {
                continue;
            }
            let Some(column) = self.table.columns.get(place) else { continue };
            let row = self.row;
            let wrong = |reason: String| IngestError::Value { row, column: column.name.clone(), reason };
            let text = match column.default.as_deref() {
                Some(text) => Some(literal(text).ok_or_else(|| wrong(format!("its default {text} is no literal")))?),
                None => None,
            };
            match text {
                Some(Literal::Text(text)) => self.set(place, Cell::Text(&text))?,
                Some(Literal::Number(text)) => self.set(place, Cell::Number(text))?,
                Some(Literal::Bool(value)) => self.set(place, Cell::Bool(value))?,
                Some(Literal::Null) | None if column.nullable => self.set(place, Cell::Null)?,
                Some(Literal::Null) | None => {
                    return Err(wrong(
                        "the row leaves it out, but the column is NOT NULL and has no default".to_owned(),
                    ));
                }
            }
        }
        let bytes = usize::try_from(self.row).ok().and_then(|rows| rows.checked_mul(self.row_bytes));
        if bytes.is_none_or(|bytes| bytes.saturating_add(self.nested_bytes) > ROWS_BYTES) {
            return Err(IngestError::TooLarge { row: self.row });
        }
        self.row += 1;
        Ok(())
    }
}

/// What `count` rows get that leave a column out.
pub(super) fn defaults(
    table: &Table,
    column: &raftduck_model::Column,
    field: &FieldRef,
    count: usize,
    first_row: u64,
) -> Result<ArrayRef, IngestError> {
    let alone = Table { columns: vec![column.clone()], key: 0, ..table.clone() };
    let schema = Arc::new(Schema::new(vec![field.clone()]));
    let mut rows = Rows::new(&alone, schema)?;
    rows.end_row().map_err(|error| match error {
        IngestError::Value { column, reason, .. } => IngestError::Value { row: first_row, column, reason },
        other => other,
    })?;
    let malformed = |error: ArrowError| IngestError::Syntax { row: first_row, reason: error.to_string() };
    let one = rows.finish()?;
    take(one.column(0), &UInt32Array::from(vec![0; count]), None).map_err(malformed)
}

/// What a value takes at least, in bytes, even as NULL.
fn width(kind: &DataType) -> usize {
    match kind {
        DataType::Struct(fields) => 1 + fields.iter().map(|field| width(field.data_type())).sum::<usize>(),
        DataType::List(item) => 5 + width(item.data_type()),
        other => other.primitive_width().unwrap_or(4) + 1,
    }
}

enum Literal<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(String),
}

/// A default's SQL text as a value: `NULL`, `true`, `1.5`, `'text'`, or one of them in `CAST(… AS type)`.
fn literal(text: &str) -> Option<Literal<'_>> {
    let text = text.trim();
    let upper = text.to_ascii_uppercase();
    match upper.as_str() {
        "NULL" => return Some(Literal::Null),
        "TRUE" => return Some(Literal::Bool(true)),
        "FALSE" => return Some(Literal::Bool(false)),
        _ => {}
    }
    if upper.starts_with("CAST(") && upper.ends_with(')') {
        let inner = text.get(5..text.len() - 1)?;
        let end = inner.to_ascii_uppercase().rfind(" AS ")?;
        return literal(inner.get(..end)?);
    }
    if let Some(quoted) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return (!quoted.replace("''", "").contains('\'')).then(|| Literal::Text(quoted.replace("''", "'")));
    }
    text.parse::<f64>().is_ok().then_some(Literal::Number(text))
}
