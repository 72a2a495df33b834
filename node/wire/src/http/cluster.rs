//! What `GET /v1/cluster` answers: stores, and groups with their replicas.

use serde::{Deserialize, Serialize};

/// One store, as control sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// The volume's UUID.
    pub id: String,
    /// `host:port`.
    pub address: String,
    /// Its Watch stream is up.
    pub connected: bool,
    /// Partitions it leads.
    pub leads: u32,
    /// Groups of which it has a copy, or is to have one. At 0 it may go.
    #[serde(default)]
    pub groups: u32,
    /// It is being emptied.
    #[serde(default)]
    pub draining: bool,
    /// The newest level that its release knows.
    #[serde(default)]
    pub level: u32,
}

/// One replica of a partition, as its store last said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// Its id, never reused.
    pub id: u64,
    /// The store that holds it.
    pub store: String,
    /// `leader`, `follower`, `candidate`, `learner`, or `unknown` where its store is not connected.
    pub role: String,
    /// The last entry it applied, as of its store's last report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<u64>,
}

/// One partition, or the meta group under number 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// Its number.
    pub id: u32,
    /// The leader's term; 0 where unknown.
    pub term: u64,
    /// The leader's store, where one is known.
    pub leader: Option<String>,
    /// Its copies; one that comes is among them, as a learner.
    pub replicas: Vec<ReplicaStatus>,
    /// What its copies are on their way to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeStatus>,
}

/// A group's copies on their way to being others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeStatus {
    /// The store that gets a copy.
    pub add: Option<String>,
    /// The store that loses its copy once the other is complete.
    pub remove: Option<String>,
    /// It is being taken back.
    pub cancelled: bool,
}

/// The answer to `GET /v1/cluster`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterAnswer {
    /// The cluster's UUID; none until it was bootstrapped.
    pub cluster: Option<String>,
    /// The level of everything on disk and on the wire.
    pub level: u32,
    /// The partition map's version.
    pub epoch: u64,
    /// The catalog's version.
    pub catalog_version: u64,
    /// Every registered store.
    pub stores: Vec<StoreStatus>,
    /// The meta group.
    pub meta: PartitionStatus,
    /// Every partition.
    pub partitions: Vec<PartitionStatus>,
}
