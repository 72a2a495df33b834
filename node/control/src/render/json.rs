//! A [`SqlAnswer`](raftduck_wire::http::SqlAnswer), streamed, and JSON lines.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use raftduck_wire::http::Numbers;
use tokio::time::Instant;

use super::cells::{Column, quoted};
use super::text::put;
use super::{Ending, RenderError, Writer, types};
use crate::statement::Coverage;
use std::io::Write;

/// The whole answer as one object.
pub(super) struct Json {
    pub schema: SchemaRef,
    pub coverage: Coverage,
    pub numbers: Numbers,
    pub arrived: Instant,
    pub any: bool,
}

impl Writer for Json {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), RenderError> {
        out.extend(b"{\"columns\":[");
        for (place, field) in self.schema.fields().iter().enumerate() {
            out.extend(if place > 0 { b",{\"name\":".as_slice() } else { b"{\"name\":" });
            quoted(field.name(), out);
            out.extend(b",\"type\":");
            quoted(&types::name(field), out);
            out.push(b'}');
        }
        out.extend(b"],\"rows\":[");
        Ok(())
    }

    fn rows(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), RenderError> {
        let columns = columns(rows)?;
        for row in 0..rows.num_rows() {
            out.extend(if self.any { b",[".as_slice() } else { b"[" });
            self.any = true;
            for (place, column) in columns.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                column.json(row, self.numbers, out);
            }
            out.push(b']');
        }
        Ok(())
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<u8>) -> Result<(), RenderError> {
        let Coverage { total_nodes, responding_nodes, missing } = &self.coverage;
        put!(out, "],\"row_count\":{},\"is_partial\":{}", ending.rows, self.coverage.is_partial());
        put!(out, ",\"total_nodes\":{total_nodes},\"responding_nodes\":{responding_nodes}");
        if !missing.is_empty() {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            put!(out, ",\"missing_partitions\":[{}]", missing.join(","));
        }
        if ending.truncated {
            out.extend(b",\"truncated\":true");
        }
        put!(out, ",\"elapsed_ms\":{:.3}}}", self.arrived.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }
}

/// One object a line.
pub(super) struct Ndjson {
    /// Each column's name as a JSON string with its colon.
    pub names: Vec<Vec<u8>>,
    pub numbers: Numbers,
}

impl Ndjson {
    pub fn new(schema: &SchemaRef, numbers: Numbers) -> Self {
        let name = |name: &str| {
            let mut out = Vec::new();
            quoted(name, &mut out);
            out.push(b':');
            out
        };
        Self { names: schema.fields().iter().map(|field| name(field.name())).collect(), numbers }
    }
}

impl Writer for Ndjson {
    fn begin(&mut self, _: &mut Vec<u8>) -> Result<(), RenderError> {
        Ok(())
    }

    fn rows(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), RenderError> {
        let columns = columns(rows)?;
        for row in 0..rows.num_rows() {
            out.push(b'{');
            for (place, (column, name)) in columns.iter().zip(&self.names).enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                out.extend(name);
                column.json(row, self.numbers, out);
            }
            out.extend(b"}\n");
        }
        Ok(())
    }

    fn end(&mut self, _: Ending, _: &mut Vec<u8>) -> Result<(), RenderError> {
        Ok(())
    }
}

/// A batch's columns, cast down once.
pub(super) fn columns(rows: &RecordBatch) -> Result<Vec<Column>, RenderError> {
    let schema = rows.schema();
    schema.fields().iter().zip(rows.columns()).map(|(field, array)| Column::new(field, array)).collect()
}
