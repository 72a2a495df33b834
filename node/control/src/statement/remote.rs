//! One statement on one store: the call, until its first rows are here.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use raftduck_engine::batch;
use raftduck_model::{PartitionId, StoreId, Table};
use raftduck_wire::http;
use raftduck_wire::proto::store::{
    Consistency, PartitionBound, QueryError, QueryFrame, QueryRequest, QueryStart, query_error, query_frame,
};
use tokio::time::{Instant, timeout_at};
use tonic::Streaming;

use super::answer::{Broken, Piece, Pieces};
use super::{Asked, StatementError};
use crate::control::Control;

/// What a store is asked.
pub(super) struct Ask<'a> {
    pub store: StoreId,
    pub sql: &'a str,
    pub tables: &'a [Table],
    pub partitions: &'a [PartitionId],
    pub max_rows: Option<u64>,
}

/// Why a store gave no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another store may do better.
    Elsewhere {
        /// What this one cannot answer for; empty where it cannot answer at all.
        partitions: Vec<PartitionId>,
        /// In words.
        why: String,
    },
    /// No store would.
    Final(StatementError),
}

impl From<StatementError> for Refusal {
    fn from(error: StatementError) -> Self {
        Self::Final(error)
    }
}

/// An answer whose first rows, or whose end, are here.
pub(super) struct Opened {
    /// An Arrow IPC schema message.
    pub schema: Bytes,
    first: Frame,
    frames: Streaming<QueryFrame>,
}

/// What follows the start.
pub(super) enum Frame {
    /// An Arrow IPC record batch message.
    Rows(Bytes),
    End {
        truncated: bool,
    },
}

/// Asks one store, and waits until it is sure that it can answer.
pub(super) async fn open(control: &Control, asked: &Asked, ask: Ask<'_>) -> Result<Opened, Refusal> {
    let began = Instant::now();
    let opened = timeout_at(asked.deadline, call(control, asked, ask)).await;
    let outcome = match &opened {
        Ok(Ok(_) | Err(Refusal::Final(_))) => "ok",
        Ok(Err(Refusal::Elsewhere { .. })) => "broken",
        Err(_) => "timeout",
    };
    control.metrics.store_call("query", outcome, began.elapsed());
    opened.unwrap_or_else(|_| Err(Refusal::Final(asked.late())))
}

async fn call(control: &Control, asked: &Asked, ask: Ask<'_>) -> Result<Opened, Refusal> {
    let elsewhere = |why: String| Refusal::Elsewhere { partitions: Vec::new(), why };
    let Some(mut client) = control.stores.client(ask.store) else {
        return Err(elsewhere(format!("store {} has no address", ask.store)));
    };
    let tables = ask.tables.iter().map(|table| serde_json::to_vec(table).map(Bytes::from));
    let request = QueryRequest {
        sql: ask.sql.to_owned(),
        tables: tables
            .collect::<Result<_, _>>()
            .map_err(|error| StatementError::Internal(format!("a table cannot be written as JSON: {error}")))?,
        partitions: ask.partitions.iter().map(|p| PartitionBound { partition: p.0, least_index: 0 }).collect(),
        consistency: match asked.consistency {
            http::Consistency::Linearizable => Consistency::Linearizable,
            http::Consistency::Stale => Consistency::Stale,
        }
        .into(),
        timeout_ms: u32::try_from(asked.left().as_millis()).unwrap_or(u32::MAX),
        max_rows: ask.max_rows.unwrap_or(0),
    };
    let lost = |status: tonic::Status| match status.code() {
        // A message beyond what one call carries is so on every store.
        tonic::Code::OutOfRange | tonic::Code::ResourceExhausted => {
            Refusal::Final(StatementError::Resources(format!("an answer's rows are too long: {}", status.message())))
        }
        _ => elsewhere(format!("store {} did not answer: {}", ask.store, status.message())),
    };
    let mut frames = client.query(request).await.map_err(lost)?.into_inner();
    let mut schema = None;
    loop {
        let frame = frames.message().await.map_err(lost)?.and_then(|frame| frame.frame);
        match (frame, schema.take()) {
            (Some(query_frame::Frame::Start(QueryStart { schema: start, .. })), None) => schema = Some(start),
            (Some(query_frame::Frame::Batch(rows)), Some(schema)) => {
                return Ok(Opened { schema, first: Frame::Rows(rows), frames });
            }
            (Some(query_frame::Frame::End(end)), Some(schema)) => {
                return Ok(Opened { schema, first: Frame::End { truncated: end.truncated }, frames });
            }
            (Some(query_frame::Frame::Error(error)), _) => return Err(judge(asked, error)),
            (None, _) => return Err(elsewhere(format!("store {} ended its answer early", ask.store))),
            _ => return Err(elsewhere(format!("store {} sent frames out of order", ask.store))),
        }
    }
}

/// What a store's error means before any row has come.
fn judge(asked: &Asked, error: QueryError) -> Refusal {
    let code = error.code();
    match code {
        query_error::Code::Statement => Refusal::Final(StatementError::statement(error.detail)),
        query_error::Code::Resources if asked.left().is_zero() => Refusal::Final(asked.late()),
        query_error::Code::Resources => Refusal::Final(StatementError::Resources(error.detail)),
        query_error::Code::NotHere | query_error::Code::NotReady => Refusal::Elsewhere {
            partitions: error.partitions.into_iter().map(PartitionId).collect(),
            why: error.detail,
        },
        query_error::Code::Internal | query_error::Code::Unspecified => {
            Refusal::Elsewhere { partitions: Vec::new(), why: error.detail }
        }
    }
}

impl Opened {
    /// The rows as the store encoded them, and the end.
    pub fn frames(self) -> BoxStream<'static, Result<Frame, Broken>> {
        let ended = matches!(self.first, Frame::End { .. });
        let rest = stream::unfold((self.frames, ended), |(mut frames, ended)| async move {
            if ended {
                return None;
            }
            let broken = |why: &str| Err(Broken(why.to_owned()));
            let next = match frames.message().await {
                Ok(Some(QueryFrame { frame: Some(query_frame::Frame::Batch(rows)) })) => Ok(Frame::Rows(rows)),
                Ok(Some(QueryFrame { frame: Some(query_frame::Frame::End(end)) })) => {
                    Ok(Frame::End { truncated: end.truncated })
                }
                Ok(Some(QueryFrame { frame: Some(query_frame::Frame::Error(error)) })) => Err(Broken(error.detail)),
                Ok(Some(_)) => broken("the store sent frames out of order"),
                Ok(None) => broken("the store ended its answer early"),
                Err(status) => Err(Broken(format!("the store was lost: {}", status.message()))),
            };
            let ended = !matches!(next, Ok(Frame::Rows(_)));
            Some((next, (frames, ended)))
        });
        stream::iter([Ok(self.first)]).chain(rest).boxed()
    }

    /// The rows decoded.
    ///
    /// # Errors
    /// Where the schema cannot be read.
    pub fn pieces(self, deadline: Instant) -> Result<(arrow::datatypes::SchemaRef, Pieces), StatementError> {
        let schema = batch::decode_schema(&self.schema)
            .map_err(|error| StatementError::Internal(format!("a store's answer cannot be read: {error}")))?;
        let of = schema.clone();
        let decoded = self.frames().map(move |frame| match frame? {
            Frame::End { truncated } => Ok(Piece::End { truncated }),
            Frame::Rows(bytes) => batch::decode(bytes, &of).map(Piece::Rows).map_err(|error| Broken(error.to_string())),
        });
        Ok((schema, until(decoded.boxed(), deadline)))
    }
}

/// The pieces up to a moment: a store that freezes then leaves nobody waiting.
pub(super) fn until(pieces: Pieces, deadline: Instant) -> Pieces {
    stream::unfold(Some(pieces), move |pieces| async move {
        let mut pieces = pieces?;
        match timeout_at(deadline, pieces.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Err(_) => Some((Err(Broken("its time ran out".to_owned())), None)),
        }
    })
    .boxed()
}
