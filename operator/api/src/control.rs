//! The gateways that take rows and SQL, and how clients reach them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{Resources, tolerations};

/// The gateways that take rows and SQL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// How many.
    #[serde(default = "replicas")]
    #[schemars(range(min = 1, max = 64))]
    pub replicas: i32,
    /// Processor and memory of each.
    #[serde(default)]
    pub resources: Resources,
    /// DuckDB's memory in each, such as 1Gi; a quarter of the memory limit where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub memory: Option<String>,
    /// How clients reach them.
    #[serde(default)]
    pub service: ClientService,
    /// How clients outside reach them; not at all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSpec>,
    /// Labels of the nodes they may run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints they may run under.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "tolerations")]
    pub tolerations: Vec<Toleration>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            replicas: replicas(),
            resources: Resources::default(),
            memory: None,
            service: ClientService::default(),
            ingress: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
        }
    }
}

/// The Service that clients use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientService {
    /// Its type.
    #[serde(default, rename = "type")]
    pub kind: ServiceType,
    /// Its annotations, such as a load balancer's settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// From where a Service is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// From within the Kubernetes cluster.
    #[default]
    ClusterIP,
    /// At a port of every node.
    NodePort,
    /// Through a load balancer.
    LoadBalancer,
}

/// An Ingress before control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressSpec {
    /// The host name that clients use.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Which paths are passed on, as they are: all of them, or those below /v1.
    #[serde(default = "path")]
    #[schemars(regex(pattern = "^/"))]
    pub path: String,
    /// The Ingress class; the Kubernetes cluster's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// The Secret with the host's certificate; plain HTTP where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret_name: Option<String>,
    /// Its annotations. Many controllers cap a request's body below control's 64 MiB unless told otherwise here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

fn replicas() -> i32 {
    2
}

fn path() -> String {
    "/".to_owned()
}
