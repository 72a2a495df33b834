//! What the resource says of its cluster.

use raftduck_operator::build::Evictions;
use raftduck_operator::decide::decide;
use raftduck_operator::status::{Outcome, evictions, status, turns};
use raftduck_operator::validate::Cluster;
use raftduck_operator_api::{AnalyticsClusterStatus, MemberState};

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
