//! How many worker pods there are to be. Only the spec says how many are wanted; what is there says how far that is.
//!
//! A worker is scaled away in this order, each step seen by the next: its store is drained, nothing depends on it any
//! more, its pod goes (asked once more just before), its store is retired, its claim goes or is marked. Until the pod
//! goes, a larger number in the spec takes it all back.
//!
//! A store is registered by itself, at a moment of its own. One that answers and is not registered yet is waited for: it
//! could be given copies while its pod ends. One that was silent when its pod was taken, and that registered all the
//! same, gets its pod back as long as copies are on it, and is emptied first like any other.

use raftduck_model::StoreId;
use raftduck_model::meta::Meta;
use raftduck_model::placement::depends_on;

use super::{Decision, Pods, Step};
use crate::observe::Observed;
use crate::validate::Cluster;

pub fn decide(cluster: &Cluster, observed: &Observed, decision: &mut Decision) {
    let wanted = cluster.workers.replicas;
    let stores = observed.stores_by_ordinal(cluster);
    let held = |store: &StoreId| observed.stores.meta.as_ref().map_or(0, |meta| depends_on(meta, *store));
    let holding = stores.iter().filter(|(_, stores)| stores.iter().any(|store| held(store) > 0));
    let there = there(observed).max(holding.map(|(ordinal, _)| ordinal.saturating_add(1)).max().unwrap_or_default());
    let from = |range: std::ops::RangeFrom<u8>| stores.range(range).flat_map(|(_, stores)| stores).copied();
    decision.pods = Pods::of(wanted.max(there));
    let Some(meta) = &observed.stores.meta else {
        if !observed.may_hold_rows(there) {
            decision.pods = Pods::of(wanted);
        } else if wanted < there {
            decision.waits.push(format!("{} workers are to go: no store answers for the cluster", there - wanted));
        }
        return;
    };
    let draining = |store: &StoreId| meta.draining.contains(store);
    let stay = stores.range(..wanted).flat_map(|(_, stores)| stores).copied();
    decision.before.extend(stay.filter(draining).map(Step::Undrain));
    decision.before.extend(from(wanted..).filter(|store| !draining(store)).map(Step::Drain));
    // From the highest on: a StatefulSet knows no other order.
    let gone = |store: &StoreId| draining(store) && held(store) == 0;
    let mut count = there;
    while count > wanted
        && stores.get(&(count - 1)).into_iter().flatten().all(gone)
        && !is_joining(observed, meta, count - 1)
    {
        count -= 1;
        decision.pods.leaving.extend(stores.get(&count).into_iter().flatten());
    }
    decision.pods.count = wanted.max(count);
    if count > wanted {
        let held: usize = from(wanted..).map(|store| held(&store)).sum();
        let joining = (wanted..count).filter(|ordinal| is_joining(observed, meta, *ordinal)).count();
        let joining = if joining > 0 { format!(", and {joining} are being taken in") } else { String::new() };
        decision
            .waits
            .push(format!("{} workers are to go: {held} copies move to the others first{joining}", count - wanted));
    }
    // The pod is gone, and with it whoever could register that store again.
    for (_, stores) in stores.range(there.max(wanted)..).filter(|(ordinal, _)| !observed.pods.contains_key(ordinal)) {
        decision.after.extend(stores.iter().copied().filter(gone).map(Step::RetireEmptied));
    }
}

/// Whether that worker's store may be registered at any moment.
fn is_joining(observed: &Observed, meta: &Meta, ordinal: u8) -> bool {
    let identity = observed.stores.identities.get(&ordinal);
    // One of an older release is never taken in.
    identity.is_some_and(|identity| !meta.stores.contains_key(&identity.store) && identity.level >= meta.level)
}

/// Worker pods there are to be already. Where nobody says so, because the cluster was stopped or deleted or its
/// StatefulSet is being made anew, as many as there may be stores: each pod and each claim counts.
pub fn there(observed: &Observed) -> u8 {
    match &observed.stateful_set {
        Some(set) if set.replicas > 0 && !set.deleting => set.replicas,
        _ => {
            let claims = observed.claims.iter().filter(|(_, claim)| !claim.retired).map(|(ordinal, _)| *ordinal);
            let pods = observed.pods.keys().copied();
            claims.chain(pods).max().map_or(0, |highest| highest.saturating_add(1))
        }
    }
}
