//! What openraft's generic parameters are here, and the step between its types and [`raftduck_model`]'s.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use openraft::OptionalSend;
use openraft::raft::ClientWriteResult;
use openraft::raft::responder::Responder;
use openraft::type_config::alias::{EntryOf, LeaderIdOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use raftduck_model::{LogId, ReplicaId, StoreId};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::codec::{PAYLOAD_COMMAND, VERSION};

/// The type configuration of every group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Types;

// Written out because `declare_raft_types!` cannot name a responder of one's own.
impl openraft::RaftTypeConfig for Types {
    type D = Command;
    type R = Bytes;
    type NodeId = u64;
    type Node = Node;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>;
    type Vote = openraft::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Command, u64, Node>;
    type Entry = openraft::Entry<Self::LeaderId, Self::Payload>;
    #[allow(deprecated)] // the path that is not takes another dependency, of the same version for ever
    type AsyncRuntime = openraft::TokioRuntime;
    type Responder<T>
        = Reporter<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// An entry as openraft holds it.
pub type Entry = EntryOf<Types>;
/// A log position as openraft holds it.
pub type RaftLogId = LogIdOf<Types>;
/// A vote.
pub type Vote = VoteOf<Types>;
/// A leader's identity: its term and its replica.
pub type LeaderId = LeaderIdOf<Types>;
/// A group's voters and learners.
pub type Membership = openraft::Membership<u64, Node>;
/// A [`Membership`] and the entry that made it.
pub type StoredMembership = StoredMembershipOf<Types>;
/// What a snapshot says of itself.
pub type SnapshotMeta = SnapshotMetaOf<Types>;

/// Where a replica is. Only the store: its address is looked up afresh at every connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node {
    /// The store that holds the replica.
    pub store: StoreId,
}

/// Only openraft's conformance suite makes nodes from nothing.
impl Default for Node {
    fn default() -> Self {
        Self { store: StoreId(Uuid::nil()) }
    }
}

/// A command with the two bytes before it that make it a log payload, so that it is copied once
/// when proposed and never again on its way to the log.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(Bytes);

impl Command {
    /// Copies `data` behind the payload's head.
    pub fn new(data: &[u8]) -> Self {
        let mut payload = BytesMut::with_capacity(2 + data.len());
        payload.put_u8(VERSION);
        payload.put_u8(PAYLOAD_COMMAND);
        payload.put_slice(data);
        Self(payload.freeze())
    }

    /// Takes a whole payload whose head was checked by the decoder.
    pub(crate) fn from_payload(payload: Bytes) -> Self {
        Self(payload)
    }

    /// The whole payload.
    pub(crate) fn payload(&self) -> &Bytes {
        &self.0
    }

    /// The command's own bytes.
    pub fn data(&self) -> Bytes {
        self.0.slice(2.min(self.0.len())..)
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({} bytes)", self.data().len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Tells a proposer when its entry is committed and when it is applied. Openraft's own logs a
/// warning for every receiver that has gone, and ours usually go once the entry is committed.
pub struct Reporter<T> {
    commit: Option<oneshot::Sender<LogId>>,
    complete: oneshot::Sender<T>,
}

impl Reporter<ClientWriteResult<Types>> {
    /// A reporter, and where it reports the commit and the outcome.
    pub(crate) fn new() -> (Self, oneshot::Receiver<LogId>, oneshot::Receiver<ClientWriteResult<Types>>) {
        let (commit, committed) = oneshot::channel();
        let (complete, completed) = oneshot::channel();
        (Self { commit: Some(commit), complete }, committed, completed)
    }
}

impl<T: OptionalSend + 'static> Responder<Types, T> for Reporter<T> {
    fn on_commit(&mut self, id: RaftLogId) {
        if let Some(commit) = self.commit.take() {
            let _ = commit.send(from_raft(id));
        }
    }

    fn on_complete(self, result: T) {
        let _ = self.complete.send(result);
    }
}

/// A log position in the words of [`raftduck_model`].
pub fn from_raft(id: RaftLogId) -> LogId {
    LogId { term: id.leader_id.term, leader: ReplicaId(id.leader_id.node_id), index: id.index }
}

/// A log position in openraft's words.
pub fn to_raft(id: LogId) -> RaftLogId {
    RaftLogId { leader_id: LeaderId { term: id.term, node_id: id.leader.0 }, index: id.index }
}
