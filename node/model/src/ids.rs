//! Identities and positions. Each is its own type, so that no call can take one for another.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($number:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $number);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id! {
    /// One Raftduck cluster, made once at bootstrap and written on every volume.
    ClusterId
}
uuid_id! {
    /// One volume, and the worker process that has it open. Never a pod's name or ordinal.
    StoreId
}
number_id! {
    /// One Raft group: [`GroupId::META`], or a partition's group, which has the partition's number.
    GroupId(u32)
}
number_id! {
    /// One fixed share of the key space, numbered from 1; the value of the hidden column `_part`.
    PartitionId(u32)
}
number_id! {
    /// One store's copy of one group. The meta group hands these out and never reuses one.
    ReplicaId(u64)
}
number_id! {
    /// A table. DROP and CREATE of one name give two ids; the physical table is `t<id>`.
    TableId(u32)
}
number_id! {
    /// The version of one table's definition, from 1, raised by every schema change.
    SchemaVersion(u32)
}
number_id! {
    /// The version of the partition map; it only grows.
    Epoch(u64)
}
number_id! {
    /// A position in one group's log.
    LogIndex(u64)
}
number_id! {
    /// Microseconds since the Unix epoch by the only clock a state machine knows: the greater of
    /// the last entry's and the proposing leader's clock.
    LogTime(u64)
}
number_id! {
    /// xxh3-64 of a request's body, to tell a retry from another request under the same key.
    BodyDigest(u64)
}

/// xxh3-128 of an idempotency key, scoped to its table by whoever makes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyDigest(pub u128);

/// Where an entry stands in a group's log: the leader that wrote it and its index.
///
/// Ordered as Raft orders log ends: by term, then leader, then index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct LogId {
    /// The proposing leader's term.
    pub term: u64,
    /// The proposing leader.
    pub leader: ReplicaId,
    /// The entry's position.
    pub index: u64,
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "T{}-R{}.{}", self.term, self.leader, self.index)
    }
}

impl GroupId {
    /// The group that holds the catalog, the stores and the partition map.
    pub const META: GroupId = GroupId(0);

    /// The partition this group replicates; none for the meta group.
    pub fn partition(self) -> Option<PartitionId> {
        (self != Self::META).then_some(PartitionId(self.0))
    }
}

impl PartitionId {
    /// The Raft group of this partition.
    pub fn group(self) -> GroupId {
        GroupId(self.0)
    }
}

impl TableId {
    /// The table's name inside a store's DuckDB file.
    pub fn physical_name(self) -> String {
        format!("t{}", self.0)
    }
}
