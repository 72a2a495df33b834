//! One Query call: the rows of the named partitions, as many as are here, all of them caught up by the
//! worker's own read indexes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use futures::Stream;
use raftduck_model::{GroupId, PartitionId};
use raftduck_wire::proto::store::query_frame::Frame;
use raftduck_wire::proto::store::{
    PartitionBound, QueryEnd, QueryError, QueryFrame, QueryRequest, QueryStart, query_error,
};
use tokio::time::Instant;

use crate::hosted::Hosted;
use crate::member::Member;
use crate::reads::catch_up;
use crate::seat::Break;

/// The answer: which partitions it is about, then each one's rows in the same order.
pub async fn query(member: Arc<Member>, request: QueryRequest) -> impl Stream<Item = QueryFrame> + Send + use<> {
    let frames = match answer(&member, request).await {
        Ok(frames) => frames,
        Err(code) => vec![Frame::Error(QueryError { code: code.into(), ..QueryError::default() })],
    };
    futures::stream::iter(frames.into_iter().map(|frame| QueryFrame { frame: Some(frame) }))
}

async fn answer(member: &Arc<Member>, request: QueryRequest) -> Result<Vec<Frame>, query_error::Code> {
    let deadline = Instant::now() + Duration::from_millis(request.timeout_ms.into());
    let asked = request.partitions.iter().filter_map(|bound| member.group(GroupId(bound.partition)));
    let groups: Vec<Hosted> = asked.collect();
    if member.seat.breaks != Some(Break::ReadWithoutIndex) {
        let caught_up = catch_up(&groups, &member.directory, deadline).await;
        caught_up.map_err(|_| query_error::Code::NotReady)?;
    }
    let (mut answered, mut batches, mut rows) = (Vec::new(), Vec::new(), 0);
    for hosted in &groups {
        // A replica may have been taken away while this waited; its rows go after it.
        let partition = PartitionId(hosted.id().0);
        let here = member.group(hosted.id()).is_some_and(|now| now.replica == hosted.replica);
        if !here {
            return Err(query_error::Code::NotHere);
        }
        let (last, batch) = member.engine.look(partition, |state| {
            let mut batch = BytesMut::with_capacity(8 * state.rows.len());
            state.rows.keys().for_each(|row| batch.put_u64_le(*row));
            (state.last, batch.freeze())
        });
        rows += batch.len() as u64 / 8;
        answered.push(PartitionBound { partition: partition.0, least_index: last.map_or(0, |last| last.index) });
        batches.push(Frame::Batch(batch));
    }
    let start = Frame::Start(QueryStart { answered, ..QueryStart::default() });
    let end = Frame::End(QueryEnd { rows, truncated: false });
    Ok(std::iter::once(start).chain(batches).chain([end]).collect())
}
