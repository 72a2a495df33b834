//! A cluster's Kubernetes objects: pure, and nothing here can fail.
//!
//! How many worker pods there are and whether one may be evicted is decided elsewhere, from what is observed; here it
//! is only written down. Secrets are not here: what is in them is made once, not built.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::core::{ApiResource, DynamicObject};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::names::Namespace;
use crate::validate::Cluster;

pub mod labels;
pub mod secrets;
pub mod template;

pub use identity::UUID_KEY;
pub use monitor::kind as pod_monitor_kind;
pub use pod::{CREDENTIAL, HTTP_PORT, STORE_PORT};

mod access;
mod control;
mod identity;
mod monitor;
mod pod;
mod workers;

/// What is not in the resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Surroundings {
    /// The cluster's UUID.
    pub cluster_uuid: Uuid,
    /// Whether its volumes were there before anything said which cluster this is.
    pub adopted: bool,
    /// The resource, as its objects name their owner.
    pub owner: OwnerReference,
    /// Where the operator runs, whose pods must reach the workers.
    pub operator_namespace: Namespace,
    /// The revision of the pods' template; see [`template`].
    pub template: i32,
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

/// An object as it is sent.
pub type Sent = (ApiResource, Value);

impl Objects {
    /// Those that are there once the cluster's UUID is known, in the order in which they are needed.
    ///
    /// # Errors
    /// Where an object is no JSON.
    pub fn to_send(&self) -> serde_json::Result<Vec<Sent>> {
        let mut sent = Vec::new();
        for account in &self.accounts {
            sent.push(as_sent(account)?);
        }
        for policy in &self.policies {
            sent.push(as_sent(policy)?);
        }
        for budget in &self.budgets {
            sent.push(as_sent(budget)?);
        }
        sent.push(as_sent(&self.workers_service)?);
        sent.push(as_sent(&self.client_service)?);
        sent.push(as_sent(&self.stateful_set)?);
        sent.push(as_sent(&self.deployment)?);
        if let Some(ingress) = &self.ingress {
            sent.push(as_sent(ingress)?);
        }
        Ok(sent)
    }
}

/// An object of Kubernetes' own kinds, as it is sent.
///
/// # Errors
/// Where it is no JSON.
pub fn as_sent<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> serde_json::Result<Sent> {
    Ok((ApiResource::erase::<K>(&()), serde_json::to_value(object)?))
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
