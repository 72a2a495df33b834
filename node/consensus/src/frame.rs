//! What a frame between stores can be, and who it is between.

use bytes::Bytes;
use raftduck_model::{GroupId, ReplicaId, limits};
use raftduck_wire::proto::peer::Frame;

/// The largest frame: a body, and the fields around it.
pub(crate) const FRAME_BYTES: usize = limits::FRAME_BYTES + 1024;

/// The metadata that say which cluster and stores a stream joins, and what it carries.
pub(crate) mod metadata {
    pub const CLUSTER: &str = "raftduck-cluster";
    pub const FROM: &str = "raftduck-from-store";
    pub const TO: &str = "raftduck-to-store";
    pub const CLASS: &str = "raftduck-class";
}

/// What a frame's body is; never renumbered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// Entries of an append stream; the frames of one stream share a call and keep their order.
    Append = 1,
    /// No more frames of this append stream or snapshot will come. Not answered.
    End = 2,
    /// An append request without entries, on its own.
    Heartbeat = 3,
    /// A candidate asks for a vote.
    Vote = 4,
    /// A replica asks whether it would get a vote.
    PreVote = 5,
    /// A leader asks another replica to lead.
    Transfer = 6,
    /// A snapshot begins.
    SnapshotHead = 7,
    /// A piece of it.
    SnapshotChunk = 8,
    /// Its hashes: all pieces were sent.
    SnapshotEnd = 9,
    /// The answer to a frame of the same call.
    Answer = 64,
    /// The frame was not acted on; see [`crate::codec::Refusal`].
    Refusal = 65,
}

impl Kind {
    /// The kind of that number, if this build knows it.
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Append,
            2 => Self::End,
            3 => Self::Heartbeat,
            4 => Self::Vote,
            5 => Self::PreVote,
            6 => Self::Transfer,
            7 => Self::SnapshotHead,
            8 => Self::SnapshotChunk,
            9 => Self::SnapshotEnd,
            64 => Self::Answer,
            65 => Self::Refusal,
            _ => return None,
        })
    }
}

/// The streams between two stores. Each has its own connection, so that nothing small waits behind
/// something large.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Votes, heartbeats and transfers.
    Control,
    /// Entries.
    Log,
    /// Snapshots.
    Snapshot,
}

impl Class {
    /// Its name in a stream's metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Log => "log",
            Self::Snapshot => "snapshot",
        }
    }

    /// The class of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Control, Self::Log, Self::Snapshot].into_iter().find(|class| class.name() == name)
    }

    /// Frames waiting to be sent to one peer, in bytes. Entries and snapshot pieces have tighter
    /// bounds of their own and never get here; control frames are small, and time out.
    pub(crate) fn queue_bytes(self) -> usize {
        match self {
            Self::Control => 1 << 20,
            Self::Log => 64 << 20,
            Self::Snapshot => 16 << 20,
        }
    }
}

/// One replica writing to another of its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Address {
    pub group: GroupId,
    pub from: ReplicaId,
    pub to: ReplicaId,
}

impl Address {
    pub(crate) fn frame(self, call: u64, kind: Kind, body: Bytes) -> Frame {
        Frame { group: self.group.0, from_replica: self.from.0, to_replica: self.to.0, call, kind: kind as u32, body }
    }

    /// The way back.
    pub(crate) fn reversed(self) -> Self {
        Self { group: self.group, from: self.to, to: self.from }
    }

    pub(crate) fn of(frame: &Frame) -> Self {
        Self { group: GroupId(frame.group), from: ReplicaId(frame.from_replica), to: ReplicaId(frame.to_replica) }
    }
}
