//! The processes that hold the rows, and their volumes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{Resources, tolerations};

/// The processes that hold the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workers {
    /// How many. Nothing else decides the cluster's size.
    #[serde(default = "replicas")]
    #[schemars(range(min = 1, max = 64))]
    pub replicas: i32,
    /// The volume of each.
    pub storage: Storage,
    /// Processor and memory of each.
    #[serde(default)]
    pub resources: Resources,
    /// Shares within a worker.
    #[serde(default)]
    pub settings: Settings,
    /// Labels of the nodes they may run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints they may run under.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "tolerations")]
    pub tolerations: Vec<Toleration>,
    /// Whether two workers may share a node where there are too few.
    #[serde(default)]
    pub spread: Spread,
    /// Their priority class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
}

/// Whether workers may share a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Spread {
    /// Only where there are too few nodes; the data plane keeps copies apart as far as it can.
    #[default]
    Preferred,
    /// Never: a worker waits for a node of its own.
    Required,
}

/// Shares within a worker; its own defaults where absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// DuckDB's memory, such as 2Gi; a quarter of the memory limit where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub memory: Option<String>,
    /// Threads for queries; the processors it may use where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<i32>,
    /// How far queries may spill to the volume, such as 4Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub spill: Option<String>,
    /// The log's size beyond which a worker that is away is given up and gets a snapshot, such as 2Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub log_size: Option<String>,
    /// How long a worker may be silent before its copies are made anew on others, such as 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[1-9][0-9]{0,5}[smh]$"))]
    pub replace_after: Option<String>,
}

/// A worker's volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "has(self.className) == has(oldSelf.className) && \
         (!has(self.className) || self.className == oldSelf.className)"
    )
        .message("a volume's class cannot be changed: make another cluster with that class and copy the rows")
        .field_path(".className")
)]
pub struct Storage {
    /// Its size, as Kubernetes writes quantities: 100Gi. It may grow, never shrink.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))")
            .message("write the size as a number and Gi or Ti, such as 100Gi"),
        validation = Rule::new(
            "!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0"
        )
            .message(Message::Expression(
                "'a volume only grows: its size is ' + oldSelf + ' and cannot become ' + self".into(),
            ))
    )]
    pub size: String,
    /// Its storage class; the Kubernetes cluster's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// What becomes of the volumes once this resource is deleted.
    #[serde(default)]
    pub when_deleted: ClaimPolicy,
    /// What becomes of a worker's volume once the worker is scaled away and holds nothing that counts.
    #[serde(default)]
    pub when_scaled: ClaimPolicy,
    /// Whether a volume is given up by itself.
    #[serde(default)]
    pub replace_lost: ReplaceLost,
}

/// What becomes of a volume that is needed no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClaimPolicy {
    /// It stays, and is adopted if the worker comes back.
    #[default]
    Retain,
    /// Its claim is deleted.
    Delete,
}

/// Whether a volume is given up by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReplaceLost {
    /// A person decides.
    #[default]
    Never,
    /// Once the node it is bound to has been deleted from the Kubernetes cluster.
    AfterNodeDeleted,
}

fn replicas() -> i32 {
    3
}
