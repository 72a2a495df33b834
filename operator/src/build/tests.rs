#![allow(clippy::unwrap_used)]
mod golden;
mod traits;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use raftduck_operator_api::AnalyticsCluster;

use super::*;

const MINIMAL: &str = include_str!("golden/minimal.yaml");
const FULL: &str = include_str!("golden/full.yaml");

/// The cluster of a resource in YAML, and where it lives.
fn read(text: &str) -> (Cluster, Surroundings) {
    let mut resource: AnalyticsCluster = serde_yaml::from_str(text).unwrap();
    resource.metadata.uid = Some("7d5f8f3c-0000-4000-8000-000000000001".into());
    let cluster = Cluster::read(&resource).unwrap();
    let around = Surroundings {
        adopted: false,
        template: 1,
        cluster_uuid: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        owner: owner(&resource),
        operator_namespace: Namespace::new("raftduck-system").unwrap(),
        worker_pods: cluster.workers.replicas,
        evictions: Evictions::One,
    };
    (cluster, around)
}

fn owner(resource: &AnalyticsCluster) -> OwnerReference {
    resource.controller_owner_ref(&()).unwrap()
}
