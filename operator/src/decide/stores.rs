//! What the stores are told besides who comes and goes: that they are a cluster, where they are, which of them is lost.

use raftduck_model::meta::{Location, Meta};
use raftduck_model::{ClusterId, StoreId};
use raftduck_wire::http::BootstrapRequest;
use uuid::Uuid;

use super::{Decision, Step};
use crate::observe::Observed;
use crate::validate::Cluster;

/// Once, and only where every volume that may be one of this cluster's is there and empty, or was told so before.
pub fn bootstrap(cluster: &Cluster, uuid: Uuid, observed: &Observed, decision: &mut Decision) {
    if observed.identity.as_ref().is_some_and(|identity| identity.bootstrapped) {
        decision.waits.push("no store answers for the cluster".to_owned());
        return;
    }
    let pods = decision.pods.count;
    let silent = (0..pods).filter(|ordinal| !observed.stores.identities.contains_key(ordinal)).count();
    let unused = observed.claims.iter().any(|(ordinal, claim)| *ordinal >= pods && !claim.retired);
    if silent > 0 || unused {
        decision.waits.push(format!("{silent} of {pods} workers do not answer yet"));
        return;
    }
    // Some of an adopted cluster's volumes hold its rows: whoever has none of them must not found it anew.
    let members = observed.stores.identities.values().filter(|identity| identity.cluster.is_some()).count();
    if members > 0 && observed.identity.as_ref().is_none_or(|identity| identity.adopted) {
        decision.needs.push(format!(
            "{members} of {pods} volumes hold this cluster's rows and find no quorum: bring the other volumes back, or \
             recover by hand (raftduck recover)"
        ));
        return;
    }
    let stores = (0..pods).map(|ordinal| cluster.worker_address(ordinal)).collect();
    decision.after.push(Step::Bootstrap(BootstrapRequest {
        cluster_uuid: ClusterId(uuid),
        stores,
        partitions: cluster.partitions.into(),
        replication: cluster.replication_factor.into(),
    }));
}

pub fn decide(cluster: &Cluster, observed: &Observed, decision: &mut Decision) {
    let Some(meta) = &observed.stores.meta else { return };
    if observed.identity.as_ref().is_some_and(|identity| !identity.bootstrapped) && meta.cluster.is_some() {
        decision.before.push(Step::MarkBootstrapped);
    }
    for (ordinal, pod) in &observed.pods {
        let Some(identity) = observed.stores.identities.get(ordinal) else { continue };
        let location = Location { node: pod.node.clone(), zone: pod.zone.clone() };
        let known = meta.stores.contains_key(&identity.store);
        if known && location.node.is_some() && meta.locations.get(&identity.store) != Some(&location) {
            decision.after.push(Step::Locate(identity.store, location));
        }
        lost(cluster, observed, (*ordinal, identity.store), meta, decision);
    }
    if let Some(level) = cluster.level
        && level > meta.level
    {
        if meta.stores.values().all(|store| store.level >= level) {
            decision.after.push(Step::Finalise(level));
        } else {
            decision.needs.push(format!(
                "spec.level is {level}, and not every worker's release knows that level: roll the image out first"
            ));
        }
    }
}

/// Volumes of other clusters.
pub fn strangers(observed: &Observed, decision: &mut Decision) {
    for (ordinal, cluster) in &observed.stores.strangers {
        decision.needs.push(format!(
            "the volume of worker {ordinal} belongs to cluster {cluster}: delete its claim if that cluster is no more, \
             and the worker gets a new one"
        ));
    }
}

/// Stores that had the address which another store has now: their volumes are gone, or the pod would have opened them.
fn lost(cluster: &Cluster, observed: &Observed, (ordinal, now): (u8, StoreId), meta: &Meta, decision: &mut Decision) {
    let stores = observed.stores_by_ordinal(cluster).remove(&ordinal).unwrap_or_default();
    for store in stores.into_iter().filter(|store| *store != now) {
        let short = groups_short_without(observed, meta, store);
        if short == 0 {
            // Its successor first: else the cluster would be a store short for nothing.
            if meta.stores.contains_key(&now) {
                decision.after.push(Step::RetireLost(store));
            }
        } else {
            decision.needs.push(format!(
                "the volume of store {store} (worker {ordinal}) is lost, and {short} groups have no quorum without it: \
                 bring that volume back, or recover by hand (raftduck recover)"
            ));
        }
    }
}

/// Groups of which no majority of the voters, without that store, is on stores that answer.
fn groups_short_without(observed: &Observed, meta: &Meta, store: StoreId) -> usize {
    let answers = |other: StoreId| other != store && observed.answers(other);
    let short = |group| {
        let Some((voters, _)) = meta.group(group) else { return false };
        let there = voters.iter().filter(|voter| answers(voter.store)).count();
        voters.iter().any(|voter| voter.store == store) && 2 * there <= voters.len()
    };
    meta.groups().filter(|group| short(*group)).count()
}
