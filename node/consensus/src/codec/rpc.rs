//! The bodies of frames between replicas, snapshots aside.

use bytes::{BufMut, Bytes};
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use raftduck_model::codec::{DecodeError, Reader, Write};

use super::{decode_payload, encode_payload, open, read_flag, read_log_id, read_vote, start, write_vote};
use crate::types::{Entry, RaftLogId, Types, from_raft};

/// An entry's position, its payload's length, and the shortest payload.
const LEAST_ENTRY: usize = 24 + 4 + 2;

/// A payload that is less than this part of its frame is copied out of it: the log keeps payloads
/// in memory for a while, and one of a few bytes must not keep a frame of megabytes.
const SMALL_PART: usize = 16;

fn put_position(out: &mut bytes::BytesMut, id: Option<RaftLogId>) {
    out.put_option(id, |out, id| out.put_log_id(from_raft(id)));
}

fn position(input: &mut Reader, what: &'static str) -> Result<Option<RaftLogId>, DecodeError> {
    input.option(what, read_log_id)
}

/// Entries for a follower, or none for a heartbeat.
pub fn encode_append(request: &AppendEntriesRequest<Types>) -> Bytes {
    let payloads: Vec<Bytes> = request.entries.iter().map(|entry| encode_payload(&entry.payload)).collect();
    let mut out = start(80 + payloads.iter().map(|payload| payload.len() + 28).sum::<usize>());
    write_vote(&mut out, &request.vote);
    put_position(&mut out, request.prev_log_id);
    put_position(&mut out, request.leader_commit);
    out.put_u32_le(payloads.len() as u32);
    for (entry, payload) in request.entries.iter().zip(&payloads) {
        out.put_log_id(from_raft(entry.log_id));
        out.put_bytes_with_length(payload);
    }
    out.freeze()
}

/// What [`encode_append`] wrote. Refuses entries that no leader sends: openraft takes it for
/// granted that they are consecutive, in order and of no later term than their sender's.
pub fn decode_append(bytes: Bytes) -> Result<AppendEntriesRequest<Types>, DecodeError> {
    let whole = bytes.len();
    let mut input = open(bytes, "append version")?;
    let vote = read_vote(&mut input)?;
    let prev_log_id = position(&mut input, "previous position")?;
    let leader_commit = position(&mut input, "commit position")?;
    let mut last = prev_log_id;
    let entries = (0..input.count("entries", LEAST_ENTRY)?)
        .map(|_| {
            let log_id = read_log_id(&mut input)?;
            let follows = match last {
                None => log_id.index == 0,
                Some(last) => last.index.checked_add(1) == Some(log_id.index) && last.leader_id <= log_id.leader_id,
            };
            if !follows {
                return Err(DecodeError::Invalid("an entry does not follow the one before it"));
            }
            last = Some(log_id);
            let mut payload = input.bytes("payload")?;
            if payload.len() < whole / SMALL_PART {
                payload = Bytes::copy_from_slice(&payload);
            }
            let payload = decode_payload(payload)?;
            Ok(Entry { log_id, payload })
        })
        .collect::<Result<Vec<_>, DecodeError>>()?;
    input.finish()?;
    if !vote.committed || last.into_iter().chain(leader_commit).any(|id| id.leader_id > vote.leader_id) {
        return Err(DecodeError::Invalid("a leader sends what a later leader wrote, or is none"));
    }
    Ok(AppendEntriesRequest { vote, prev_log_id, leader_commit, entries })
}

/// How far a follower's log agrees with the leader's, or why not.
pub fn encode_append_answer(answer: &StreamAppendResult<Types>) -> Bytes {
    let mut out = start(32);
    match answer {
        Ok(matched) => {
            out.put_u8(0);
            put_position(&mut out, *matched);
        }
        Err(StreamAppendError::Conflict(id)) => {
            out.put_u8(1);
            out.put_log_id(from_raft(*id));
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            out.put_u8(2);
            write_vote(&mut out, vote);
        }
    }
    out.freeze()
}

/// What [`encode_append_answer`] wrote.
pub fn decode_append_answer(bytes: Bytes) -> Result<StreamAppendResult<Types>, DecodeError> {
    let mut input = open(bytes, "append answer version")?;
    let answer = match input.u8("append answer")? {
        0 => Ok(position(&mut input, "matched position")?),
        1 => Err(StreamAppendError::Conflict(read_log_id(&mut input)?)),
        2 => Err(StreamAppendError::HigherVote(read_vote(&mut input)?)),
        other => return Err(DecodeError::Unknown { what: "append answer", value: other.into() }),
    };
    input.finish()?;
    Ok(answer)
}

/// A candidate's request, for a vote or for whether it would get one.
pub fn encode_vote_request(request: &VoteRequest<Types>) -> Bytes {
    let mut out = start(48);
    write_vote(&mut out, &request.vote);
    put_position(&mut out, request.last_log_id);
    out.put_u8(request.leadership_transfer.into());
    out.freeze()
}

/// What [`encode_vote_request`] wrote.
pub fn decode_vote_request(bytes: Bytes) -> Result<VoteRequest<Types>, DecodeError> {
    let mut input = open(bytes, "vote request version")?;
    let vote = read_vote(&mut input)?;
    let last_log_id = position(&mut input, "candidate's last position")?;
    let leadership_transfer = read_flag(&mut input, "leadership transfer")?;
    input.finish()?;
    Ok(VoteRequest { vote, last_log_id, leadership_transfer })
}

/// A voter's answer.
pub fn encode_vote_answer(answer: &VoteResponse<Types>) -> Bytes {
    let mut out = start(48);
    write_vote(&mut out, &answer.vote);
    put_position(&mut out, answer.last_log_id);
    out.put_u8(answer.vote_granted.into());
    out.freeze()
}

/// What [`encode_vote_answer`] wrote.
pub fn decode_vote_answer(bytes: Bytes) -> Result<VoteResponse<Types>, DecodeError> {
    let mut input = open(bytes, "vote answer version")?;
    let vote = read_vote(&mut input)?;
    let last_log_id = position(&mut input, "voter's last position")?;
    let vote_granted = read_flag(&mut input, "vote granted")?;
    input.finish()?;
    Ok(VoteResponse { vote, vote_granted, last_log_id })
}

/// A leader's wish that another replica lead.
pub fn encode_transfer(request: &TransferLeaderRequest<Types>) -> Bytes {
    let mut out = start(56);
    write_vote(&mut out, request.from_leader());
    out.put_u64_le(*request.to_node_id());
    put_position(&mut out, request.last_log_id().copied());
    out.freeze()
}

/// What [`encode_transfer`] wrote.
pub fn decode_transfer(bytes: Bytes) -> Result<TransferLeaderRequest<Types>, DecodeError> {
    let mut input = open(bytes, "transfer version")?;
    let vote = read_vote(&mut input)?;
    let to = input.u64("next leader")?;
    let last = position(&mut input, "leader's last position")?;
    input.finish()?;
    Ok(TransferLeaderRequest::new(vote, to, last))
}

/// Whether the replica will try to lead.
pub fn encode_transfer_answer(answer: &TransferLeaderResponse<Types>) -> Bytes {
    let mut out = start(56);
    match answer {
        Ok(()) => out.put_u8(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            out.put_u8(1);
            write_vote(&mut out, expected);
            write_vote(&mut out, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            out.put_u8(2);
            put_position(&mut out, *expected);
            put_position(&mut out, *actual);
        }
    }
    out.freeze()
}

/// What [`encode_transfer_answer`] wrote.
pub fn decode_transfer_answer(bytes: Bytes) -> Result<TransferLeaderResponse<Types>, DecodeError> {
    let mut input = open(bytes, "transfer answer version")?;
    let answer = match input.u8("transfer answer")? {
        0 => Ok(()),
        1 => {
            let (expected, actual) = (read_vote(&mut input)?, read_vote(&mut input)?);
            Err(TransferLeaderError::VoteChanged { expected, actual })
        }
        2 => {
            let (expected, actual) = (position(&mut input, "expected")?, position(&mut input, "actual")?);
            Err(TransferLeaderError::LogNotFlushed { expected, actual })
        }
        other => return Err(DecodeError::Unknown { what: "transfer answer", value: other.into() }),
    };
    input.finish()?;
    Ok(answer)
}

/// Why a frame was not acted on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// What kind of reason.
    pub code: RefusalCode,
    /// The reason, for people.
    pub detail: String,
}

/// The kinds of [`Refusal`]; never renumbered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RefusalCode {
    /// The store does not run the group.
    NoSuchGroup = 1,
    /// The frame is for another replica than the store's.
    WrongReplica = 2,
    /// The frame is not what it says it is.
    Malformed = 3,
    /// Too much is under way already.
    Busy = 4,
    /// The store takes no entries: its disk is nearly full.
    NoRoom = 5,
    /// The replica stopped, or did not answer in time.
    Stopped = 6,
    /// A snapshot arrived damaged.
    Damaged = 7,
}

impl RefusalCode {
    fn from_number(number: u8) -> Result<Self, DecodeError> {
        Ok(match number {
            1 => Self::NoSuchGroup,
            2 => Self::WrongReplica,
            3 => Self::Malformed,
            4 => Self::Busy,
            5 => Self::NoRoom,
            6 => Self::Stopped,
            7 => Self::Damaged,
            other => return Err(DecodeError::Unknown { what: "refusal", value: other.into() }),
        })
    }
}

impl Refusal {
    /// A refusal with its reason.
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// Why a frame was not acted on.
pub fn encode_refusal(refusal: &Refusal) -> Bytes {
    let mut out = start(8 + refusal.detail.len());
    out.put_u8(refusal.code as u8);
    out.put_bytes_with_length(refusal.detail.as_bytes());
    out.freeze()
}

/// What [`encode_refusal`] wrote.
pub fn decode_refusal(bytes: Bytes) -> Result<Refusal, DecodeError> {
    let mut input = open(bytes, "refusal version")?;
    let code = RefusalCode::from_number(input.u8("refusal")?)?;
    let detail = input.text("refusal's reason")?;
    input.finish()?;
    Ok(Refusal { code, detail })
}
