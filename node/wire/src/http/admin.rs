//! The admin contract's bodies: what a worker's `/admin/v1/…` takes and answers, for whoever runs the cluster.

use raftduck_model::{ClusterId, StoreId};
use serde::{Deserialize, Serialize};

/// `POST bootstrap`: the cluster to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapRequest {
    /// Chosen by the caller, so that it may repeat itself.
    pub cluster_uuid: ClusterId,
    /// The stores' `host:port`; the first is the one that is asked.
    pub stores: Vec<String>,
    /// Partitions, for ever.
    pub partitions: u32,
    /// Copies of each.
    pub replication: u32,
}

/// `POST finalise`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinaliseRequest {
    /// What the cluster's level is to be; once it is that or more, nothing is done.
    pub level: u32,
}

/// `GET identity`: who a store is and how it is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The UUID on its volume.
    pub store: StoreId,
    /// The cluster it belongs to; none while it waits to be taken in.
    pub cluster: Option<ClusterId>,
    /// The newest level its release knows.
    pub level: u32,
    /// Its release.
    pub version: String,
    /// Groups that it leads, the meta group among them.
    #[serde(default)]
    pub leads: u32,
    /// Whether it leads the meta group.
    #[serde(default)]
    pub leads_meta: bool,
    /// How full its volume is.
    #[serde(default)]
    pub space: Space,
}

/// How full a volume is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// There is room.
    #[default]
    Enough,
    /// No more rows are proposed here, and no replica comes.
    Tight,
    /// Nothing is acknowledged here.
    Full,
}

/// `GET stores/{store}/safe-to-remove`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Safety {
    /// No group has, or is to have, a replica there.
    pub safe: bool,
    /// In how many groups it has one.
    pub groups: usize,
}
