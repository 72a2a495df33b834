//! Which worker is restarted next, so that it runs what the StatefulSet says.
//!
//! One at a time, each with leave from the data plane: no group loses its quorum, and the next waits until the last one
//! is ready again. A worker of the new revision that does not get ready stops it; one of the old revision that serves
//! nothing never does, or a broken release could not be taken back.

use super::{Decision, Step};
use crate::observe::{Observed, Pod};
use crate::validate::Cluster;

pub fn decide(cluster: &Cluster, observed: &Observed, decision: &mut Decision) {
    let Some(revision) = observed.stateful_set.as_ref().and_then(|set| set.revision.as_ref()) else {
        decision.waits.push("Kubernetes has not taken up the StatefulSet's newest template".to_owned());
        return;
    };
    let old = |pod: &Pod| pod.revision.as_ref() != Some(revision);
    let answers = |ordinal: &u8| observed.stores.identities.contains_key(ordinal);
    let permitted = observed.stores.meta.as_ref().and_then(|meta| meta.restart).map(|permit| permit.store);
    let holder = observed.stores.identities.iter().find(|(_, identity)| Some(identity.store) == permitted);
    if let Some((ordinal, identity)) = holder
        && observed.pods.get(ordinal).is_some_and(|pod| pod.ready && !pod.deleting && !old(pod))
    {
        decision.before.push(Step::EndRestart(identity.store));
    }
    // One that is to be scaled away need not be made anew before, and holds nobody up.
    let staying = || observed.pods.range(..cluster.workers.replicas);
    let outdated: Vec<(&u8, &Pod)> = staying().filter(|(_, pod)| old(pod) && !pod.deleting).collect();
    if outdated.is_empty() {
        return;
    }
    decision.waits.push(format!("{} workers are to be restarted, one at a time", outdated.len()));
    // Kubernetes may err on one that only does not reach its probe, so it must be silent here too.
    if let Some((ordinal, pod)) = outdated.iter().find(|(ordinal, pod)| !pod.ready && !answers(ordinal)) {
        decision.after.push(Step::Replace { ordinal: **ordinal, pod: pod.uid.clone() });
        return;
    }
    let missing = (0..cluster.workers.replicas).filter(|ordinal| !observed.pods.contains_key(ordinal)).count();
    let coming = staying().find(|(_, pod)| pod.deleting || (!pod.ready && !old(pod)));
    if let Some((ordinal, pod)) = coming {
        let trouble = pod.trouble.as_ref().map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        decision.waits.push(format!("worker {ordinal} is not ready{trouble}: the others wait"));
        return;
    }
    if missing > 0 {
        decision.waits.push(format!("{missing} pods are not there yet: the others wait"));
        return;
    }
    // Who was let go already, then who serves nothing, then from the highest on; the meta group's leader last, so that
    // it moves once.
    let leader = observed.meta_leader();
    let turn = |(ordinal, pod): &(&u8, &Pod)| {
        let store = observed.stores.identities.get(ordinal).map(|identity| identity.store);
        (permitted.is_none() || store != permitted, pod.ready, Some(**ordinal) == leader, u8::MAX - **ordinal)
    };
    let Some((ordinal, pod)) = outdated.into_iter().min_by_key(turn) else { return };
    let Some(identity) = observed.stores.identities.get(ordinal) else {
        decision.waits.push(format!("worker {ordinal} is ready and does not answer the operator"));
        return;
    };
    decision.after.push(if observed.may_hold_rows(decision.pods.count) {
        Step::Restart { ordinal: *ordinal, pod: pod.uid.clone(), store: identity.store, serving: pod.ready }
    } else {
        Step::Replace { ordinal: *ordinal, pod: pod.uid.clone() }
    });
}
