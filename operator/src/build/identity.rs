//! Which cluster this is, and as whom its pods run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Builder;
use super::labels::{ADOPTED, Component, RESOURCE_UID};

/// The key of the UUID.
pub const UUID_KEY: &str = "cluster-uuid";

/// Immutable, so that nobody gives found volumes to another cluster by a slip of an editor.
pub fn config_map(to: &Builder) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            labels: Some(to.labels_with_uuid(None)),
            annotations: Some(BTreeMap::from([
                (RESOURCE_UID.to_owned(), to.around.owner.uid.clone()),
                (ADOPTED.to_owned(), to.around.adopted.to_string()),
            ])),
            ..to.kept(to.cluster.name.identity(), None)
        },
        data: Some(BTreeMap::from([(UUID_KEY.to_owned(), to.around.cluster_uuid.to_string())])),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

/// No process of a cluster speaks to the API server.
pub fn accounts(to: &Builder) -> [ServiceAccount; 2] {
    let name = &to.cluster.name;
    let account = |metadata| ServiceAccount {
        metadata,
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    };
    [
        account(to.owned(name.workers_account(), Some(Component::Worker))),
        account(to.owned(name.control_account(), Some(Component::Control))),
    ]
}
