//! What is made once, at random, and never again: nobody could build it a second time.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use raftduck_operator_api::TOKENS_KEY;

use super::labels::Component;
use super::{Builder, CREDENTIAL, Surroundings};
use crate::validate::Cluster;

/// What the roles of the made tokens are called, in the file and as keys of their own.
const ROLES: [&str; 3] = ["admin", "write", "read"];

/// By which the cluster's processes know each other; `random` is its text.
pub fn credential(cluster: &Cluster, around: &Surroundings, random: String) -> Secret {
    let to = Builder { cluster, around };
    Secret {
        metadata: to.owned(cluster.name.credential(), None),
        data: Some(BTreeMap::from([(CREDENTIAL.to_owned(), ByteString(random.into_bytes()))])),
        ..Secret::default()
    }
}

/// One token a role, in the file that control reads, and each by itself for whoever mounts it.
pub fn tokens(cluster: &Cluster, around: &Surroundings, mut random: impl FnMut() -> String) -> Secret {
    let to = Builder { cluster, around };
    let mut data = BTreeMap::new();
    let mut file = String::new();
    for role in ROLES {
        let token = random();
        file.push_str(&format!("{token} {role}\n"));
        data.insert(role.to_owned(), ByteString(token.into_bytes()));
    }
    data.insert(TOKENS_KEY.to_owned(), ByteString(file.into_bytes()));
    Secret {
        metadata: to.owned(cluster.name.tokens(), Some(Component::Control)),
        data: Some(data),
        ..Secret::default()
    }
}
