//! What the user wants.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AnalyticsClusterStatus, Auth, Bootstrap, Control, Monitoring, Reserved, Workers};

/// What the user wants.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "raftduck.io",
    version = "v1alpha1",
    kind = "AnalyticsCluster",
    plural = "analyticsclusters",
    shortname = "ac",
    category = "analytics",
    namespaced,
    derive = "PartialEq",
    status = "AnalyticsClusterStatus",
    doc = "An analytics database: DuckDB's SQL, every row on several volumes through Raft.",
    // The names of pods and volumes are made from it, and must stay below Kubernetes' 63 characters.
    validation = Rule::new(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 40"
    ).message(
        "the name must begin with a lower-case letter, go on with lower-case letters, digits and hyphens, not end in \
         a hyphen, and have at most 40 characters"
    ),
    scale(
        spec_replicas_path = ".spec.workers.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "Workers that are ready."
    ),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".spec.workers.replicas",
        description = "Workers there are to be."
    ),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".spec.partitions"),
    printcolumn(
        name = "Under-replicated",
        type_ = "integer",
        json_path = ".status.partitionMap.underReplicated",
        description = "Partitions with fewer copies than there are to be."
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
// Messages are made with `format`: what `string(…) + …` costs the API server cannot estimate, and refuses.
#[x_kube(
    validation = Rule::new("self.replicationFactor <= self.workers.replicas")
        .message(Message::Expression(
            "'replicationFactor is %d and workers.replicas is %d: there must be a worker for each copy'\
             .format([self.replicationFactor, self.workers.replicas])".into(),
        ))
        .field_path(".workers.replicas"),
    validation = Rule::new("!has(self.tls)")
        .message("tls is reserved: this release encrypts nothing, leave it out")
        .field_path(".tls")
)]
pub struct AnalyticsClusterSpec {
    /// The image of workers and control.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// When the image is fetched; Kubernetes' own rule where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// Secrets with which the image is fetched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub image_pull_secrets: Vec<PullSecret>,
    /// The processes that hold the rows.
    pub workers: Workers,
    /// The gateways that take rows and SQL.
    #[serde(default)]
    pub control: Control,
    /// Partitions, for ever: four times the most workers there will be.
    #[serde(default = "partitions")]
    #[schemars(range(min = 1, max = 4096))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(Message::Expression(
        "'partitions cannot be changed: they are %d for ever; to have more, make another cluster and copy the rows'\
         .format([oldSelf])".into(),
    )))]
    pub partitions: i32,
    /// Copies of each partition, each on a worker of its own: 1, 3 or 5.
    #[serde(default = "replication_factor")]
    #[x_kube(
        validation = Rule::new("self in [1, 3, 5]").message(Message::Expression(
            "'replicationFactor must be 1, 3 or 5, not %d: an even number survives no more than the one below it'\
             .format([self])".into(),
        )),
        validation = Rule::new("self == oldSelf").message(Message::Expression(
            "'this release cannot change replicationFactor: it is %d'.format([oldSelf])".into(),
        ))
    )]
    pub replication_factor: i32,
    /// Whether pods are to run. A stopped cluster keeps its volumes, whatever their policy.
    #[serde(default)]
    pub desired_state: DesiredState,
    /// While true the operator changes nothing, and only says what it sees.
    #[serde(default)]
    pub paused: bool,
    /// The level that everything on disk and on the wire goes by, raised once every worker's release knows it; after
    /// that an older release is refused. It stays as it is where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub level: Option<i32>,
    /// Where the rows come from at the beginning; a new cluster, or the volumes that are there, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
    /// Who may ask.
    #[serde(default)]
    pub auth: Auth,
    /// Reserved for encryption between processes and to clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Reserved>,
    /// Who may scrape, and by what.
    #[serde(default)]
    pub monitoring: Monitoring,
}

/// Whether pods are to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DesiredState {
    /// They are.
    #[default]
    Running,
    /// None are; the volumes stay.
    Stopped,
}

/// When the image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// At every start.
    Always,
    /// Where the node has none.
    IfNotPresent,
    /// It must be there.
    Never,
}

/// A Secret with which the image is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullSecret {
    /// Its name, in the cluster's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

fn partitions() -> i32 {
    12
}

fn replication_factor() -> i32 {
    3
}
