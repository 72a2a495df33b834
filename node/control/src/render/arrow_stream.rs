//! An Arrow IPC stream, as the rows came.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;

use super::{Ending, RenderError, Writer};

pub(super) struct ArrowStream {
    writer: StreamWriter<Vec<u8>>,
}

impl ArrowStream {
    pub fn new(schema: &SchemaRef) -> Result<Self, RenderError> {
        Ok(Self { writer: StreamWriter::try_new(Vec::new(), schema)? })
    }

    fn drain(&mut self, out: &mut Vec<u8>) {
        out.append(self.writer.get_mut());
    }
}

impl Writer for ArrowStream {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), RenderError> {
        // Making the writer wrote the schema.
        self.drain(out);
        Ok(())
    }

    fn rows(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), RenderError> {
        self.writer.write(rows)?;
        self.drain(out);
        Ok(())
    }

    fn end(&mut self, _: Ending, out: &mut Vec<u8>) -> Result<(), RenderError> {
        self.writer.finish()?;
        self.drain(out);
        Ok(())
    }
}
