//! What objects are labelled with, and picked by.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::Builder;
use crate::names::ClusterName;

/// The label of claims and of the identity's ConfigMap: whose data this is.
pub const CLUSTER_UUID: &str = "raftduck.io/cluster-uuid";
/// The annotation of the identity's ConfigMap: for which resource it was made.
pub const RESOURCE_UID: &str = "raftduck.io/resource-uid";
/// The annotation of the identity's ConfigMap: the stores were told that they are a cluster.
pub const BOOTSTRAPPED: &str = "raftduck.io/bootstrapped";
/// The annotation of the identity's ConfigMap: whether volumes were there before it.
pub const ADOPTED: &str = "raftduck.io/adopted";
/// The annotation of a claim whose store was given up.
pub const RETIRED: &str = "raftduck.io/retired";
/// The annotation of every object: the hash of what was applied last.
pub const APPLIED: &str = "raftduck.io/applied";
/// The annotation of a pod: the revision of the template that it was made from.
pub const TEMPLATE: &str = "raftduck.io/template-revision";
/// The label of nodes that names them.
pub const NODE: &str = "kubernetes.io/hostname";
/// The label of nodes that names their zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The label by which Kubernetes names a namespace.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// What the operator's own pods are called, wherever they run.
pub const OPERATOR: &str = "raftduck-operator";

/// A part of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The processes that hold the rows.
    Worker,
    /// The gateways.
    Control,
}

impl Component {
    /// As the command and the label call it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Control => "control",
        }
    }
}

/// By which a cluster's objects are picked: what never changes.
pub fn selector(cluster: &ClusterName, component: Option<Component>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "raftduck".to_owned()),
        ("app.kubernetes.io/instance".to_owned(), cluster.to_string()),
    ]);
    labels.extend(component.map(|part| ("app.kubernetes.io/component".to_owned(), part.text().to_owned())));
    labels
}

/// A selector of exactly these labels.
pub fn matching(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

impl Builder<'_> {
    /// All labels of an object.
    pub fn labels(&self, component: Option<Component>) -> BTreeMap<String, String> {
        let mut labels = selector(&self.cluster.name, component);
        labels.insert("app.kubernetes.io/managed-by".to_owned(), OPERATOR.to_owned());
        labels.insert("app.kubernetes.io/part-of".to_owned(), "raftduck".to_owned());
        labels
    }

    /// The pods of one component, or of both.
    pub fn pods(&self, component: Option<Component>) -> LabelSelector {
        matching(selector(&self.cluster.name, component))
    }

    /// An object that goes when the resource does.
    pub fn owned(&self, name: impl Into<String>, component: Option<Component>) -> ObjectMeta {
        ObjectMeta { owner_references: Some(vec![self.around.owner.clone()]), ..self.kept(name, component) }
    }

    /// An object that stays.
    pub fn kept(&self, name: impl Into<String>, component: Option<Component>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            namespace: Some(self.cluster.namespace.to_string()),
            labels: Some(self.labels(component)),
            ..ObjectMeta::default()
        }
    }

    /// The same labels, and whose data it is.
    pub fn labels_with_uuid(&self, component: Option<Component>) -> BTreeMap<String, String> {
        let mut labels = self.labels(component);
        labels.insert(CLUSTER_UUID.to_owned(), self.around.cluster_uuid.to_string());
        labels
    }
}
