//! Whom an eviction may take, and who reaches whom.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::labels::{Component, NAMESPACE_NAME, OPERATOR, matching};
use super::pod::{HTTP_PORT, METRICS_PORT, STORE_PORT, TCP};
use super::{Builder, Evictions};
use crate::names::{BudgetName, Namespace, PolicyName};

/// One worker, or none while copies are missing; one control.
pub fn budgets(to: &Builder) -> [PodDisruptionBudget; 2] {
    let workers = match to.around.evictions {
        Evictions::One => 1,
        Evictions::None => 0,
    };
    [
        budget(to, to.cluster.name.workers_budget(), Component::Worker, workers),
        budget(to, to.cluster.name.control_budget(), Component::Control, 1),
    ]
}

fn budget(to: &Builder, name: BudgetName, component: Component, pods: i32) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: to.owned(name, Some(component)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(pods)),
            selector: Some(to.pods(Some(component))),
            // A pod that serves nothing is nothing to protect; else a drain would hang at it.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

/// Workers speak to the cluster and to the operator only; control to every client. What leaves a pod is not held back.
pub fn policies(to: &Builder) -> [NetworkPolicy; 2] {
    let scrapers = || to.cluster.monitoring.scraper_namespace.as_ref().map(pods_of);
    let cluster = NetworkPolicyPeer { pod_selector: Some(to.pods(None)), ..NetworkPolicyPeer::default() };
    let mut friends = vec![cluster, operator(&to.around.operator_namespace)];
    friends.extend(scrapers());
    let mut to_control = vec![allow(HTTP_PORT, None)];
    to_control.extend(scrapers().map(|scrapers| allow(METRICS_PORT, Some(vec![scrapers]))));
    [
        policy(to, to.cluster.name.workers_policy(), Component::Worker, vec![allow(STORE_PORT, Some(friends))]),
        policy(to, to.cluster.name.control_policy(), Component::Control, to_control),
    ]
}

fn policy(
    to: &Builder,
    name: PolicyName,
    component: Component,
    ingress: Vec<NetworkPolicyIngressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: to.owned(name, Some(component)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(to.pods(Some(component))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(ingress),
            egress: None,
        }),
    }
}

/// Everybody, where `from` is none.
fn allow(port: u16, from: Option<Vec<NetworkPolicyPeer>>) -> NetworkPolicyIngressRule {
    let port = NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(port))),
        protocol: Some(TCP.to_owned()),
        ..NetworkPolicyPort::default()
    };
    NetworkPolicyIngressRule { from, ports: Some(vec![port]) }
}

fn operator(namespace: &Namespace) -> NetworkPolicyPeer {
    let labels = BTreeMap::from([("app.kubernetes.io/name".to_owned(), OPERATOR.to_owned())]);
    NetworkPolicyPeer { pod_selector: Some(matching(labels)), ..pods_of(namespace) }
}

fn pods_of(namespace: &Namespace) -> NetworkPolicyPeer {
    let labels = BTreeMap::from([(NAMESPACE_NAME.to_owned(), namespace.to_string())]);
    NetworkPolicyPeer { namespace_selector: Some(matching(labels)), ..NetworkPolicyPeer::default() }
}
