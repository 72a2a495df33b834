//! Control frames: one request, one answer.

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use raftduck_model::codec::DecodeError;

use super::session::PATIENCE;
use crate::codec::{self, Refusal, RefusalCode};
use crate::frame::Kind;
use crate::group::Raft;
use crate::types::Types;

/// A control frame, decoded.
pub(super) enum Request {
    Heartbeat(AppendEntriesRequest<Types>),
    Vote(VoteRequest<Types>),
    PreVote(VoteRequest<Types>),
    Transfer(TransferLeaderRequest<Types>),
}

pub(super) fn malformed(error: DecodeError) -> Refusal {
    Refusal::new(RefusalCode::Malformed, error.to_string())
}

pub(super) fn stopped(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalCode::Stopped, error.to_string())
}

pub(super) fn decode(kind: Kind, body: Bytes) -> Result<Request, Refusal> {
    match kind {
        Kind::Heartbeat => {
            let request = codec::decode_append(body).map_err(malformed)?;
            match request.entries.is_empty() {
                true => Ok(Request::Heartbeat(request)),
                false => Err(Refusal::new(RefusalCode::Malformed, "a heartbeat with entries")),
            }
        }
        Kind::Vote => codec::decode_vote_request(body).map(Request::Vote).map_err(malformed),
        Kind::PreVote => codec::decode_vote_request(body).map(Request::PreVote).map_err(malformed),
        Kind::Transfer => codec::decode_transfer(body).map(Request::Transfer).map_err(malformed),
        _ => Err(Refusal::new(RefusalCode::Malformed, "the frame is no control frame")),
    }
}

/// The group's answer, or why there is none within [`PATIENCE`].
pub(super) async fn handle(raft: &Raft, request: Request) -> Result<Bytes, Refusal> {
    let answer = tokio::time::timeout(PATIENCE, ask(raft, request)).await;
    answer.unwrap_or_else(|_| Err(Refusal::new(RefusalCode::Stopped, "the replica did not answer in time")))
}

async fn ask(raft: &Raft, request: Request) -> Result<Bytes, Refusal> {
    Ok(match request {
        Request::Heartbeat(request) => {
            let prev = request.prev_log_id;
            let answer = raft.append_entries(request).await.map_err(stopped)?;
            codec::encode_append_answer(&requests_answer(answer, prev)?)
        }
        Request::Vote(request) => codec::encode_vote_answer(&raft.vote(request).await.map_err(stopped)?),
        Request::PreVote(request) => codec::encode_vote_answer(&raft.pre_vote(request).await.map_err(stopped)?),
        Request::Transfer(request) => {
            codec::encode_transfer_answer(&raft.handle_transfer_leader(request).await.map_err(stopped)?)
        }
    })
}

type Matched = openraft::raft::StreamAppendResult<Types>;

/// The answer to a heartbeat, as the stream of entries would have it.
fn requests_answer(
    answer: openraft::raft::AppendEntriesResponse<Types>,
    prev: Option<crate::types::RaftLogId>,
) -> Result<Matched, Refusal> {
    if answer.is_conflict() && prev.is_none() {
        return Err(Refusal::new(RefusalCode::Malformed, "nothing conflicts with the log's beginning"));
    }
    Ok(answer.into_stream_result(prev, prev))
}
