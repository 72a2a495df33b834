//! Does one step. Every step that destroys something names what by its UID, and asks those concerned once more.

use std::net::IpAddr;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PropagationPolicy};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::apply::{FIELD_MANAGER, of_uid};
use crate::build::labels::{BOOTSTRAPPED, RETIRED};
use crate::dataplane::{DataError, DataPlane};
use crate::decide::Step;
use crate::observe::Observed;
use crate::validate::Cluster;

/// Why a step was not done. The next reconcile decides anew.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// Kubernetes.
    #[error("{}", crate::reconcile::said(.0))]
    Kubernetes(#[from] kube::Error),
    /// The stores.
    #[error(transparent)]
    Stores(#[from] DataError),
    /// What was asked once more has changed.
    #[error("{0}")]
    NotYet(String),
}

/// A store's word for a restart that would take a group's quorum.
const QUORUM_NEEDED: &str = "quorum_needed";

/// Does steps for one cluster.
pub struct Actor<'a> {
    /// Kubernetes.
    pub client: &'a Client,
    /// The stores.
    pub plane: &'a DataPlane,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The resource, as its objects name their owner.
    pub owner: &'a OwnerReference,
    /// What the steps were decided from.
    pub observed: &'a Observed,
}

impl Actor<'_> {
    /// Does `step`.
    ///
    /// # Errors
    /// Where it was not done, or not wholly.
    pub async fn act(&self, step: &Step) -> Result<(), Undone> {
        let name = &self.cluster.name;
        match step {
            Step::Bootstrap(request) => {
                let first = self.observed.pods.get(&0).and_then(|pod| pod.ip.as_ref()?.parse::<IpAddr>().ok());
                let first = first.ok_or_else(|| Undone::NotYet("worker 0 has no address".to_owned()))?;
                self.plane.bootstrap(first, request).await?;
                self.mark_bootstrapped().await?;
            }
            Step::MarkBootstrapped => self.mark_bootstrapped().await?,
            Step::Drain(store) => self.plane.drain(*store, true).await?,
            Step::Undrain(store) => self.plane.drain(*store, false).await?,
            Step::RetireEmptied(store) => {
                if !self.plane.safe_to_remove(*store).await? {
                    return Err(Undone::NotYet(format!("store {store} holds something again")));
                }
                self.plane.retire(*store).await?;
            }
            Step::RetireLost(store) => self.plane.retire(*store).await?,
            Step::Locate(store, location) => self.plane.locate(*store, location).await?,
            Step::Restart { ordinal, pod, store, serving } => {
                match self.plane.permit_restart(*store).await {
                    // Nobody is served without a quorum, and this pod may be what it lacks.
                    Err(DataError::NoQuorum(_) | DataError::Silent(_)) if !serving => {}
                    // With one copy of everything no time is better than another.
                    Err(DataError::Refused { code, .. })
                        if code == QUORUM_NEEDED && self.cluster.replication_factor == 1 => {}
                    answer => answer?,
                }
                self.end(*ordinal, pod).await?;
            }
            Step::Replace { ordinal, pod } => self.end(*ordinal, pod).await?,
            Step::EndRestart(store) => self.plane.end_restart(*store).await?,
            Step::Finalise(level) => self.plane.finalise(*level).await?,
            Step::Grow(claim) => {
                let size = &self.cluster.workers.storage.size_text;
                let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
                self.merge::<PersistentVolumeClaim>(&claim.to_string(), &patch).await?;
            }
            Step::Reshape { uid } => {
                let orphan =
                    DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..of_uid(Some(uid.clone())) };
                gone(self.api::<StatefulSet>().delete(&String::from(name.stateful_set()), &orphan).await)?;
            }
            Step::Mark { claim, retired } => {
                let mark = if *retired { json!("true") } else { Value::Null };
                let patch = json!({"metadata": {"annotations": {RETIRED: mark}}});
                self.merge::<PersistentVolumeClaim>(&claim.to_string(), &patch).await?;
            }
            Step::Own { claim, owned } => {
                self.merge::<PersistentVolumeClaim>(&claim.to_string(), &self.ownership(*owned)).await?;
            }
            Step::OwnIdentity(owned) => {
                self.merge::<ConfigMap>(&String::from(name.identity()), &self.ownership(*owned)).await?;
            }
            Step::Delete { claim, uid } => {
                let claims = self.api::<PersistentVolumeClaim>();
                gone(claims.delete(&claim.to_string(), &of_uid(Some(uid.clone()))).await)?;
            }
        }
        Ok(())
    }

    /// Those of `stores` that something depends on, or of which nobody can say.
    pub async fn still_needed(&self, stores: &[raftduck_model::StoreId]) -> bool {
        for store in stores {
            if !matches!(self.plane.safe_to_remove(*store).await, Ok(true)) {
                return true;
            }
        }
        false
    }

    async fn mark_bootstrapped(&self) -> Result<(), Undone> {
        let patch = json!({"metadata": {"annotations": {BOOTSTRAPPED: "true"}}});
        self.merge::<ConfigMap>(&String::from(self.cluster.name.identity()), &patch).await
    }

    async fn end(&self, ordinal: u8, uid: &str) -> Result<(), Undone> {
        let pod = self.cluster.name.worker(ordinal).to_string();
        gone(self.api::<Pod>().delete(&pod, &of_uid(Some(uid.to_owned()))).await)
    }

    fn ownership(&self, owned: bool) -> Value {
        // Not the controller: a claim's is its StatefulSet, if anybody's.
        let owner = OwnerReference { controller: None, block_owner_deletion: None, ..self.owner.clone() };
        json!({"metadata": {"ownerReferences": if owned { json!([owner]) } else { json!([]) }}})
    }

    async fn merge<K>(&self, name: &str, patch: &Value) -> Result<(), Undone>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match self.api::<K>().patch(name, &parameters, &Patch::Merge(patch)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn api<K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.cluster.namespace.to_string())
    }
}

/// What is gone, or has another UID by now, is as it is to be.
fn gone<T>(answer: kube::Result<T>) -> Result<(), Undone> {
    match answer {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
