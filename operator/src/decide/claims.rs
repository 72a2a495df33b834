//! The workers' volumes: larger, marked, kept or given.

use raftduck_operator_api::{ClaimPolicy, ReplaceLost};

use super::{Decision, Step};
use crate::observe::Observed;
use crate::validate::Cluster;

pub fn decide(cluster: &Cluster, observed: &Observed, decision: &mut Decision) {
    keep_or_give(cluster, observed, decision);
    grow(cluster, observed, decision);
    use_again_or_end(cluster, observed, decision);
    replace(cluster, observed, decision);
}

/// What becomes of the volumes with the resource, which has no finalizer: its claims name it as their owner, or do not.
pub fn keep_or_give(cluster: &Cluster, observed: &Observed, decision: &mut Decision) {
    let owned = cluster.workers.storage.when_deleted == ClaimPolicy::Delete;
    for (ordinal, _) in observed.claims.iter().filter(|(_, claim)| claim.owned != owned && !claim.deleting) {
        decision.before.push(Step::Own { claim: cluster.name.claim(*ordinal), owned });
    }
    if observed.identity.as_ref().is_some_and(|identity| identity.owned != owned) {
        decision.before.push(Step::OwnIdentity(owned));
    }
}

/// First each volume, then the template by which later ones are made.
fn grow(cluster: &Cluster, observed: &Observed, decision: &mut Decision) {
    let size = cluster.workers.storage.size;
    let small = |requested: Option<crate::quantity::Bytes>| requested.is_some_and(|requested| requested < size);
    let growing = observed.claims.iter().filter(|(_, claim)| small(claim.requested) && !claim.deleting);
    decision.before.extend(growing.map(|(ordinal, _)| Step::Grow(cluster.name.claim(*ordinal))));
    if let Some(set) = observed.stateful_set.as_ref().filter(|set| small(set.claim_size) && !set.deleting) {
        decision.before.push(Step::Reshape { uid: set.uid.clone() });
    }
}

/// A claim above the cluster's size whose store was given up is marked, or goes.
fn use_again_or_end(cluster: &Cluster, observed: &Observed, decision: &mut Decision) {
    let pods = decision.pods.count.max(decision.pods.otherwise);
    let stores = observed.stores_by_ordinal(cluster);
    for (ordinal, claim) in &observed.claims {
        let name = cluster.name.claim(*ordinal);
        if *ordinal < pods {
            // Before its pod is there: from then on the volume counts again.
            if claim.retired {
                decision.before.push(Step::Mark { claim: name, retired: false });
            }
            continue;
        }
        let over =
            observed.stores.meta.is_some() && !observed.pods.contains_key(ordinal) && !stores.contains_key(ordinal);
        if !over || claim.deleting {
            continue;
        }
        match cluster.workers.storage.when_scaled {
            ClaimPolicy::Delete => decision.after.push(Step::Delete { claim: name, uid: claim.uid.clone() }),
            ClaimPolicy::Retain if !claim.retired => decision.after.push(Step::Mark { claim: name, retired: true }),
            ClaimPolicy::Retain => {}
        }
    }
}

/// A volume on a node that is no more: its pod can run nowhere.
fn replace(cluster: &Cluster, observed: &Observed, decision: &mut Decision) {
    for (ordinal, claim) in &observed.claims {
        let Some(node) = &claim.lost_node else { continue };
        let name = cluster.name.claim(*ordinal);
        match cluster.workers.storage.replace_lost {
            ReplaceLost::Never => decision.needs.push(format!(
                "the volume of {name} was on node {node}, which is no more: bring the node back, or set \
                 spec.workers.storage.replaceLost to AfterNodeDeleted to have it made anew from the other copies"
            )),
            ReplaceLost::AfterNodeDeleted => {
                // A claim is let go of once no pod uses it.
                if !claim.deleting {
                    decision.after.push(Step::Delete { claim: name, uid: claim.uid.clone() });
                }
                if let Some(pod) = observed.pods.get(ordinal).filter(|pod| !pod.deleting && !pod.ready) {
                    decision.after.push(Step::Replace { ordinal: *ordinal, pod: pod.uid.clone() });
                }
            }
        }
    }
}
