//! The decisions, against a world that does what they say: whatever is wanted, and whatever happens, the cluster gets
//! there, and nothing is removed that anything depends on.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use raftduck_model::meta::MetaCommand;
use raftduck_operator::decide::{Origin, Step, decide, origin};
use raftduck_operator::observe::{Claim, Observed, Pod, StatefulSet, View, Written};
use raftduck_operator::quantity::Bytes;
use raftduck_operator::validate::Cluster;
use raftduck_operator_api::{AnalyticsCluster, AnalyticsClusterSpec};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stores::Stores;

const RESOURCE: &str = "7d5f8f3c-0000-4000-8000-000000000001";

fn cluster(change: Value) -> Cluster {
    let mut spec = json!({"image": "raftduck:1", "workers": {"storage": {"size": "10Gi"}}});
    merge(&mut spec, change);
    let spec: AnalyticsClusterSpec = serde_json::from_value(spec).unwrap();
    let mut resource = AnalyticsCluster::new("flights", spec);
    resource.metadata.namespace = Some("team".into());
    Cluster::read(&resource).unwrap()
}

fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            change.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, change) => *into = change,
    }
}

fn sized(workers: u8) -> Cluster {
    cluster(json!({"workers": {"replicas": workers}, "partitions": 6}))
}

/// Kubernetes, as far as a cluster sees of it.
struct World {
    stores: Stores,
    identity: Option<Written>,
    claims: BTreeMap<u8, Claim>,
    pods: BTreeMap<u8, Pod>,
    set: Option<StatefulSet>,
    made: u32,
    /// Ended after that many further changes, in the middle of whatever is under way.
    ends_after: Option<usize>,
    done: Vec<String>,
}

/// The operator's process is no more.
struct Ended;

impl World {
    fn new() -> Self {
        Self {
            stores: Stores::new(),
            identity: None,
            claims: BTreeMap::new(),
            pods: BTreeMap::new(),
            set: None,
            made: 0,
            ends_after: None,
            done: Vec::new(),
        }
    }

    fn uid(&mut self) -> String {
        self.made += 1;
        format!("uid-{}", self.made)
    }

    /// One change is made: or, in place of it, the operator ends.
    fn change(&mut self) -> Result<(), Ended> {
        match &mut self.ends_after {
            Some(0) => Err(Ended),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn observed(&self) -> Observed {
        let identity = |(ordinal, pod): (&u8, &Pod)| pod.ip.as_ref().and_then(|_| self.stores.identity(*ordinal));
        let identities: BTreeMap<u8, _> = self.pods.iter().filter_map(|pod| Some((*pod.0, identity(pod)?))).collect();
        let knows = identities.values().any(|identity| identity.cluster.is_some());
        Observed {
            identity: self.identity.clone(),
            claims: self.claims.clone(),
            pods: self.pods.clone(),
            stateful_set: self.set.clone(),
            control_ready: 1,
            control_updated: 1,
            stores: View {
                identities,
                strangers: BTreeMap::new(),
                meta: (knows && self.stores.meta.cluster.is_some()).then(|| self.stores.meta.clone()),
            },
        }
    }

    /// As the operator reconciles.
    fn reconcile(&mut self, cluster: &Cluster) -> Result<(), Ended> {
        let observed = self.observed();
        let (uuid, adopted) = match origin(cluster, RESOURCE, &observed).unwrap() {
            Origin::Written(uuid) => (uuid, None),
            Origin::Found(uuid) => (uuid, Some(true)),
            Origin::New => (Uuid::from_u128(0xc), Some(false)),
        };
        if let Some(adopted) = adopted {
            self.change()?;
            self.identity = Some(Written {
                cluster: uuid,
                resource: Some(RESOURCE.into()),
                adopted,
                bootstrapped: false,
                owned: false,
            });
        }
        let observed = self.observed();
        let decision = decide(cluster, uuid, &observed);
        for step in &decision.before {
            self.step(cluster, step)?;
        }
        let safe = decision.pods.leaving.iter().all(|store| self.stores.held_by(*store) == 0);
        let count = if safe { decision.pods.count } else { decision.pods.otherwise };
        if self.set.as_ref().is_none_or(|set| set.replicas != count) {
            self.change()?;
            let uid = self.uid();
            let new = StatefulSet {
                uid,
                revision: Some("1".into()),
                claim_size: Some(cluster.workers.storage.size),
                ..StatefulSet::default()
            };
            let set = self.set.get_or_insert(new);
            set.replicas = count;
        }
        for step in &decision.after {
            self.step(cluster, step)?;
        }
        Ok(())
    }

    fn step(&mut self, cluster: &Cluster, step: &Step) -> Result<(), Ended> {
        self.change()?;
        self.done.push(step.to_string());
        let ordinal_of = |name: &dyn std::fmt::Display| {
            name.to_string().strip_prefix("data-").and_then(|pod| cluster.name.ordinal(pod)).unwrap()
        };
        match step {
            Step::Bootstrap(request) => {
                self.stores.bootstrap(request, |address| cluster.ordinal_at(address).unwrap());
                self.change()?;
                self.identity.as_mut().unwrap().bootstrapped = true;
            }
            Step::MarkBootstrapped => self.identity.as_mut().unwrap().bootstrapped = true,
            Step::Drain(store) => self.tell(MetaCommand::DrainStore { store: *store, draining: true }),
            Step::Undrain(store) => self.tell(MetaCommand::DrainStore { store: *store, draining: false }),
            Step::RetireEmptied(store) => {
                assert_eq!(self.stores.held_by(*store), 0, "retired while it holds something");
                self.tell(MetaCommand::RetireStore { store: *store });
            }
            Step::RetireLost(store) => {
                assert!(self.stores.goes_without(*store), "retired, and a group has no quorum");
                self.tell(MetaCommand::RetireStore { store: *store });
            }
            Step::Locate(store, location) => {
                self.tell(MetaCommand::LocateStore { store: *store, location: location.clone() });
            }
            Step::Restart { ordinal, store, serving, .. } => {
                assert_eq!(self.stores.on(*ordinal), Some(*store));
                if self.stores.goes_without(*store) {
                    self.tell(MetaCommand::PermitRestart { store: *store, now: 0, until: 10 });
                } else if *serving || self.stores.has_quorum() {
                    return Ok(());
                }
                self.change()?;
                self.end_pod(*ordinal);
            }
            Step::Replace { ordinal, .. } => {
                assert!(!self.pods[ordinal].ready || self.stores.meta.cluster.is_none(), "a pod that serves");
                self.end_pod(*ordinal);
            }
            Step::EndRestart(store) => self.tell(MetaCommand::EndRestart { store: *store }),
            Step::Finalise(level) => self.tell(MetaCommand::RaiseLevel { to: *level }),
            Step::Grow(claim) => {
                self.claims.get_mut(&ordinal_of(claim)).unwrap().requested = Some(cluster.workers.storage.size);
            }
            Step::Reshape { .. } => self.set = None,
            Step::Mark { claim, retired } => self.claims.get_mut(&ordinal_of(claim)).unwrap().retired = *retired,
            Step::Own { claim, owned } => self.claims.get_mut(&ordinal_of(claim)).unwrap().owned = *owned,
            Step::OwnIdentity(owned) => self.identity.as_mut().unwrap().owned = *owned,
            Step::Delete { claim, .. } => {
                let ordinal = ordinal_of(claim);
                assert!(!self.pods.contains_key(&ordinal), "the volume of a pod that runs");
                let held = self.stores.on(ordinal).map_or(0, |store| self.stores.held_by(store));
                assert_eq!(held, 0, "a volume that copies are on");
                self.claims.remove(&ordinal);
                self.stores.lose(ordinal);
            }
        }
        Ok(())
    }

    fn tell(&mut self, command: MetaCommand) {
        if let Some(answer) = self.stores.command(command) {
            answer.unwrap();
        }
    }

    fn end_pod(&mut self, ordinal: u8) {
        self.pods.remove(&ordinal);
        self.stores.stop(ordinal);
    }

    /// What Kubernetes and the stores do meanwhile.
    fn turn(&mut self, cluster: &Cluster) {
        let wanted = self.set.as_ref().map_or(self.pods.len() as u8, |set| set.replicas);
        let gone: Vec<u8> = self.pods.keys().copied().filter(|ordinal| *ordinal >= wanted).collect();
        let stopped = wanted == 0;
        for ordinal in gone {
            let held = self.stores.on(ordinal).map_or(0, |store| self.stores.held_by(store));
            assert!(held == 0 || stopped, "worker {ordinal} went with {held} copies: {:?}", self.done);
            self.end_pod(ordinal);
        }
        if let Some(set) = self.set.clone() {
            for ordinal in 0..set.replicas {
                if !self.claims.contains_key(&ordinal) {
                    let uid = self.uid();
                    let claim = Claim {
                        uid,
                        cluster: self.identity.as_ref().map(|identity| identity.cluster),
                        retired: false,
                        requested: set.claim_size,
                        owned: false,
                        deleting: false,
                        lost_node: None,
                    };
                    self.claims.insert(ordinal, claim);
                    self.stores.lose(ordinal);
                }
                if !self.pods.contains_key(&ordinal) {
                    let uid = self.uid();
                    let pod = Pod { uid, revision: set.revision.clone(), node: Some("n".into()), ..Pod::default() };
                    self.pods.insert(ordinal, pod);
                }
            }
        }
        for (ordinal, pod) in &mut self.pods {
            pod.ip = Some(format!("127.0.0.{ordinal}"));
            self.stores.start(*ordinal, &cluster.worker_address(*ordinal));
            pod.ready = self.stores.identity(*ordinal).is_some_and(|identity| identity.cluster.is_some());
        }
        self.stores.work(2);
    }

    fn settles(&mut self, cluster: &Cluster) {
        for _ in 0..400 {
            // One that ends is followed by another.
            if self.reconcile(cluster).is_err() {
                self.ends_after = None;
            }
            self.turn(cluster);
            if self.is_settled(cluster) {
                return;
            }
        }
        panic!("not there yet: {:?}", self.done);
    }

    fn is_settled(&self, cluster: &Cluster) -> bool {
        let Some(identity) = &self.identity else { return false };
        let observed = self.observed();
        let decision = decide(cluster, identity.cluster, &observed);
        let wanted = cluster.workers.replicas;
        let size = self.set.as_ref().is_some_and(|set| set.replicas == wanted);
        let meta = &self.stores.meta;
        let moving = meta.groups().any(|group| {
            let (voters, change) = meta.group(group).unwrap();
            change.is_some() || voters.iter().any(|voter| !meta.stores.contains_key(&voter.store))
        });
        decision.before.is_empty()
            && decision.after.is_empty()
            && decision.waits.is_empty()
            && size
            && !moving
            && self.pods.len() == usize::from(wanted)
            && self.pods.values().all(|pod| pod.ready)
    }

    /// Every partition has its copies, on workers that are to be there.
    #[track_caller]
    fn is_whole(&self, cluster: &Cluster) {
        let meta = &self.stores.meta;
        assert_eq!(meta.stores.len(), usize::from(cluster.workers.replicas), "{:?}", self.done);
        let there: BTreeSet<_> = (0..cluster.workers.replicas).filter_map(|ordinal| self.stores.on(ordinal)).collect();
        for partition in &meta.partitions {
            assert_eq!(partition.replicas.len(), usize::from(cluster.replication_factor));
            assert!(partition.replicas.iter().all(|replica| there.contains(&replica.store)));
        }
        assert!(meta.draining.is_empty() && meta.restart.is_none());
    }
}

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
