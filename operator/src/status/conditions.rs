//! What holds of a cluster, each with a reason and, where it is bad, with what to do.

use raftduck_operator_api::{AnalyticsClusterStatus, DesiredState, PartitionMapStatus};
use raftduck_wire::http::Space;

use super::{Outcome, count};
use crate::decide::Decision;
use crate::observe::Observed;
use crate::validate::Cluster;

/// A condition without its time.
pub struct Fact {
    pub kind: &'static str,
    pub holds: bool,
    pub reason: &'static str,
    pub message: String,
}

pub fn conditions(
    cluster: &Cluster,
    observed: &Observed,
    decision: &Decision,
    outcome: &Outcome,
    map: Option<&PartitionMapStatus>,
    was: Option<&AnalyticsClusterStatus>,
) -> Vec<Fact> {
    let leaderless = map.map_or(0, |map| map.without_leader);
    // Each store is asked by itself, so a leadership that moves meanwhile is counted by nobody, or by both. What the
    // look before found missing too has no leader.
    let missing = leaderless > 0 && was.is_none_or(|was| !was_whole(was));
    vec![
        available(cluster, observed, map, missing),
        progressing(cluster, observed, decision, outcome, map),
        degraded(cluster, observed, decision, map),
        storage_low(cluster, observed),
        Fact {
            kind: "NameConflict",
            holds: !outcome.conflicts.is_empty(),
            reason: if outcome.conflicts.is_empty() { "NamesAreFree" } else { "ForeignObject" },
            message: if outcome.conflicts.is_empty() {
                String::new()
            } else {
                let names = outcome.conflicts.join(", ");
                format!("{names} belong to somebody else: rename or delete them, or name the cluster otherwise")
            },
        },
        Fact { kind: "VolumesFound", holds: false, reason: "NoneInTheWay", message: String::new() },
        Fact {
            kind: "Paused",
            holds: cluster.paused,
            reason: if cluster.paused { "AskedFor" } else { "NotAskedFor" },
            message: if cluster.paused {
                "nothing is changed until spec.paused is false".to_owned()
            } else {
                String::new()
            },
        },
    ]
}

/// Whether every group had a leader, and rows were taken.
fn was_whole(was: &AnalyticsClusterStatus) -> bool {
    let led = was.partition_map.as_ref().is_some_and(|map| map.without_leader == 0);
    led && was.conditions.iter().any(|one| one.type_ == "Available" && one.status == "True")
}

fn available(cluster: &Cluster, observed: &Observed, map: Option<&PartitionMapStatus>, missing: bool) -> Fact {
    let (holds, reason, message) = match map {
        _ if cluster.desired_state == DesiredState::Stopped => {
            (false, "Stopped", "spec.desiredState is Stopped; the volumes are kept".to_owned())
        }
        None => (false, "NoQuorum", "no store answers for the cluster".to_owned()),
        Some(map) if missing => {
            let message = format!(
                "{} groups have no leader: a majority of the workers that hold each must be up",
                map.without_leader
            );
            (false, "NoQuorum", message)
        }
        Some(_) if observed.control_ready == 0 => (false, "NoControl", "no control pod is ready".to_owned()),
        Some(_) => (true, "Serving", "rows are taken and questions answered".to_owned()),
    };
    Fact { kind: "Available", holds, reason, message }
}

fn progressing(
    cluster: &Cluster,
    observed: &Observed,
    decision: &Decision,
    outcome: &Outcome,
    map: Option<&PartitionMapStatus>,
) -> Fact {
    let ready = count(observed.pods.values().filter(|pod| pod.ready && !pod.deleting).count());
    let wanted = match cluster.desired_state {
        DesiredState::Running => i32::from(cluster.workers.replicas),
        DesiredState::Stopped => 0,
    };
    let moving = map.map_or(0, |map| map.moving);
    let mut what = decision.waits.clone();
    what.extend(outcome.undone.iter().cloned());
    what.extend(outcome.changed.iter().cloned());
    let there = count(observed.pods.len());
    if there > wanted {
        what.push(format!("{there} workers are there, {wanted} are to be"));
    } else if there < wanted || ready < wanted {
        what.push(format!("{ready} of {wanted} workers are ready"));
    }
    if moving > 0 {
        what.push(format!("{moving} partitions move"));
    }
    let leaderless = map.map_or(0, |map| map.without_leader);
    if leaderless > 0 {
        what.push(format!("{leaderless} groups are between two leaders"));
    }
    let reason = match (cluster.paused, what.is_empty()) {
        (true, _) => "Paused",
        (false, true) => "Settled",
        (false, false) => "Changing",
    };
    Fact { kind: "Progressing", holds: reason == "Changing", reason, message: what.join("; ") }
}

fn degraded(cluster: &Cluster, observed: &Observed, decision: &Decision, map: Option<&PartitionMapStatus>) -> Fact {
    let mut what = decision.needs.clone();
    let lacking = map.map_or(0, |map| map.under_replicated);
    if lacking > 0 {
        what.push(format!("{lacking} partitions have fewer copies than {}", cluster.replication_factor));
    }
    for (ordinal, pod) in &observed.pods {
        if let Some(trouble) = &pod.trouble {
            what.push(format!("worker {ordinal} does not run: {trouble}"));
        }
    }
    let reason = match (decision.needs.is_empty(), what.is_empty()) {
        (false, _) => "NeedsAPerson",
        (true, false) => "CopiesMissing",
        (true, true) => "AllWell",
    };
    Fact { kind: "Degraded", holds: !what.is_empty(), reason, message: what.join("; ") }
}

fn storage_low(cluster: &Cluster, observed: &Observed) -> Fact {
    let low = observed.stores.identities.iter().filter(|(_, identity)| identity.space != Space::Enough);
    let names: Vec<String> = low.map(|(ordinal, _)| cluster.name.claim(*ordinal).to_string()).collect();
    let (reason, message) = if names.is_empty() {
        ("RoomLeft", String::new())
    } else {
        let message = format!("{} nearly full, rows are refused: raise spec.workers.storage.size", names.join(", "));
        ("NearlyFull", message)
    };
    Fact { kind: "StorageLow", holds: !names.is_empty(), reason, message }
}
