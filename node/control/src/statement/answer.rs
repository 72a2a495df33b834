//! A query's answer on its way: what is known before the first row, and the rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use raftduck_model::PartitionId;

/// A query's answer. Which partitions it is of is settled; its rows may still fail.
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// What it is of.
    pub coverage: Coverage,
    /// Its rows. They count only once a [`Piece::End`] has come: a stream that ends without one has failed.
    pub pieces: Pieces,
}

/// An answer's rows, piece by piece.
pub type Pieces = BoxStream<'static, Result<Piece, Broken>>;

/// One piece of an answer.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Some rows.
    Rows(RecordBatch),
    /// There are no more.
    End {
        /// `max_rows` cut them short.
        truncated: bool,
    },
}

/// The answer failed after its first byte may have left.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub struct Broken(pub String);

/// Who answered. A store that is away makes no answer partial as long as others hold its partitions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Coverage {
    /// Registered stores.
    pub total_nodes: u32,
    /// Connected ones.
    pub responding_nodes: u32,
    /// Partitions whose rows are not in the answer, in order.
    pub missing: Vec<PartitionId>,
}

impl Coverage {
    /// Whether partitions are missing.
    pub fn is_partial(&self) -> bool {
        !self.missing.is_empty()
    }
}

impl Answer {
    /// An answer that is there already.
    pub fn of(batch: RecordBatch, coverage: Coverage, max_rows: Option<u64>) -> Self {
        let wanted = max_rows.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(usize::MAX);
        let truncated = batch.num_rows() > wanted;
        let schema = batch.schema();
        let rows = batch.slice(0, batch.num_rows().min(wanted));
        let pieces = stream::iter([Ok(Piece::Rows(rows)), Ok(Piece::End { truncated })]).boxed();
        Self { schema, coverage, pieces }
    }
}

/// A batch of named columns, none of which is NULL anywhere; they have the same length.
pub(super) fn table_of(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, arrow::error::ArrowError> {
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let rows = columns.first().map_or(0, |(_, array)| array.len());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options)
}

/// Text values as a column.
pub(super) fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(arrow::array::StringArray::from_iter_values(values))
}
