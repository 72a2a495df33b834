//! A cluster's Kubernetes objects: pure, and nothing here can fail.
//!
//! How many worker pods there are and whether one may be evicted is decided elsewhere, from what is observed; here it
//! is only written down. Secrets are not here: what is in them is made once, not built.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::DynamicObject;
use uuid::Uuid;

use crate::names::Namespace;
use crate::validate::Cluster;

pub mod labels;

mod access;
mod control;
mod identity;
mod monitor;
mod pod;
mod workers;

/// Raised whenever a pod template built here comes out otherwise for the same cluster. A newer operator must then go on
/// building the older ones too, or it would restart every database of its users.
pub const TEMPLATE_REVISION: i32 = 1;

/// What is not in the resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Surroundings {
    /// The cluster's UUID.
    pub cluster_uuid: Uuid,
    /// The resource, as its objects name their owner.
    pub owner: OwnerReference,
    /// Where the operator runs, whose pods must reach the workers.
    pub operator_namespace: Namespace,
    /// Worker pods there are to be now; on the way to another size that is not what the spec says.
    pub worker_pods: u8,
    /// Whether an eviction may take a worker.
    pub evictions: Evictions,
}

/// Whether an eviction may take a ready worker; an unready one it always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evictions {
    /// One at a time.
    One,
    /// None, while a partition has fewer copies than there are to be.
    None,
}

/// A cluster's objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    /// Says which cluster this is. The only one without an owner: it must outlive the resource, as the volumes do.
    pub identity: ConfigMap,
    /// The workers' and control's accounts, without rights.
    pub accounts: [ServiceAccount; 2],
    /// Below which each worker has a name.
    pub workers_service: Service,
    /// The workers.
    pub stateful_set: StatefulSet,
    /// Control.
    pub deployment: Deployment,
    /// What clients use.
    pub client_service: Service,
    /// What clients outside use.
    pub ingress: Option<Ingress>,
    /// How many workers, and how many controls, an eviction may take.
    pub budgets: [PodDisruptionBudget; 2],
    /// Who reaches workers, and who reaches control.
    pub policies: [NetworkPolicy; 2],
    /// For Prometheus' operator; to be applied only where its kind is known.
    pub pod_monitor: Option<DynamicObject>,
}

/// The objects of `cluster`.
pub fn objects(cluster: &Cluster, around: &Surroundings) -> Objects {
    let to = Builder { cluster, around };
    Objects {
        identity: identity::config_map(&to),
        accounts: identity::accounts(&to),
        workers_service: workers::service(&to),
        stateful_set: workers::stateful_set(&to),
        deployment: control::deployment(&to),
        client_service: control::service(&to),
        ingress: control::ingress(&to),
        budgets: access::budgets(&to),
        policies: access::policies(&to),
        pod_monitor: monitor::pod_monitor(&to),
    }
}

/// What every object is made of.
struct Builder<'a> {
    cluster: &'a Cluster,
    around: &'a Surroundings,
}

#[cfg(test)]
mod tests;
