//! What is there: of a cluster's Kubernetes objects, and of its stores, as they were seen a moment ago.
//!
//! Plain values. [`read`] fills them from live reads, never from a cache: what is destroyed is decided by them.

use std::collections::{BTreeMap, BTreeSet};

use raftduck_model::meta::Meta;
use raftduck_model::{ClusterId, StoreId};
use raftduck_wire::http::Identity;
use uuid::Uuid;

use crate::quantity::Bytes;
use crate::validate::Cluster;

pub mod read;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Which cluster this is, if that was ever written down.
    pub identity: Option<Written>,
    /// Volumes, by the ordinal of their worker.
    pub claims: BTreeMap<u8, Claim>,
    /// Worker pods, by ordinal.
    pub pods: BTreeMap<u8, Pod>,
    /// The workers' StatefulSet.
    pub stateful_set: Option<StatefulSet>,
    /// Control pods that are ready.
    pub control_ready: i32,
    /// What the stores say.
    pub stores: View,
}

/// Which cluster this is, as the ConfigMap says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The cluster.
    pub cluster: Uuid,
    /// The resource for which it was written down first.
    pub resource: Option<String>,
    /// Whether its volumes were there before that was written down.
    pub adopted: bool,
    /// Whether its stores were told once that they are a cluster; never again.
    pub bootstrapped: bool,
    /// Whether it goes when the resource does.
    pub owned: bool,
}

/// A worker's claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its UID: the same name may stand for another volume tomorrow.
    pub uid: String,
    /// Whose data it says it holds.
    pub cluster: Option<Uuid>,
    /// Whether its store was given up: what is on it counts no more.
    pub retired: bool,
    /// The size asked for.
    pub requested: Option<Bytes>,
    /// Whether it goes when the resource does.
    pub owned: bool,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// The node that its volume is bound to and that is no more.
    pub lost_node: Option<String>,
}

/// A worker pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its UID.
    pub uid: String,
    /// The revision of the StatefulSet it was made from.
    pub revision: Option<String>,
    /// Whether Kubernetes takes it for ready.
    pub ready: bool,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// Where it is reached.
    pub ip: Option<String>,
    /// The node it runs on.
    pub node: Option<String>,
    /// That node's zone.
    pub zone: Option<String>,
    /// Why it does not run, where Kubernetes says so.
    pub trouble: Option<String>,
}

/// The workers' StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatefulSet {
    /// Its UID.
    pub uid: String,
    /// The version of its spec that the rest of this speaks of.
    pub generation: Option<i64>,
    /// Pods it is to have.
    pub replicas: u8,
    /// The revision of its newest template; none until its controller has seen that template.
    pub revision: Option<String>,
    /// The size in its claims' template.
    pub claim_size: Option<Bytes>,
    /// Whether it is on its way out.
    pub deleting: bool,
}

/// What the stores say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Who answered, by the pod's ordinal.
    pub identities: BTreeMap<u8, Identity>,
    /// Pods with the volume of another cluster, whose stores are not heard.
    pub strangers: BTreeMap<u8, ClusterId>,
    /// The newest cluster state that any of them knows; none where no store that belongs to a cluster answered.
    pub meta: Option<Meta>,
}

impl Observed {
    /// The registered stores by the ordinal of their address. An ordinal has several where a volume was lost: the one
    /// that counts is the one that the pod itself names.
    pub fn stores_by_ordinal(&self, cluster: &Cluster) -> BTreeMap<u8, BTreeSet<StoreId>> {
        let mut stores: BTreeMap<u8, BTreeSet<StoreId>> = BTreeMap::new();
        for (store, info) in self.stores.meta.iter().flat_map(|meta| &meta.stores) {
            if let Some(ordinal) = cluster.ordinal_at(&info.address) {
                stores.entry(ordinal).or_default().insert(*store);
            }
        }
        stores
    }

    /// Whether that store answers.
    pub fn answers(&self, store: StoreId) -> bool {
        self.stores.identities.values().any(|identity| identity.store == store)
    }

    /// Whether rows may be somewhere.
    pub fn may_hold_rows(&self, pods: u8) -> bool {
        let bootstrapped = self.identity.as_ref().is_some_and(|identity| identity.bootstrapped);
        let member = self.stores.identities.values().any(|identity| identity.cluster.is_some());
        // A store that does not answer may be one that holds some.
        let silent = (0..pods).any(|ordinal| !self.stores.identities.contains_key(&ordinal));
        bootstrapped || member || self.stores.meta.is_some() || silent
    }

    /// The pod whose store leads the meta group.
    pub fn meta_leader(&self) -> Option<u8> {
        self.stores.identities.iter().find(|(_, identity)| identity.leads_meta).map(|(ordinal, _)| *ordinal)
    }
}
