//! DuckDB answers in batches of 2048 rows; fewer and larger ones cost less on every later step.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::query::QueryError;

/// Rows and bytes that make one batch of an answer.
const BATCH_ROWS: usize = 16 << 10;
const BATCH_BYTES: usize = 1 << 20;

/// Batches of an answer on their way to being one.
pub(crate) struct Gathered {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Gathered {
    /// For answers that DuckDB gives with this schema.
    pub fn new(schema: &Schema) -> Self {
        let fields = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Dictionary(_, value) => Arc::new(Field::clone(field).with_data_type(value.as_ref().clone())),
            _ => Arc::clone(field),
        });
        Self { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), batches: Vec::new(), rows: 0, bytes: 0 }
    }

    /// The schema of the batches that come out: ENUMs as their text, because a batch travels
    /// without the dictionaries that Arrow sends before it.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Takes in a batch; gives all of them where they are enough.
    pub fn add(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>, QueryError> {
        if batch.num_rows() > 0 {
            let columns = batch.columns().iter().zip(self.schema.fields());
            let columns = columns.map(|(column, field)| plain(column, field.data_type())).collect::<Result<_, _>>();
            let batch = columns.and_then(|columns| RecordBatch::try_new(Arc::clone(&self.schema), columns));
            let batch = batch.map_err(|error| QueryError::Store(error.to_string()))?;
            self.rows += batch.num_rows();
            self.bytes += batch.get_array_memory_size();
            self.batches.push(batch);
        }
        if self.rows < BATCH_ROWS && self.bytes < BATCH_BYTES { Ok(None) } else { self.take() }
    }

    /// What was gathered, where there is any.
    pub fn take(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        (self.rows, self.bytes) = (0, 0);
        let batches = std::mem::take(&mut self.batches);
        if batches.len() < 2 {
            return Ok(batches.into_iter().next());
        }
        concat_batches(&self.schema, &batches).map(Some).map_err(|error| QueryError::Store(error.to_string()))
    }
}

fn plain(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Dictionary(..) => cast(column, wanted),
        _ => Ok(Arc::clone(column)),
    }
}
