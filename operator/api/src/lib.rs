//! `AnalyticsCluster`, the resource a Raftduck cluster is made from.
//!
//! The type only: nothing reconciles it yet. `raftduck-operator crd` prints its definition, which
//! stands in `crds/` too.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the user wants.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "raftduck.io",
    version = "v1alpha1",
    kind = "AnalyticsCluster",
    plural = "analyticsclusters",
    shortname = "ac",
    namespaced,
    status = "AnalyticsClusterStatus",
    doc = "An analytics database: DuckDB's SQL, every row on several volumes through Raft.",
    scale(
        spec_replicas_path = ".spec.workers.replicas",
        status_replicas_path = ".status.workers",
        label_selector_path = ".status.selector"
    ),
    printcolumn = r#"{"name":"Workers","jsonPath":".status.workers","type":"integer"}"#,
    printcolumn = r#"{"name":"Ready","jsonPath":".status.readyWorkers","type":"integer"}"#,
    printcolumn = r#"{"name":"Age","jsonPath":".metadata.creationTimestamp","type":"date"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnalyticsClusterSpec {
    /// The image of workers and control.
    pub image: String,
    /// The processes that hold the rows.
    pub workers: Workers,
    /// The gateways that take rows and SQL.
    #[serde(default)]
    pub control: Control,
    /// Partitions, for ever: four times the most workers there will be.
    #[serde(default = "partitions")]
    #[schemars(range(min = 1, max = 4096))]
    pub partitions: i32,
    /// Copies of each partition, on as many workers.
    #[serde(default = "replication_factor")]
    #[schemars(range(min = 1, max = 5))]
    pub replication_factor: i32,
}

/// The processes that hold the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workers {
    /// How many.
    #[serde(default = "worker_replicas")]
    #[schemars(range(min = 1, max = 64))]
    pub replicas: i32,
    /// The volume of each.
    pub storage: Storage,
}

/// A worker's volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// Its size, as Kubernetes writes quantities: 100Gi.
    pub size: String,
    /// Its storage class; the Kubernetes cluster's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
}

/// The gateways that take rows and SQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Control {
    /// How many.
    #[serde(default = "control_replicas")]
    #[schemars(range(min = 1, max = 64))]
    pub replicas: i32,
}

impl Default for Control {
    fn default() -> Self {
        Self { replicas: control_replicas() }
    }
}

/// What was seen last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    pub workers: i32,
    /// Worker pods that are ready.
    #[serde(default)]
    pub ready_workers: i32,
    /// The worker pods' label selector, for `kubectl scale` and autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

fn partitions() -> i32 {
    12
}

fn replication_factor() -> i32 {
    3
}

fn worker_replicas() -> i32 {
    3
}

fn control_replicas() -> i32 {
    2
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_least_spec_gets_the_defaults() {
        let text = r#"{"image": "raftduck:0.1.0", "workers": {"storage": {"size": "10Gi"}}}"#;
        let spec: AnalyticsClusterSpec = serde_json::from_str(text).unwrap();
        assert_eq!((spec.workers.replicas, spec.control.replicas), (3, 2));
        assert_eq!((spec.partitions, spec.replication_factor), (12, 3));
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let text = r#"{"image": "raftduck:0.1.0", "workers": {"storage": {"size": "10Gi"}, "replica": 5}}"#;
        let error = serde_json::from_str::<AnalyticsClusterSpec>(text).unwrap_err();
        assert!(error.to_string().contains("replica"), "{error}");
    }
}
