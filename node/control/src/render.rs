//! An answer's rows as bytes: JSON, NDJSON, CSV or an Arrow stream, batch by batch as they come.
//!
//! | type | JSON and NDJSON | CSV |
//! |---|---|---|
//! | BOOLEAN | `true` | `true` |
//! | integers to 64 bits | number; with `numbers=string` those of 64 bits in quotes | number |
//! | HUGEINT, DECIMAL | text, every digit of it | number |
//! | FLOAT, DOUBLE | number; `"NaN"`, `"Infinity"`, `"-Infinity"` | the same, bare |
//! | VARCHAR, UUID, ENUM | text | text |
//! | BLOB, BIT | base64 | base64 |
//! | DATE | `"2013-01-31"` | the same, bare |
//! | TIME | `"05:00:00.000000"` | the same, bare |
//! | TIMESTAMP | RFC 3339 in UTC with microseconds: `"2013-01-31T05:00:00.000000Z"` | the same, bare |
//! | INTERVAL | `"1 year 2 months 3 days 04:05:06.000000"` | the same, bare |
//! | LIST, ARRAY | array | the JSON in quotes |
//! | STRUCT, MAP | object | the JSON in quotes |
//! | NULL | `null` | empty; `''` is `""` |
//!
//! `tests/golden` has one answer with all of them. What comes out can be sent back in to
//! `POST /v1/tables/{t}/rows` and is the same row.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use raftduck_wire::http::{self, Numbers};
use tokio::time::Instant;

use crate::Format;
use crate::statement::{Answer, Coverage, Piece, Pieces};

mod accept;
mod arrow_stream;
mod cells;
mod csv;
mod json;
mod text;
mod types;

pub use accept::{NotAcceptable, negotiate};
pub use types::TYPE_KEY;

/// Which partitions an answer lacks, where its body cannot say so.
pub const MISSING_PARTITIONS: &str = "x-raftduck-missing-partitions";

/// Why rows cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A type that has no text here.
    #[error("column {column:?} is of a type that cannot be sent as text: {kind}; cast it to VARCHAR, or ask for Arrow")]
    Type {
        /// The column.
        column: String,
        /// Arrow's name for its type.
        kind: String,
    },
    /// Arrow's own writer failed.
    #[error("the rows cannot be written as Arrow")]
    Arrow(#[from] arrow::error::ArrowError),
}

/// How an answer ended.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Rows written.
    pub rows: u64,
    /// `max_rows` cut it short.
    pub truncated: bool,
}

/// Writes one answer in one format. What is put into `out` goes to the client.
trait Writer: Send {
    /// What stands before the rows.
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), RenderError>;
    /// Some rows.
    fn rows(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), RenderError>;
    /// What stands after them.
    fn end(&mut self, ending: Ending, out: &mut Vec<u8>) -> Result<(), RenderError>;
}

/// The answer as a response. Its body ends abnormally where the rows break off.
///
/// # Errors
/// Where a column has a type that the format cannot hold; nothing was sent then.
pub fn respond(answer: Answer, format: Format, numbers: Numbers, arrived: Instant) -> Result<Response, RenderError> {
    let Answer { schema, coverage, pieces } = answer;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    if format != Format::Json {
        headers.insert(header::TRAILER, HeaderValue::from_static(http::header::ROW_COUNT));
        if coverage.is_partial() {
            let missing: Vec<String> = coverage.missing.iter().map(ToString::to_string).collect();
            if let Ok(value) = HeaderValue::from_str(&missing.join(",")) {
                headers.insert(HeaderName::from_static(MISSING_PARTITIONS), value);
            }
        }
    }
    let writer = writer(&schema, coverage, format, numbers, arrived)?;
    let rows = Arc::new(AtomicU64::new(0));
    let chunks = Body::from_stream(chunks(writer, pieces, slice_rows(format), rows.clone()));
    if format == Format::Json {
        return Ok((headers, chunks).into_response());
    }
    let trailers = async move {
        let count = HeaderValue::from(rows.load(Ordering::Acquire));
        Some(Ok(HeaderMap::from_iter([(HeaderName::from_static(http::header::ROW_COUNT), count)])))
    };
    Ok((headers, Body::new(chunks.with_trailers(trailers))).into_response())
}

fn writer(
    schema: &SchemaRef,
    coverage: Coverage,
    format: Format,
    numbers: Numbers,
    arrived: Instant,
) -> Result<Box<dyn Writer>, RenderError> {
    let mut writer: Box<dyn Writer> = match format {
        Format::Json => Box::new(json::Json { schema: schema.clone(), coverage, numbers, arrived, any: false }),
        Format::Ndjson => Box::new(json::Ndjson::new(schema, numbers)),
        Format::Csv => Box::new(csv::Csv { schema: schema.clone() }),
        Format::Arrow => return Ok(Box::new(arrow_stream::ArrowStream::new(schema)?)),
    };
    // No rows, so nothing is written, but a type without a text is found while there can still be an error.
    writer.rows(&RecordBatch::new_empty(schema.clone()), &mut Vec::new())?;
    Ok(writer)
}

/// Rows written at once: text takes several times what its rows do, and other requests wait meanwhile.
fn slice_rows(format: Format) -> usize {
    match format {
        Format::Arrow => usize::MAX,
        Format::Json | Format::Ndjson | Format::Csv => 2_048,
    }
}

/// Where the writing stands.
struct State {
    writer: Box<dyn Writer>,
    pieces: Pieces,
    /// Rows that came and are not written yet.
    pending: RecordBatch,
    begun: bool,
    written: Arc<AtomicU64>,
}

/// The answer's bytes. An answer that breaks off, or that ends without having said so, is an error here: the connection
/// is cut, so that nobody takes what came for the whole.
fn chunks(
    writer: Box<dyn Writer>,
    pieces: Pieces,
    slice_rows: usize,
    written: Arc<AtomicU64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let pending = RecordBatch::new_empty(Arc::new(Schema::empty()));
    let state = State { writer, pieces, pending, begun: false, written };
    stream::try_unfold(Some(state), move |state| async move {
        let Some(mut state) = state else { return Ok(None) };
        let mut out = Vec::new();
        let more = state.next(slice_rows, &mut out).await.map_err(|error| {
            tracing::info!(error = %error, "an answer broke off");
            error
        })?;
        Ok(Some((Bytes::from(out), more.then_some(state))))
    })
}

impl State {
    /// Writes the next slice of rows, or the end; says whether there is more.
    async fn next(&mut self, slice_rows: usize, out: &mut Vec<u8>) -> io::Result<bool> {
        if !std::mem::replace(&mut self.begun, true) {
            self.writer.begin(out).map_err(io::Error::other)?;
        }
        if self.pending.num_rows() == 0 {
            match self.pieces.next().await {
                Some(Ok(Piece::Rows(rows))) => self.pending = rows,
                Some(Ok(Piece::End { truncated })) => {
                    let rows = self.written.load(Ordering::Acquire);
                    self.writer.end(Ending { rows, truncated }, out).map_err(io::Error::other)?;
                    return Ok(false);
                }
                Some(Err(broken)) => return Err(io::Error::other(broken)),
                None => return Err(io::Error::other("the answer ended without its end")),
            }
        }
        let count = self.pending.num_rows().min(slice_rows);
        self.writer.rows(&self.pending.slice(0, count), out).map_err(io::Error::other)?;
        self.pending = self.pending.slice(count, self.pending.num_rows() - count);
        self.written.fetch_add(count as u64, Ordering::AcqRel);
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
