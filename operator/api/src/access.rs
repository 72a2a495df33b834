//! Who may ask and scrape, and where the rows come from at the beginning.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// The Secret with the clients' tokens, one `token role` a line, which control reads again when it changes; the
    /// operator makes one where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret: Option<SecretKey>,
}

/// A key of a Secret in the cluster's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKey {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key.
    #[serde(default = "key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Where the rows come from at the beginning: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "(has(self.new) ? 1 : 0) + (has(self.adopt) ? 1 : 0) + (has(self.restore) ? 1 : 0) + \
         (has(self.recover) ? 1 : 0) == 1"
    )
        .message("bootstrap takes exactly one of new, adopt, restore and recover"),
    validation = Rule::new("!has(self.restore) && !has(self.recover)")
        .message("restore and recover are reserved: this release makes a new cluster, or adopts one's volumes")
)]
pub struct Bootstrap {
    /// Nowhere: the cluster is new, and volumes that are there already are an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<NewCluster>,
    /// The volumes that a cluster of this name left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
    /// Reserved: a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Reserved>,
    /// Reserved: what is left after a majority was lost for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recover: Option<Reserved>,
}

/// A new cluster; there is nothing to say about it yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewCluster {}

/// A cluster whose volumes are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// Its UUID, as its claims' label `raftduck.io/cluster-uuid` says.
    #[schemars(regex(pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))]
    pub cluster_uuid: String,
}

/// A name that a later release gives a meaning; refused until then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reserved {}

/// Who may scrape, and by what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Whether a PodMonitor is made.
    #[serde(default)]
    pub pod_monitor: PodMonitoring,
    /// The PodMonitor's labels, by which a Prometheus picks it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The namespace whose pods may scrape; with network policies in force nobody may where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub scraper_namespace: Option<String>,
}

/// Whether a PodMonitor is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PodMonitoring {
    /// Where the Kubernetes cluster knows that kind.
    #[default]
    WhereKnown,
    /// No.
    Never,
}

/// The key of the Secret with the clients' tokens, where nobody says another.
pub const TOKENS_KEY: &str = "tokens";

fn key() -> String {
    TOKENS_KEY.to_owned()
}
