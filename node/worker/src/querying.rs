//! One Query call: the partitions caught up, the statement run, its rows framed.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use raftduck_engine::{QueryError, QuerySpec, QueryStream, batch};
use raftduck_model::{GroupId, PartitionId, Table};
use raftduck_wire::proto::store::{
    self, Consistency, PartitionBound, QueryEnd, QueryFrame, QueryRequest, QueryStart, query_error, query_frame,
};
use tokio::time::{Instant, timeout_at};

use crate::hosted::Hosted;
use crate::member::Member;
use crate::reads;

/// The longest a statement may take, whatever it asks for.
const LONGEST: Duration = Duration::from_secs(300);
/// How long partitions may take to catch up before the caller is sent elsewhere.
const CATCH_UP: Duration = Duration::from_secs(2);

/// The frames of the answer: a start, batches and an end; or an error, at any point.
pub async fn query(member: Arc<Member>, request: QueryRequest) -> impl Stream<Item = QueryFrame> + Send + 'static {
    match start(&member, request).await {
        Ok(answer) => frames(answer).left_stream(),
        Err(error) => stream::iter([frame(query_frame::Frame::Error(error))]).right_stream(),
    }
}

async fn start(member: &Arc<Member>, request: QueryRequest) -> Result<QueryStream, store::QueryError> {
    let deadline = Instant::now() + Duration::from_millis(request.timeout_ms.into()).min(LONGEST);
    let tables = request
        .tables
        .iter()
        .map(|text| serde_json::from_slice::<Table>(text))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failure(query_error::Code::Internal, format!("a table that cannot be read: {error}")))?;
    let groups = held(member, &request.partitions)?;
    if request.consistency() == Consistency::Linearizable {
        let behind = reads::catch_up(&groups, &member.directory, deadline.min(Instant::now() + CATCH_UP)).await;
        behind.map_err(|groups| not_ready(&groups))?;
    }
    wait_for_least(member, &groups, &request.partitions, deadline.min(Instant::now() + CATCH_UP)).await?;
    let spec = QuerySpec {
        sql: request.sql,
        tables,
        partitions: Some(request.partitions.iter().map(|bound| PartitionId(bound.partition)).collect()),
        max_rows: (request.max_rows > 0).then_some(request.max_rows),
        timeout: deadline.saturating_duration_since(Instant::now()),
    };
    let answer = member.engine.query(spec).await.map_err(|error| query_failure(&error))?;
    // One that has moved away since it was looked for is not in the rows, nor among the positions.
    let read = |bound: &PartitionBound| {
        let index = answer.answered.applied.get(&PartitionId(bound.partition));
        index.is_some_and(|index| index.0 >= bound.least_index)
    };
    let missing: Vec<u32> =
        request.partitions.iter().filter(|bound| !read(bound)).map(|bound| bound.partition).collect();
    if missing.is_empty() { Ok(answer) } else { Err(not_here(missing)) }
}

/// The named partitions' replicas here, each of them.
fn held(member: &Member, partitions: &[PartitionBound]) -> Result<Vec<Hosted>, store::QueryError> {
    let found = partitions.iter().map(|bound| member.group(GroupId(bound.partition)).ok_or(bound.partition));
    let (held, missing): (Vec<_>, Vec<_>) = found.partition(Result::is_ok);
    let missing: Vec<u32> = missing.into_iter().filter_map(Result::err).collect();
    match missing.is_empty() {
        true => Ok(held.into_iter().filter_map(Result::ok).collect()),
        false => Err(not_here(missing)),
    }
}

fn not_here(partitions: Vec<u32>) -> store::QueryError {
    store::QueryError {
        code: query_error::Code::NotHere.into(),
        detail: "this store does not hold every partition asked for".into(),
        partitions,
    }
}

/// What the caller wrote itself is to be seen, whatever the consistency.
async fn wait_for_least(
    member: &Member,
    groups: &[Hosted],
    bounds: &[PartitionBound],
    deadline: Instant,
) -> Result<(), store::QueryError> {
    for (hosted, bound) in groups.iter().zip(bounds) {
        let mut applied = member.engine.partition(PartitionId(bound.partition)).watch_applied();
        let enough = applied.wait_for(|applied| applied.index().0 >= bound.least_index);
        if !matches!(timeout_at(deadline, enough).await, Ok(Ok(_))) {
            return Err(not_ready(&[hosted.id()]));
        }
    }
    Ok(())
}

fn frames(answer: QueryStream) -> impl Stream<Item = QueryFrame> + Send {
    let start = QueryStart {
        schema: batch::encode_schema(&answer.answered.schema),
        answered: answer
            .answered
            .applied
            .iter()
            .map(|(partition, index)| PartitionBound { partition: partition.0, least_index: index.0 })
            .collect(),
        build: raftduck_engine::build().into(),
    };
    let rest = stream::unfold(Some((answer, 0)), |state| async {
        let (mut answer, rows) = state?;
        Some(match answer.next().await {
            Ok(Some(batch)) => match batch::encode(&batch) {
                Ok(bytes) => {
                    let rows = rows + batch.num_rows() as u64;
                    (frame(query_frame::Frame::Batch(bytes)), Some((answer, rows)))
                }
                Err(error) => (error_frame(query_error::Code::Internal, error.to_string()), None),
            },
            Ok(None) => (frame(query_frame::Frame::End(QueryEnd { rows, truncated: answer.truncated() })), None),
            Err(error) => (frame(query_frame::Frame::Error(query_failure(&error))), None),
        })
    });
    stream::iter([frame(query_frame::Frame::Start(start))]).chain(rest)
}

fn frame(content: query_frame::Frame) -> QueryFrame {
    QueryFrame { frame: Some(content) }
}

fn error_frame(code: query_error::Code, detail: String) -> QueryFrame {
    frame(query_frame::Frame::Error(failure(code, detail)))
}

fn failure(code: query_error::Code, detail: String) -> store::QueryError {
    store::QueryError { code: code.into(), detail, partitions: Vec::new() }
}

fn not_ready(groups: &[GroupId]) -> store::QueryError {
    store::QueryError {
        code: query_error::Code::NotReady.into(),
        detail: "partitions have no leader, or are too far behind here".into(),
        partitions: groups.iter().map(|group| group.0).collect(),
    }
}

fn query_failure(error: &QueryError) -> store::QueryError {
    let code = match error {
        QueryError::Statement(_) | QueryError::NotOneSelect(_) => query_error::Code::Statement,
        QueryError::Busy | QueryError::Timeout | QueryError::Memory(_) => query_error::Code::Resources,
        QueryError::Store(_) => query_error::Code::Internal,
    };
    failure(code, error.to_string())
}
