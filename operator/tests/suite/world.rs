//! A world that does what is decided: Kubernetes and the stores, as far as a cluster's operator sees of them.

use std::collections::{BTreeMap, BTreeSet};

use raftduck_model::meta::MetaCommand;
use raftduck_operator::decide::{Origin, Step, decide, origin};
use raftduck_operator::observe::{Claim, Observed, Pod, StatefulSet, View, Written};
use raftduck_operator::validate::Cluster;
use raftduck_operator_api::{AnalyticsCluster, AnalyticsClusterSpec};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stores::Stores;

/// The resource's UID.
pub const RESOURCE: &str = "7d5f8f3c-0000-4000-8000-000000000001";

/// The least cluster of three with some of its spec replaced.
pub fn cluster(change: Value) -> Cluster {
    let mut spec = json!({"image": "raftduck:1", "workers": {"storage": {"size": "10Gi"}}});
    json_patch::merge(&mut spec, &change);
    let spec: AnalyticsClusterSpec = serde_json::from_value(spec).unwrap();
    let mut resource = AnalyticsCluster::new("flights", spec);
    resource.metadata.namespace = Some("team".into());
    Cluster::read(&resource).unwrap()
}

/// With so many workers.
pub fn sized(workers: u8) -> Cluster {
    cluster(json!({"workers": {"replicas": workers}, "partitions": 6}))
}

/// Kubernetes and the stores of one cluster.
pub struct World {
    pub stores: Stores,
    pub identity: Option<Written>,
    pub claims: BTreeMap<u8, Claim>,
    pub pods: BTreeMap<u8, Pod>,
    pub set: Option<StatefulSet>,
    made: u32,
    /// Ended after that many further changes, in the middle of whatever is under way.
    pub ends_after: Option<usize>,
    pub done: Vec<String>,
}

/// The operator's process is no more.
pub struct Ended;

impl World {
    pub fn new() -> Self {
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

    pub fn observed(&self) -> Observed {
        let identity = |(ordinal, pod): (&u8, &Pod)| pod.ip.as_ref().and_then(|_| self.stores.identity(*ordinal));
        let identities: BTreeMap<u8, _> = self.pods.iter().filter_map(|pod| Some((*pod.0, identity(pod)?))).collect();
        let knows = identities.values().any(|identity| identity.cluster.is_some());
        Observed {
            identity: self.identity.clone(),
            claims: self.claims.clone(),
            pods: self.pods.clone(),
            stateful_set: self.set.clone(),
            control_ready: 1,
            stores: View {
                identities,
                strangers: BTreeMap::new(),
                meta: (knows && self.stores.meta.cluster.is_some()).then(|| self.stores.meta.clone()),
            },
        }
    }

    /// As the operator reconciles.
    pub fn reconcile(&mut self, cluster: &Cluster) -> Result<(), Ended> {
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

    pub fn end_pod(&mut self, ordinal: u8) {
        self.pods.remove(&ordinal);
        self.stores.stop(ordinal);
    }

    /// What Kubernetes and the stores do meanwhile.
    pub fn turn(&mut self, cluster: &Cluster) {
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
            match pod.ip {
                Some(_) => self.stores.join(*ordinal, &cluster.worker_address(*ordinal)),
                None => self.stores.start(*ordinal),
            }
            pod.ip = Some(format!("127.0.0.{ordinal}"));
            pod.ready = self.stores.identity(*ordinal).is_some_and(|identity| identity.cluster.is_some());
        }
        self.stores.work(2);
    }

    pub fn settles(&mut self, cluster: &Cluster) {
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
    pub fn is_whole(&self, cluster: &Cluster) {
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
