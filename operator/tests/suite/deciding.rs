//! The decisions: whatever is wanted, and whatever happens, the cluster gets there, and nothing is removed that anything
//! depends on.

use proptest::prelude::*;
use raftduck_operator::decide::{Origin, origin};
use raftduck_operator::observe::{Claim, Observed};
use raftduck_operator::quantity::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{RESOURCE, World, cluster, sized};

#[test]
fn a_cluster_is_made_once_and_then_left_alone() {
    let (mut world, wanted) = (World::new(), sized(3));
    world.settles(&wanted);
    world.is_whole(&wanted);
    assert_eq!(world.done.iter().filter(|step| step.contains("make a cluster")).count(), 1);
    let before = world.done.len();
    world.settles(&wanted);
    assert_eq!(world.done.len(), before);
}

#[test]
fn a_worker_goes_only_once_nothing_is_on_it_and_its_volume_stays_unless_told() {
    let mut world = World::new();
    world.settles(&sized(5));
    let wanted = sized(3);
    world.settles(&wanted);
    world.is_whole(&wanted);
    assert_eq!(world.stores.meta.retired.len(), 2);
    assert_eq!(world.claims.values().filter(|claim| claim.retired).count(), 2);
    let deleting = cluster(json!({"workers": {"storage": {"whenScaled": "Delete"}}, "partitions": 6}));
    world.settles(&deleting);
    assert_eq!(world.claims.len(), 3);
}

#[test]
fn a_change_of_mind_half_way_takes_the_drain_back() {
    let mut world = World::new();
    world.settles(&sized(5));
    assert!(world.reconcile(&sized(3)).is_ok());
    world.turn(&sized(3));
    assert_eq!(world.stores.meta.draining.len(), 2);
    world.settles(&sized(5));
    world.is_whole(&sized(5));
    assert!(world.stores.meta.retired.is_empty(), "nobody had to go");
}

#[test]
fn a_store_that_is_about_to_be_registered_is_waited_for() {
    let mut world = World::new();
    world.settles(&sized(3));
    // Two pods are made and answer, and nobody has taken their stores in, when the mind is changed.
    assert!(world.reconcile(&sized(5)).is_ok());
    world.turn(&sized(5));
    assert_eq!((world.pods.len(), world.stores.meta.stores.len()), (5, 3));
    assert!(world.reconcile(&sized(3)).is_ok());
    assert_eq!(world.set.as_ref().unwrap().replicas, 5);
    world.settles(&sized(3));
    world.is_whole(&sized(3));
    assert_eq!(world.stores.meta.retired.len(), 2, "taken in, emptied, given up");
}

#[test]
fn a_store_that_was_registered_while_its_pod_was_taken_comes_back_to_be_emptied() {
    let mut world = World::new();
    // Nobody else has what it holds.
    let wanted = cluster(json!({"replicationFactor": 1, "partitions": 6}));
    world.settles(&wanted);
    // It answers nobody but the other stores, registers and gets copies: and its pod goes at that moment.
    world.stores.start(3);
    world.stores.join(3, &wanted.worker_address(3));
    for _ in 0..20 {
        world.stores.work(2);
    }
    world.stores.stop(3);
    let late = world.stores.on(3).unwrap();
    assert!(world.stores.held_by(late) > 0);
    let claim = world.claims[&0].clone();
    world.claims.insert(3, Claim { uid: "late".into(), ..claim });
    world.settles(&wanted);
    world.is_whole(&wanted);
    assert!(world.stores.meta.retired.contains(&late));
}

#[test]
fn a_stopped_cluster_starts_with_every_store_it_had() {
    let mut world = World::new();
    world.settles(&sized(5));
    // Two are on their way out when all is stopped.
    assert!(world.reconcile(&sized(3)).is_ok());
    let stopped = cluster(json!({"desiredState": "Stopped", "workers": {"storage": {"whenDeleted": "Delete"}}}));
    for _ in 0..3 {
        assert!(world.reconcile(&stopped).is_ok());
        world.turn(&stopped);
    }
    assert!(world.pods.is_empty());
    assert_eq!(world.claims.len(), 5);
    world.settles(&sized(3));
    world.is_whole(&sized(3));
}

#[test]
fn a_resource_that_comes_back_finds_its_rows() {
    let mut world = World::new();
    world.settles(&sized(5));
    let made = world.stores.meta.clone();
    // The resource goes, and its pods and its StatefulSet with it.
    for ordinal in 0..5 {
        world.end_pod(ordinal);
    }
    world.set = None;
    // Once by the ConfigMap, once by the claims alone.
    for by_claims in [false, true] {
        if by_claims {
            world.identity = None;
        }
        world.settles(&sized(3));
        world.is_whole(&sized(3));
        assert_eq!(world.stores.meta.cluster, made.cluster);
        assert_eq!(world.done.iter().filter(|step| step.contains("make a cluster")).count(), 1);
        for ordinal in 0..5 {
            world.end_pod(ordinal);
        }
        world.set = None;
    }
}

#[test]
fn a_lost_volume_is_given_up_where_the_others_have_its_rows() {
    let mut world = World::new();
    let wanted = sized(3);
    world.settles(&wanted);
    world.end_pod(1);
    world.stores.lose(1);
    world.settles(&wanted);
    world.is_whole(&wanted);
    assert_eq!(world.stores.meta.retired.len(), 1);
}

#[test]
fn two_lost_volumes_are_left_to_a_person() {
    let mut world = World::new();
    let wanted = sized(3);
    world.settles(&wanted);
    for ordinal in [1, 2] {
        world.end_pod(ordinal);
        world.stores.lose(ordinal);
    }
    for by_claims in [false, true] {
        if by_claims {
            world.identity = None;
        }
        for _ in 0..20 {
            assert!(world.reconcile(&wanted).is_ok());
            world.turn(&wanted);
        }
        assert!(world.stores.meta.retired.is_empty());
        assert_eq!(world.done.iter().filter(|step| step.contains("make a cluster")).count(), 1);
    }
}

#[test]
fn a_roll_restarts_one_worker_at_a_time_and_the_meta_leader_last() {
    let mut world = World::new();
    let wanted = sized(3);
    world.settles(&wanted);
    world.set.as_mut().unwrap().revision = Some("2".into());
    world.done.clear();
    world.settles(&wanted);
    world.is_whole(&wanted);
    let order: Vec<&String> = world.done.iter().filter(|step| step.starts_with("restart worker")).collect();
    let begins = |at: usize, ordinal: u8| order[at].starts_with(&format!("restart worker {ordinal}"));
    assert!(order.len() == 3 && begins(0, 2) && begins(1, 1) && begins(2, 0), "{order:?}");
}

#[test]
fn a_broken_release_stops_at_the_first_worker_and_can_be_taken_back() {
    let mut world = World::new();
    let wanted = sized(3);
    world.settles(&wanted);
    world.set.as_mut().unwrap().revision = Some("broken".into());
    world.done.clear();
    for _ in 0..10 {
        assert!(world.reconcile(&wanted).is_ok());
        world.turn(&wanted);
        for (ordinal, pod) in &mut world.pods {
            if pod.revision.as_deref() == Some("broken") {
                (pod.ready, pod.ip) = (false, None);
                world.stores.stop(*ordinal);
            }
        }
    }
    assert_eq!(world.done.iter().filter(|step| step.starts_with("restart worker")).count(), 1, "{:?}", world.done);
    world.set.as_mut().unwrap().revision = Some("1".into());
    world.settles(&wanted);
    world.is_whole(&wanted);
}

#[test]
fn volumes_grow_before_the_stateful_set_is_made_anew_around_its_pods() {
    let mut world = World::new();
    world.settles(&sized(3));
    let uids: Vec<String> = world.pods.values().map(|pod| pod.uid.clone()).collect();
    let larger = cluster(json!({"workers": {"storage": {"size": "20Gi"}}, "partitions": 6}));
    world.settles(&larger);
    let size: Option<Bytes> = "20Gi".parse().ok();
    assert!(world.claims.values().all(|claim| claim.requested == size));
    assert_eq!(world.set.as_ref().unwrap().claim_size, size);
    assert_eq!(world.pods.values().map(|pod| pod.uid.clone()).collect::<Vec<_>>(), uids);
}

#[test]
fn a_resource_says_how_its_cluster_begins() {
    let uuid = Uuid::from_u128(7);
    let begin = |how: Value| cluster(json!({"bootstrap": how}));
    let claim = |uuid| Claim {
        uid: "u".into(),
        cluster: Some(uuid),
        retired: false,
        requested: None,
        owned: false,
        deleting: false,
        lost_node: None,
    };
    let found = Observed { claims: [(0, claim(uuid))].into(), ..Observed::default() };
    let several = Observed { claims: [(0, claim(uuid)), (1, claim(Uuid::from_u128(8)))].into(), ..Observed::default() };
    let nothing = Observed::default();
    let adopt = begin(json!({"adopt": {"clusterUuid": uuid.to_string()}}));
    assert_eq!(origin(&sized(3), RESOURCE, &nothing), Ok(Origin::New));
    assert_eq!(origin(&sized(3), RESOURCE, &found), Ok(Origin::Found(uuid)));
    assert_eq!(origin(&adopt, RESOURCE, &found), Ok(Origin::Found(uuid)));
    assert!(origin(&adopt, RESOURCE, &nothing).unwrap_err().to_string().contains("no claim"));
    assert!(origin(&begin(json!({"new": {}})), RESOURCE, &found).unwrap_err().to_string().contains("says new"));
    assert!(origin(&sized(3), RESOURCE, &several).unwrap_err().to_string().contains("several"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Sizes wanted one after the other, some while the last one is under way, with the operator ended anywhere: at the
    /// end the cluster is whole, and the world's own assertions held all the way.
    #[test]
    fn whatever_sizes_are_wanted_nothing_is_lost_on_the_way(
        sizes in prop::collection::vec((3_u8..8, 0_usize..12, prop::option::of(0_usize..12)), 1..6),
        delete in any::<bool>(),
    ) {
        let policy = if delete { "Delete" } else { "Retain" };
        let wants = |workers: u8| cluster(json!({
            "workers": {"replicas": workers, "storage": {"whenScaled": policy}}, "partitions": 6,
        }));
        let mut world = World::new();
        world.settles(&wants(3));
        for (workers, rounds, ends) in &sizes {
            world.ends_after = *ends;
            for _ in 0..*rounds {
                if world.reconcile(&wants(*workers)).is_err() {
                    world.ends_after = None;
                }
                world.turn(&wants(*workers));
            }
        }
        let last = wants(sizes.last().unwrap().0);
        world.settles(&last);
        world.is_whole(&last);
    }
}
