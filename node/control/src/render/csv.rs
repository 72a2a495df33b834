//! RFC 4180 with a header row. A NULL is an empty cell, and an empty text `""`, as rows are read in too.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::json::columns;
use super::{Ending, RenderError, Writer};

pub(super) struct Csv {
    pub schema: SchemaRef,
}

impl Writer for Csv {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), RenderError> {
        for (place, field) in self.schema.fields().iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            cell(field.name().as_bytes(), out);
        }
        out.extend(b"\r\n");
        Ok(())
    }

    fn rows(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), RenderError> {
        let columns = columns(rows)?;
        let mut text = Vec::new();
        for row in 0..rows.num_rows() {
            for (place, column) in columns.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                if !column.is_null(row) {
                    text.clear();
                    column.text(row, &mut text);
                    cell(&text, out);
                }
            }
            out.extend(b"\r\n");
        }
        Ok(())
    }

    fn end(&mut self, _: Ending, _: &mut Vec<u8>) -> Result<(), RenderError> {
        Ok(())
    }
}

/// A cell, in quotes where it must be: so that it is not taken for NULL, for two cells or for two rows.
fn cell(text: &[u8], out: &mut Vec<u8>) {
    let outer = |byte: Option<&u8>| byte.is_some_and(|byte| *byte == b' ' || *byte == b'\t');
    let plain = !text.is_empty()
        && !text.iter().any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'))
        && !outer(text.first())
        && !outer(text.last());
    if plain {
        return out.extend(text);
    }
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
