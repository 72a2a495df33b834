//! What the resource says of its cluster.

use raftduck_operator::build::Evictions;
use raftduck_operator::decide::decide;
use raftduck_operator::status::{Outcome, evictions, may_wait, status, turns};
use raftduck_operator::validate::Cluster;
use raftduck_operator_api::{AnalyticsCluster, AnalyticsClusterStatus, MemberState};
use serde_json::json;

use crate::world::{World, sized};

fn said(world: &World, cluster: &Cluster, was: Option<&AnalyticsClusterStatus>) -> AnalyticsClusterStatus {
    let observed = world.observed();
    let decision = decide(cluster, observed.identity.as_ref().unwrap().cluster, &observed);
    status(cluster, Some(1), &observed, &decision, &Outcome::default(), was)
}

fn condition(status: &AnalyticsClusterStatus, kind: &str) -> (String, String, String) {
    let found = status.conditions.iter().find(|one| one.type_ == kind).unwrap();
    (found.status.clone(), found.reason.clone(), found.message.clone())
}

#[test]
fn a_cluster_where_all_is_well_says_so_and_who_holds_what() {
    let (mut world, wanted) = (World::new(), sized(3));
    world.settles(&wanted);
    let now = said(&world, &wanted, None);
    assert_eq!(condition(&now, "Available").1, "Serving");
    assert_eq!(condition(&now, "Progressing").1, "Settled");
    assert_eq!(condition(&now, "Degraded").1, "AllWell");
    assert_eq!((now.replicas, now.ready_replicas), (3, 3));
    assert!(now.members.iter().all(|member| member.state == MemberState::Serving && member.copies == 7));
    assert_eq!(evictions(&world.observed()), Evictions::One);
    let again = said(&world, &wanted, Some(&now));
    assert_eq!(again, now, "nothing happened, and the status is another one");
}

#[test]
fn figures_that_change_all_the_time_are_written_now_and_then_and_everything_else_at_once() {
    let (mut world, wanted) = (World::new(), sized(3));
    world.settles(&wanted);
    let was = said(&world, &wanted, None);
    world.stores.meta.epoch.0 += 1;
    world.stores.mistaken = Some(1);
    world.stores.meta.replicas.rotate_left(1);
    let figures = said(&world, &wanted, Some(&was));
    let of = |status: &AnalyticsClusterStatus| {
        let map = status.partition_map.clone().unwrap();
        (map.epoch, status.members[1].leads, status.raft.clone().unwrap().leader)
    };
    let ((epoch, leads, leader), now) = (of(&was), of(&figures));
    assert!(epoch != now.0 && leads != now.1 && leader != now.2);
    world.end_pod(2);
    let more = said(&world, &wanted, Some(&was));

    let mut resource: AnalyticsCluster = serde_json::from_value(json!({
        "apiVersion": "raftduck.io/v1alpha1", "kind": "AnalyticsCluster", "metadata": {"managedFields": [
            {"manager": "kubectl", "subresource": "status", "time": "2026-01-01T09:00:00Z"},
            {"manager": "raftduck-operator", "time": "2026-01-01T09:00:00Z"},
            {"manager": "raftduck-operator", "subresource": "status", "time": "2026-01-01T10:00:00Z"},
        ]},
        "spec": {"image": "raftduck:1", "partitions": 6, "workers": {"storage": {"size": "1Gi"}}},
    }))
    .unwrap();
    resource.status = Some(was);
    // The API server's clock may be ahead, too.
    for (at, waits) in [("09:59:30", true), ("10:00:30", true), ("10:00:40", false), ("12:00:00", false)] {
        let at = format!("2026-01-01T{at}Z").parse().unwrap();
        assert_eq!(may_wait(&resource, &figures, at), waits, "{at}");
        assert!(!may_wait(&resource, &more, at), "{at}");
    }
    let at = "2026-01-01T10:00:00Z".parse().unwrap();
    resource.status = None;
    assert!(!may_wait(&resource, &figures, at), "nothing was ever said");
}

#[test]
fn a_worker_that_is_away_is_no_reason_to_stop_and_one_to_evict_nobody() {
    let (mut world, wanted) = (World::new(), sized(3));
    world.settles(&wanted);
    let before = said(&world, &wanted, None);
    world.end_pod(2);
    let now = said(&world, &wanted, Some(&before));
    assert_eq!(condition(&now, "Available").0, "True");
    let (holds, reason, message) = condition(&now, "Degraded");
    assert_eq!((holds.as_str(), reason.as_str()), ("True", "CopiesMissing"));
    assert!(message.contains("6 partitions have fewer copies than 3"), "{message}");
    assert_eq!(evictions(&world.observed()), Evictions::None);
    let events = turns(Some(&before), &now);
    assert!(events.iter().any(|(_, reason, _)| reason == "DegradedTrue"), "{:?}", events.len());
}

#[test]
fn a_lost_quorum_is_said_with_what_a_person_must_do() {
    let (mut world, wanted) = (World::new(), sized(3));
    world.settles(&wanted);
    for ordinal in [1, 2] {
        world.end_pod(ordinal);
        world.stores.lose(ordinal);
    }
    for _ in 0..3 {
        assert!(world.reconcile(&wanted).is_ok());
        world.turn(&wanted);
    }
    let now = said(&world, &wanted, None);
    assert_eq!(condition(&now, "Available").1, "NoQuorum");
    let (_, reason, message) = condition(&now, "Degraded");
    assert_eq!(reason, "NeedsAPerson");
    assert!(
        message.contains("7 groups have no quorum without it") && message.contains("raftduck recover"),
        "{message}"
    );
}

#[test]
fn a_leadership_that_moves_while_stores_are_asked_is_no_lost_quorum_and_one_that_stays_away_is() {
    let (mut world, wanted) = (World::new(), sized(3));
    world.settles(&wanted);
    let before = said(&world, &wanted, None);
    for ordinal in [1, 2] {
        world.end_pod(ordinal);
    }
    let first = said(&world, &wanted, Some(&before));
    assert_eq!(condition(&first, "Available").1, "Serving");
    // So it is looked at again at once.
    let (holds, _, message) = condition(&first, "Progressing");
    assert!(holds == "True" && message.contains("7 groups are between two leaders"), "{message}");
    let second = said(&world, &wanted, Some(&first));
    assert_eq!(condition(&second, "Available").1, "NoQuorum");
    let third = said(&world, &wanted, Some(&second));
    assert_eq!(condition(&third, "Available").1, "NoQuorum");
}
