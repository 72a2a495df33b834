//! `AnalyticsCluster`, the resource a Raftduck cluster is made from: what the user wants, what was seen last, and the
//! rules by which the API server refuses what cannot be.
//!
//! No field is an unsigned integer, since the API server knows none, and none says in which phase a cluster is:
//! conditions say what holds. `raftduck-operator crd` prints the definition, which stands in `crds/` too.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

mod access;
mod cluster;
mod control;
mod schema;
mod status;
mod workers;

pub use access::{Adopt, Auth, Bootstrap, Monitoring, NewCluster, PodMonitoring, Reserved, SecretKey, TOKENS_KEY};
pub use cluster::{AnalyticsCluster, AnalyticsClusterSpec, DesiredState, PullPolicy, PullSecret};
pub use control::{ClientService, Control, IngressSpec, ServiceType};
pub use schema::Resources;
pub use status::{AnalyticsClusterStatus, Member, MemberState, PartitionMapStatus, RaftStatus};
pub use workers::{ClaimPolicy, ReplaceLost, Settings, Spread, Storage, Workers};

/// The definition of [`AnalyticsCluster`], as it is installed.
///
/// No field is nullable, unlike in `AnalyticsCluster::crd()`: the API server then drops a null as if the field were
/// absent, so that the rules' `has(…)` and the operator's `Option` mean the same. Nor does any say
/// `additionalProperties: false`, as kube writes for an object without fields: the API server takes no such definition.
pub fn definition() -> CustomResourceDefinition {
    let mut definition = AnalyticsCluster::crd();
    for version in &mut definition.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            settle(schema);
        }
    }
    definition
}

fn settle(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(settle);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        settle(items);
    }
    match &mut schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(values)) => settle(values),
        Some(JSONSchemaPropsOrBool::Bool(_)) => schema.additional_properties = None,
        None => {}
    }
}

#[cfg(test)]
mod tests;
