//! What was seen last.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::conditions;

/// What was seen last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalyticsClusterStatus {
    /// The generation of the spec that the rest of this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The cluster's UUID, made once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_uuid: Option<String>,
    /// Worker pods there are.
    #[serde(default)]
    pub replicas: i32,
    /// Worker pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// The worker pods' label selector, for `kubectl scale` and autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The release that every worker runs; the oldest of them while they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where clients within the Kubernetes cluster send rows and SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The revision of the operator's own templates that the pods are made from. It moves with the spec only, so that
    /// another operator restarts no pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_revision: Option<i32>,
    /// The meta group and the level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raft: Option<RaftStatus>,
    /// The partitions and their copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_map: Option<PartitionMapStatus>,
    /// The workers, by pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub members: Vec<Member>,
    /// What holds: Available, Progressing, Degraded, StorageLow, NameConflict, VolumesFound and others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// The meta group and the level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RaftStatus {
    /// The pod whose store leads the meta group; absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The level that the cluster goes by.
    #[serde(default)]
    pub level: i32,
}

/// The partitions and their copies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartitionMapStatus {
    /// The map's epoch. As text: it may pass 2^53, beyond which many clients round numbers.
    #[serde(default)]
    pub epoch: String,
    /// Partitions with fewer copies than there are to be.
    #[serde(default)]
    pub under_replicated: i32,
    /// Partitions of which a copy is on its way.
    #[serde(default)]
    pub moving: i32,
    /// Partitions that nobody leads.
    #[serde(default)]
    pub without_leader: i32,
}

/// A worker: its pod, its store and its volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The pod.
    pub name: String,
    /// How far it is.
    pub state: MemberState,
    /// The store's UUID, which is not the pod's: a store is what its volume says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The node it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// That node's zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The claim that stands for its volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// Copies it holds.
    #[serde(default)]
    pub copies: i32,
    /// Partitions it leads.
    #[serde(default)]
    pub leads: i32,
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MemberState {
    /// Its store is not registered yet.
    Joining,
    /// It serves.
    Serving,
    /// What it holds moves to the others; until it is done that can be taken back.
    Draining,
    /// Nothing depends on it.
    Drained,
    /// It does not answer.
    Away,
}
