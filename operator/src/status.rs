//! What the resource says of its cluster: pure, from what was seen and decided.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::events::EventType;
use raftduck_model::placement::depends_on;
use raftduck_operator_api::{
    AnalyticsCluster, AnalyticsClusterStatus, Member, MemberState, PartitionMapStatus, RaftStatus,
};

use crate::apply::FIELD_MANAGER;
use crate::build::labels::{Component, selector};
use crate::build::{Evictions, HTTP_PORT};
use crate::decide::Decision;
use crate::observe::Observed;
use crate::validate::Cluster;

mod conditions;

use conditions::{Fact, conditions};

/// How long figures stay as they were said: with a look every 15 s they are written at most twice in a minute.
const FIGURES_LAST: Duration = Duration::from_secs(40);

/// What happened while objects were applied and steps done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Objects of other people in the place of ours.
    pub conflicts: Vec<String>,
    /// Steps that were not done, and why.
    pub undone: Vec<String>,
    /// What was changed. Until a look finds nothing to change, what follows from it is not known.
    pub changed: Vec<String>,
}

/// The partitions and their copies; none where no store answers for the cluster.
pub fn partition_map(observed: &Observed) -> Option<PartitionMapStatus> {
    let meta = observed.stores.meta.as_ref()?;
    let wanted = usize::try_from(meta.replication).unwrap_or(usize::MAX);
    let lacking = meta.partitions.iter().filter(|partition| {
        let there = partition.replicas.iter().filter(|replica| observed.answers(replica.store)).count();
        there < wanted.max(partition.replicas.len())
    });
    let led: u32 = observed.stores.identities.values().map(|identity| identity.leads).sum();
    let groups = meta.partitions.len() + 1;
    Some(PartitionMapStatus {
        epoch: meta.epoch.to_string(),
        under_replicated: count(lacking.count()),
        moving: count(meta.partitions.iter().filter(|partition| partition.change.is_some()).count()),
        without_leader: count(groups.saturating_sub(usize::try_from(led).unwrap_or(usize::MAX))),
    })
}

/// No eviction takes a copy where one is missing already.
pub fn evictions(observed: &Observed) -> Evictions {
    match partition_map(observed) {
        Some(map) if map.under_replicated == 0 => Evictions::One,
        _ => Evictions::None,
    }
}

/// The whole status. `was` is the one before, whose times of change are kept.
pub fn status(
    cluster: &Cluster,
    generation: Option<i64>,
    observed: &Observed,
    decision: &Decision,
    outcome: &Outcome,
    was: Option<&AnalyticsClusterStatus>,
) -> AnalyticsClusterStatus {
    let map = partition_map(observed);
    let identities = &observed.stores.identities;
    let labels = selector(&cluster.name, Some(Component::Worker));
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let leader = observed.meta_leader().map(|ordinal| cluster.name.worker(ordinal).to_string());
    let raft = observed
        .stores
        .meta
        .as_ref()
        .map(|meta| RaftStatus { leader, level: i32::try_from(meta.level).unwrap_or(i32::MAX) });
    let facts = conditions(cluster, observed, decision, outcome, map.as_ref(), was);
    AnalyticsClusterStatus {
        observed_generation: generation,
        cluster_uuid: observed.identity.as_ref().map(|written| written.cluster.to_string()),
        replicas: count(observed.pods.len()),
        ready_replicas: count(observed.pods.values().filter(|pod| pod.ready).count()),
        selector: Some(labels.join(",")),
        version: identities.values().map(|identity| identity.version.clone()).min(),
        endpoint: Some(format!("http://{}.{}.svc:{HTTP_PORT}", cluster.name.client_service(), cluster.namespace)),
        template_revision: None,
        raft,
        partition_map: map,
        members: members(cluster, observed),
        conditions: dated(facts, generation, was),
    }
}

fn members(cluster: &Cluster, observed: &Observed) -> Vec<Member> {
    let meta = observed.stores.meta.as_ref();
    let member = |(ordinal, pod): (&u8, &crate::observe::Pod)| {
        let identity = observed.stores.identities.get(ordinal);
        let store = identity.map(|identity| identity.store);
        let held = store.zip(meta).map_or(0, |(store, meta)| depends_on(meta, store));
        let registered = store.zip(meta).is_some_and(|(store, meta)| meta.stores.contains_key(&store));
        let draining = store.zip(meta).is_some_and(|(store, meta)| meta.draining.contains(&store));
        Member {
            name: cluster.name.worker(*ordinal).to_string(),
            state: match (identity, registered, draining) {
                (None, ..) => MemberState::Away,
                (Some(_), false, _) => MemberState::Joining,
                (Some(_), true, false) => MemberState::Serving,
                (Some(_), true, true) if held == 0 => MemberState::Drained,
                (Some(_), true, true) => MemberState::Draining,
            },
            store: store.map(|store| store.to_string()),
            node: pod.node.clone(),
            zone: pod.zone.clone(),
            claim: Some(cluster.name.claim(*ordinal).to_string()),
            copies: count(held),
            leads: identity.map_or(0, |identity| i32::try_from(identity.leads).unwrap_or(i32::MAX)),
        }
    };
    observed.pods.iter().map(member).collect()
}

/// A resource that was refused, or has no UUID: what was known of it stays, and one condition says why.
pub fn refused(
    kind: &'static str,
    reason: &'static str,
    message: String,
    generation: Option<i64>,
    was: Option<&AnalyticsClusterStatus>,
) -> AnalyticsClusterStatus {
    let facts = vec![
        Fact { kind: "Progressing", holds: false, reason, message: message.clone() },
        Fact { kind, holds: true, reason, message },
    ];
    let mut status = was.cloned().unwrap_or_default();
    status.observed_generation = generation;
    let new = dated(facts, generation, was);
    status.conditions.retain(|old| new.iter().all(|new| new.type_ != old.type_));
    status.conditions.extend(new);
    status
}

/// Whether `now` may be said later than `at`: it differs from what `resource` says, a short while ago, only in figures
/// that change all the time while rows come in.
pub fn may_wait(resource: &AnalyticsCluster, now: &AnalyticsClusterStatus, at: Timestamp) -> bool {
    let mut written = resource.managed_fields().iter().filter(|fields| {
        fields.manager.as_deref() == Some(FIELD_MANAGER) && fields.subresource.as_deref() == Some("status")
    });
    // The API server wrote it down, so it outlives this process. Its clock may be ahead of this one.
    let Some(Time(written)) = written.find_map(|fields| fields.time.as_ref()) else { return false };
    let recent = at.duration_since(*written).unsigned_abs() < FIGURES_LAST;
    recent && resource.status.as_ref().is_some_and(|was| without_figures(was) == without_figures(now))
}

/// Without who leads how much, and the epoch: that somebody leads is in it all the same.
fn without_figures(status: &AnalyticsClusterStatus) -> AnalyticsClusterStatus {
    let mut status = status.clone();
    status.raft.iter_mut().for_each(|raft| raft.leader = None);
    status.partition_map.iter_mut().for_each(|map| map.epoch.clear());
    status.members.iter_mut().for_each(|member| member.leads = 0);
    status
}

/// The Events that a new status is worth: what turned, and what that means.
pub fn turns(was: Option<&AnalyticsClusterStatus>, now: &AnalyticsClusterStatus) -> Vec<(EventType, String, String)> {
    let turned = now.conditions.iter().filter(|new| {
        let old = was.into_iter().flat_map(|was| &was.conditions).find(|old| old.type_ == new.type_);
        // A condition that never held is no news.
        old.map_or(new.status == "True", |old| old.status != new.status)
    });
    let event = |new: &Condition| {
        let good = (new.status == "True") == matches!(new.type_.as_str(), "Available" | "Progressing" | "Paused");
        // That something is under way is neither good nor bad.
        let warns = !good && !matches!(new.type_.as_str(), "Progressing" | "Paused");
        let kind = if warns { EventType::Warning } else { EventType::Normal };
        let note = format!("{} is {} ({}) {}", new.type_, new.status, new.reason, new.message);
        (kind, format!("{}{}", new.type_, new.status), note.trim().to_owned())
    };
    turned.map(event).collect()
}

fn dated(facts: Vec<Fact>, generation: Option<i64>, was: Option<&AnalyticsClusterStatus>) -> Vec<Condition> {
    let date = |fact: Fact| {
        let status = if fact.holds { "True" } else { "False" };
        let before = was.into_iter().flat_map(|was| &was.conditions).find(|one| one.type_ == fact.kind);
        let since = before.filter(|one| one.status == status).map(|one| one.last_transition_time.clone());
        Condition {
            type_: fact.kind.to_owned(),
            status: status.to_owned(),
            observed_generation: generation,
            last_transition_time: since.unwrap_or_else(|| Time(Timestamp::now())),
            reason: fact.reason.to_owned(),
            message: fact.message,
        }
    };
    facts.into_iter().map(date).collect()
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
