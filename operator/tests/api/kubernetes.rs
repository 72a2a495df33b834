//! What Kubernetes' controllers and kubelets would do for one cluster: pods and claims of its StatefulSet, their status,
//! and what the stores on them do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, Volume};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use parking_lot::Mutex;
use raftduck_operator::validate::Cluster;
use serde_json::json;

use crate::plane::ip;
use crate::stores::Stores;

/// Kubernetes, as far as it concerns one cluster.
pub struct Kubernetes {
    pub client: Client,
    pub cluster: Arc<Cluster>,
    /// Tells this cluster's workers from another's, by their addresses.
    pub number: u8,
    pub stores: Arc<Mutex<Stores>>,
    /// Images with which no worker gets ready.
    pub broken: Arc<Mutex<BTreeSet<String>>>,
}

impl Kubernetes {
    fn api<K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.cluster.namespace.to_string())
    }

    /// Every object of the cluster.
    fn listed(&self) -> ListParams {
        ListParams::default().labels(&format!("app.kubernetes.io/instance={}", self.cluster.name))
    }

    /// Goes on until it is dropped.
    pub async fn run(self) {
        loop {
            // A conflict with the operator is settled the next time.
            if let Err(error) = self.turn().await
                && !matches!(&error, kube::Error::Api(status) if matches!(status.code, 403 | 404 | 409))
                && !matches!(error, kube::Error::Service(_) | kube::Error::HyperError(_))
            {
                panic!("the scripted Kubernetes: {error}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn turn(&self) -> kube::Result<()> {
        let sets = self.api::<StatefulSet>();
        let Some(set) = sets.get_opt(&String::from(self.cluster.name.stateful_set())).await? else { return Ok(()) };
        if set.metadata.deletion_timestamp.is_some() {
            // Its pods are orphaned.
            let orphaned = json!({"metadata": {"finalizers": null}});
            sets.patch(&set.name_any(), &PatchParams::default(), &Patch::Merge(orphaned)).await?;
            return Ok(());
        }
        let spec = set.spec.clone().unwrap();
        let wanted = u8::try_from(spec.replicas.unwrap()).unwrap();
        let revision = revision(&set);
        let pods = self.api::<Pod>();
        let mut there: BTreeMap<u8, Pod> = BTreeMap::new();
        for pod in pods.list(&self.listed()).await?.items {
            if let Some(ordinal) = self.cluster.name.ordinal(&pod.name_any()) {
                there.insert(ordinal, pod);
            }
        }
        self.stop_what_is_gone(&there);
        for ordinal in there.keys().filter(|ordinal| **ordinal >= wanted) {
            let held = self.held(*ordinal);
            assert!(held == 0 || wanted == 0, "worker {ordinal} goes, and {held} copies are on it");
            pods.delete(&there[ordinal].name_any(), &DeleteParams::default()).await?;
        }
        for ordinal in (0..wanted).filter(|ordinal| !there.contains_key(ordinal)) {
            self.claim(&set, ordinal).await?;
            let template = spec.template.clone();
            let mut metadata = template.metadata.unwrap_or_default();
            metadata.name = Some(self.cluster.name.worker(ordinal).to_string());
            metadata.owner_references = set.controller_owner_ref(&()).map(|owner| vec![owner]);
            metadata.labels.get_or_insert_default().insert("controller-revision-hash".into(), revision.clone());
            let mut spec = template.spec.unwrap();
            let source = PersistentVolumeClaimVolumeSource {
                claim_name: self.cluster.name.claim(ordinal).to_string(),
                read_only: None,
            };
            let volume = Volume { name: "data".into(), persistent_volume_claim: Some(source), ..Volume::default() };
            spec.volumes.get_or_insert_default().push(volume);
            pods.create(&PostParams::default(), &Pod { metadata, spec: Some(spec), status: None }).await?;
        }
        for (ordinal, pod) in there.iter().filter(|(ordinal, _)| **ordinal < wanted) {
            self.status(*ordinal, pod).await?;
        }
        self.let_claims_go(&there).await?;
        self.stores.lock().work(3);
        let status = json!({"status": {
            "observedGeneration": set.metadata.generation, "updateRevision": revision, "replicas": there.len(),
        }});
        if set.status.as_ref().and_then(|status| status.update_revision.clone()) != Some(revision)
            || set.status.and_then(|status| status.observed_generation) != set.metadata.generation
        {
            sets.patch_status(&set.metadata.name.unwrap(), &PatchParams::default(), &Patch::Merge(status)).await?;
        }
        self.control().await
    }

    fn held(&self, ordinal: u8) -> usize {
        let stores = self.stores.lock();
        stores.on(ordinal).map_or(0, |store| stores.held_by(store))
    }

    fn stop_what_is_gone(&self, there: &BTreeMap<u8, Pod>) {
        let mut stores = self.stores.lock();
        for ordinal in (0..crate::plane::WORKERS).filter(|ordinal| !there.contains_key(ordinal)) {
            stores.stop(ordinal);
        }
    }

    /// A store starts once its pod has an address; it is ready once it belongs to a cluster.
    async fn status(&self, ordinal: u8, pod: &Pod) -> kube::Result<()> {
        let image = pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap_or_default();
        let broken = self.broken.lock().contains(&image);
        let ready = {
            let mut stores = self.stores.lock();
            if broken {
                stores.stop(ordinal);
            } else {
                stores.start(ordinal);
            }
            stores.identity(ordinal).is_some_and(|identity| identity.cluster.is_some())
        };
        let ready = if ready { "True" } else { "False" };
        let now = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        if now.iter().any(|one| one.type_ == "Ready" && one.status == ready) {
            return Ok(());
        }
        let ip = ip(self.number, ordinal).to_string();
        let status = json!({"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": ready}],
        }});
        self.api::<Pod>().patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }

    async fn claim(&self, set: &StatefulSet, ordinal: u8) -> kube::Result<()> {
        let claims = self.api::<PersistentVolumeClaim>();
        let name = self.cluster.name.claim(ordinal).to_string();
        if claims.get_opt(&name).await?.is_some() {
            return Ok(());
        }
        // A new claim is a new volume.
        self.stores.lock().lose(ordinal);
        let mut claim = set.spec.as_ref().unwrap().volume_claim_templates.as_ref().unwrap()[0].clone();
        claim.metadata.name = Some(name);
        let name = claims.create(&PostParams::default(), &claim).await?.name_any();
        let bound = json!({"status": {"phase": "Bound"}});
        claims.patch_status(&name, &PatchParams::default(), &Patch::Merge(bound)).await?;
        Ok(())
    }

    /// A claim on its way out goes once no pod uses it.
    async fn let_claims_go(&self, pods: &BTreeMap<u8, Pod>) -> kube::Result<()> {
        let claims = self.api::<PersistentVolumeClaim>();
        for claim in claims.list(&self.listed()).await?.items {
            let pod = claim.name_any().strip_prefix("data-").map(str::to_owned).unwrap();
            let ordinal = self.cluster.name.ordinal(&pod).unwrap();
            if claim.metadata.deletion_timestamp.is_some() && !pods.contains_key(&ordinal) {
                assert_eq!(self.held(ordinal), 0, "the volume of worker {ordinal} goes, and copies are on it");
                let free = json!({"metadata": {"finalizers": null}});
                claims.patch(&claim.name_any(), &PatchParams::default(), &Patch::Merge(free)).await?;
                self.stores.lock().lose(ordinal);
            }
        }
        Ok(())
    }

    async fn control(&self) -> kube::Result<()> {
        let deployments = self.api::<Deployment>();
        let name = String::from(self.cluster.name.deployment());
        let Some(deployment) = deployments.get_opt(&name).await? else { return Ok(()) };
        let wanted = deployment.spec.and_then(|spec| spec.replicas);
        if deployment.status.and_then(|status| status.ready_replicas) != wanted {
            let status = json!({"status": {"replicas": wanted, "readyReplicas": wanted, "updatedReplicas": wanted}});
            deployments.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        }
        Ok(())
    }
}

/// The same for the same template.
fn revision(set: &StatefulSet) -> String {
    let template = serde_json::to_string(&set.spec.as_ref().unwrap().template).unwrap();
    format!("{:x}", template.bytes().fold(17_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())))
}
