//! Answers as text: for people, and for holding one against another.

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// The most columns of a terminal that a table fills.
const WIDTH: u16 = 100;

/// An answer as rows of text, headed by the columns' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The columns' names.
    pub head: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Text {
    /// The answer in an Arrow IPC stream.
    ///
    /// # Errors
    /// Where it is none, or not whole.
    pub fn from_ipc(stream: &[u8]) -> anyhow::Result<Self> {
        let reader = StreamReader::try_new(stream, None).context("the answer is no Arrow stream")?;
        let head = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().context("the answer's stream is cut off")?;
        Ok(Self { head, rows: rows(&batches)? })
    }

    /// The answer in record batches of one schema.
    ///
    /// # Errors
    /// Where a value has no text.
    pub fn from_batches(batches: &[RecordBatch]) -> anyhow::Result<Self> {
        let schema = batches.first().map(RecordBatch::schema);
        let head = schema.iter().flat_map(|schema| schema.fields().iter().map(|field| field.name().clone())).collect();
        Ok(Self { head, rows: rows(batches)? })
    }

    /// The answer in JSON values.
    pub fn from_json(head: Vec<String>, rows: &[Vec<Value>]) -> Self {
        let text = |value: &Value| match value {
            Value::Null => "NULL".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Self { head, rows: rows.iter().map(|row| row.iter().map(text).collect()).collect() }
    }

    /// As a person reads it.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
        table.set_header(&self.head).add_rows(&self.rows);
        table
    }
}

fn rows(batches: &[RecordBatch]) -> anyhow::Result<Vec<Vec<String>>> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).try_to_string()).collect::<Result<_, _>>()?);
        }
    }
    Ok(rows)
}
