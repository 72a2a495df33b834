//! What the log keeps: payloads, votes, memberships.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use openraft::EntryPayload;
use raftduck_model::StoreId;
use raftduck_model::codec::{DecodeError, Reader, Write};
use uuid::Uuid;

use super::{VERSION, open, read_flag, start};
use crate::types::{Command, LeaderId, Membership, Node, RaftLogId, StoredMembership, Vote, from_raft, to_raft};

pub(crate) const PAYLOAD_BLANK: u8 = 0;
pub(crate) const PAYLOAD_COMMAND: u8 = 1;
pub(crate) const PAYLOAD_MEMBERSHIP: u8 = 2;

type Payload = EntryPayload<Command, u64, Node>;

/// An entry's payload as the log keeps it. A command's is shared, not copied.
pub fn encode_payload(payload: &Payload) -> Bytes {
    match payload {
        EntryPayload::Blank => Bytes::from_static(&[VERSION, PAYLOAD_BLANK]),
        EntryPayload::Normal(command) => command.payload().clone(),
        EntryPayload::Membership(membership) => {
            let mut out = start(64);
            out.put_u8(PAYLOAD_MEMBERSHIP);
            write_membership(&mut out, membership);
            out.freeze()
        }
    }
}

/// The payload in `bytes`; a command shares their memory.
pub fn decode_payload(bytes: Bytes) -> Result<Payload, DecodeError> {
    let mut input = open(bytes.clone(), "payload version")?;
    match input.u8("payload")? {
        PAYLOAD_BLANK => input.finish().map(|()| EntryPayload::Blank),
        PAYLOAD_COMMAND => Ok(EntryPayload::Normal(Command::from_payload(bytes))),
        PAYLOAD_MEMBERSHIP => {
            let membership = read_membership(&mut input)?;
            input.finish()?;
            Ok(EntryPayload::Membership(membership))
        }
        other => Err(DecodeError::Unknown { what: "payload", value: other.into() }),
    }
}

/// A vote as the log keeps it.
pub fn encode_vote(vote: &Vote) -> Bytes {
    let mut out = start(17);
    write_vote(&mut out, vote);
    out.freeze()
}

/// What [`encode_vote`] wrote.
pub fn decode_vote(bytes: Bytes) -> Result<Vote, DecodeError> {
    let mut input = open(bytes, "vote version")?;
    let vote = read_vote(&mut input)?;
    input.finish()?;
    Ok(vote)
}

/// A membership and its entry's position, as state machines keep it.
pub fn encode_stored_membership(stored: &StoredMembership) -> Bytes {
    let mut out = start(96);
    write_stored_membership(&mut out, stored);
    out.freeze()
}

/// What [`encode_stored_membership`] wrote. No bytes at all are the membership before any.
pub fn decode_stored_membership(bytes: Bytes) -> Result<StoredMembership, DecodeError> {
    if bytes.is_empty() {
        return Ok(StoredMembership::default());
    }
    let mut input = open(bytes, "stored membership version")?;
    let stored = read_stored_membership(&mut input)?;
    input.finish()?;
    Ok(stored)
}

pub(crate) fn write_vote(out: &mut BytesMut, vote: &Vote) {
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.node_id);
    out.put_u8(vote.committed.into());
}

pub(crate) fn read_vote(input: &mut Reader) -> Result<Vote, DecodeError> {
    let (term, node_id) = (input.u64("vote's term")?, input.u64("vote's replica")?);
    let committed = read_flag(input, "vote committed")?;
    Ok(openraft::Vote { leader_id: LeaderId { term, node_id }, committed })
}

pub(crate) fn read_log_id(input: &mut Reader) -> Result<RaftLogId, DecodeError> {
    input.log_id().map(to_raft)
}

pub(crate) fn write_stored_membership(out: &mut BytesMut, stored: &StoredMembership) {
    out.put_option(stored.log_id().as_ref(), |out, id| out.put_log_id(from_raft(*id)));
    write_membership(out, stored.membership());
}

pub(crate) fn read_stored_membership(input: &mut Reader) -> Result<StoredMembership, DecodeError> {
    let id = input.option("membership's position", read_log_id)?;
    Ok(openraft::StoredMembership::new(id, read_membership(input)?))
}

fn write_membership(out: &mut BytesMut, membership: &Membership) {
    let configs = membership.get_joint_config();
    out.put_u32_le(configs.len() as u32);
    for voters in configs {
        out.put_u32_le(voters.len() as u32);
        for voter in voters {
            out.put_u64_le(*voter);
        }
    }
    let nodes: Vec<_> = membership.nodes().collect();
    out.put_u32_le(nodes.len() as u32);
    for (replica, node) in nodes {
        out.put_u64_le(*replica);
        out.put_u128_le(node.store.0.as_u128());
    }
}

fn read_membership(input: &mut Reader) -> Result<Membership, DecodeError> {
    let configs = (0..input.count("voter sets", 4)?)
        .map(|_| (0..input.count("voters", 8)?).map(|_| input.u64("voter")).collect::<Result<BTreeSet<_>, _>>())
        .collect::<Result<Vec<_>, DecodeError>>()?;
    let nodes = (0..input.count("replicas", 24)?)
        .map(|_| {
            let replica = input.u64("replica")?;
            Ok((replica, Node { store: StoreId(Uuid::from_u128(input.u128("store")?)) }))
        })
        .collect::<Result<BTreeMap<_, _>, DecodeError>>()?;
    Membership::new(configs, nodes)
        .map_err(|_| DecodeError::Invalid("a voter set is empty, or names an unknown replica"))
}
