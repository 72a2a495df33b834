//! Reads what is there, each time anew.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet as KubeStatefulSet};
use k8s_openapi::api::core::v1::{
    ConfigMap, Node, PersistentVolume, PersistentVolumeClaim, Pod as KubePod, PodStatus, Secret,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use raftduck_model::ClusterId;

use super::{Claim, Observed, Pod, StatefulSet, View, Written};
use crate::build::labels::{ADOPTED, BOOTSTRAPPED, CLUSTER_UUID, Component, RESOURCE_UID, RETIRED, ZONE, selector};
use crate::build::{CREDENTIAL, UUID_KEY};
use crate::dataplane::DataPlane;
use crate::names::DATA_VOLUME;
use crate::quantity::Bytes;
use crate::validate::Cluster;

/// Whoever is asked for the cluster's state, at the most: the first who knows it is the meta group's leader.
const ASKED: usize = 3;

/// Reads one cluster's objects.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Kubernetes.
    pub client: &'a Client,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The resource's UID.
    pub resource: &'a str,
}

impl Reader<'_> {
    /// What Kubernetes knows; the stores are not asked.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn objects(&self) -> kube::Result<Observed> {
        let name = &self.cluster.name;
        let (identity, set, deployment) = tokio::try_join!(
            self.get::<ConfigMap>(name.identity().into()),
            self.get::<KubeStatefulSet>(name.stateful_set().into()),
            self.get::<Deployment>(name.deployment().into()),
        )?;
        let labels = selector(name, Some(Component::Worker));
        let labels = labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
        let listed = ListParams::default().labels(&labels);
        let (pods, claims) = (self.api::<KubePod>(), self.api::<PersistentVolumeClaim>());
        let (pods, claims) = tokio::try_join!(pods.list(&listed), claims.list(&listed))?;
        let pods = self.pods(pods.items).await;
        let status = deployment.and_then(|deployment| deployment.status).unwrap_or_default();
        Ok(Observed {
            identity: identity.as_ref().and_then(|map| written(map, self.resource)),
            claims: self.claims(claims.items, &pods).await,
            pods,
            stateful_set: set.as_ref().map(stateful_set),
            control_ready: status.ready_replicas.unwrap_or_default(),
            stores: View::default(),
        })
    }

    /// The cluster's credential, if it was made.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn credential(&self) -> kube::Result<Option<String>> {
        let secret = self.get::<Secret>(self.cluster.name.credential().into()).await?;
        let bytes = secret.and_then(|secret| secret.data).and_then(|mut data| data.remove(CREDENTIAL));
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes.0).ok()))
    }

    async fn pods(&self, listed: Vec<KubePod>) -> BTreeMap<u8, Pod> {
        let mut pods: BTreeMap<u8, Pod> = BTreeMap::new();
        for pod in listed {
            if let Some(ordinal) = self.cluster.name.ordinal(&pod.name_any()) {
                pods.insert(ordinal, read_pod(&pod));
            }
        }
        let nodes: BTreeSet<String> = pods.values().filter_map(|pod| pod.node.clone()).collect();
        let zones = join_all(nodes.into_iter().map(|node| async move {
            // Without leave to read nodes there are no zones, and everything else goes on.
            let found = Api::<Node>::all(self.client.clone()).get_opt(&node).await.ok().flatten()?;
            Some((node, found.labels().get(ZONE)?.clone()))
        }))
        .await;
        let zones: BTreeMap<String, String> = zones.into_iter().flatten().collect();
        for pod in pods.values_mut() {
            pod.zone = pod.node.as_ref().and_then(|node| zones.get(node)).cloned();
        }
        pods
    }

    async fn claims(&self, listed: Vec<PersistentVolumeClaim>, pods: &BTreeMap<u8, Pod>) -> BTreeMap<u8, Claim> {
        let mut claims = BTreeMap::new();
        for claim in listed {
            let name = claim.name_any();
            let pod = name.strip_prefix(DATA_VOLUME).and_then(|rest| rest.strip_prefix('-'));
            let Some(ordinal) = pod.and_then(|pod| self.cluster.name.ordinal(pod)) else { continue };
            // Only a pod that found no node raises the question.
            let homeless = pods.get(&ordinal).is_some_and(|pod| pod.node.is_none());
            let lost_node = if homeless { self.lost_node(&claim).await } else { None };
            claims.insert(ordinal, Claim { lost_node, ..read_claim(&claim, self.resource) });
        }
        claims
    }

    /// The node that the claim's volume can be used on only, where that node is no more.
    async fn lost_node(&self, claim: &PersistentVolumeClaim) -> Option<String> {
        let volume = claim.spec.as_ref()?.volume_name.as_ref()?;
        let volume = Api::<PersistentVolume>::all(self.client.clone()).get_opt(volume).await.ok()??;
        let terms = volume.spec?.node_affinity?.required?.node_selector_terms;
        let expressions = terms.into_iter().flat_map(|term| term.match_expressions.unwrap_or_default());
        let hosts = expressions.filter(|one| one.key == "kubernetes.io/hostname" && one.operator == "In");
        let mut nodes = hosts.flat_map(|one| one.values.unwrap_or_default());
        let (node, None) = (nodes.next()?, nodes.next()) else { return None };
        // Only "there is none" counts: no answer is no answer.
        let gone = matches!(Api::<Node>::all(self.client.clone()).get_opt(&node).await, Ok(None));
        gone.then_some(node)
    }

    async fn get<K>(&self, name: String) -> kube::Result<Option<K>>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        self.api::<K>().get_opt(&name).await
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.cluster.namespace.to_string())
    }
}

/// What the stores of `pods` say, each by itself and one of them for all; `plane` is told whom to ask from now on.
/// A store of another cluster than `ours` is not heard.
pub async fn stores(plane: &mut DataPlane, pods: &BTreeMap<u8, Pod>, ours: ClusterId) -> View {
    let reachable = pods.iter().filter_map(|(ordinal, pod)| Some((*ordinal, pod.ip.as_ref()?.parse::<IpAddr>().ok()?)));
    let asker = &*plane;
    let answers =
        join_all(reachable.map(|(ordinal, ip)| async move { Some((ordinal, ip, asker.identity(ip).await.ok()?)) }))
            .await;
    let mut view = View::default();
    let mut members = Vec::new();
    for (ordinal, ip, identity) in answers.into_iter().flatten() {
        match identity.cluster {
            Some(other) if other != ours => {
                view.strangers.insert(ordinal, other);
                continue;
            }
            Some(_) => members.push((!identity.leads_meta, ip)),
            None => {}
        }
        view.identities.insert(ordinal, identity);
    }
    members.sort_unstable();
    let members: Vec<IpAddr> = members.into_iter().map(|(_, ip)| ip).collect();
    let states = join_all(members.iter().take(ASKED).map(|ip| asker.cluster(*ip))).await;
    let ours = states.into_iter().flatten().filter(|meta| meta.cluster == Some(ours));
    view.meta = ours.max_by_key(|meta| meta.epoch);
    plane.ask(members);
    view
}

fn written(map: &ConfigMap, resource: &str) -> Option<Written> {
    let annotation = |key: &str| map.annotations().get(key).cloned();
    Some(Written {
        cluster: map.data.as_ref()?.get(UUID_KEY)?.parse().ok()?,
        resource: annotation(RESOURCE_UID),
        adopted: annotation(ADOPTED).is_some_and(|text| text == "true"),
        bootstrapped: annotation(BOOTSTRAPPED).is_some(),
        owned: is_owned(&map.metadata, resource),
    })
}

fn bytes(quantities: Option<&BTreeMap<String, Quantity>>) -> Option<Bytes> {
    quantities?.get("storage")?.0.parse().ok()
}

fn stateful_set(set: &KubeStatefulSet) -> StatefulSet {
    let spec = set.spec.as_ref();
    let template = spec.and_then(|spec| spec.volume_claim_templates.as_ref()).and_then(|claims| claims.first());
    let asked = template.and_then(|claim| claim.spec.as_ref()).and_then(|spec| spec.resources.as_ref());
    // Before its controller has seen the newest template, its status names the revision of an older one.
    let status = set.status.as_ref().filter(|status| status.observed_generation == set.metadata.generation);
    StatefulSet {
        uid: set.uid().unwrap_or_default(),
        generation: set.metadata.generation,
        replicas: spec.and_then(|spec| spec.replicas).and_then(|count| u8::try_from(count).ok()).unwrap_or_default(),
        revision: status.and_then(|status| status.update_revision.clone()),
        claim_size: bytes(asked.and_then(|asked| asked.requests.as_ref())),
        deleting: set.metadata.deletion_timestamp.is_some(),
    }
}

fn read_claim(claim: &PersistentVolumeClaim, resource: &str) -> Claim {
    let asked = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    Claim {
        uid: claim.uid().unwrap_or_default(),
        cluster: claim.labels().get(CLUSTER_UUID).and_then(|uuid| uuid.parse().ok()),
        retired: claim.annotations().contains_key(RETIRED),
        requested: bytes(asked.and_then(|asked| asked.requests.as_ref())),
        owned: is_owned(&claim.metadata, resource),
        deleting: claim.metadata.deletion_timestamp.is_some(),
        lost_node: None,
    }
}

fn is_owned(metadata: &ObjectMeta, resource: &str) -> bool {
    metadata.owner_references.iter().flatten().any(|owner| owner.uid == resource)
}

fn read_pod(pod: &KubePod) -> Pod {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
    Pod {
        uid: pod.uid().unwrap_or_default(),
        revision: pod.labels().get("controller-revision-hash").cloned(),
        ready,
        deleting: pod.metadata.deletion_timestamp.is_some(),
        ip: status.and_then(|status| status.pod_ip.clone()).filter(|ip| !ip.is_empty()),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|node| !node.is_empty()),
        zone: None,
        trouble: status.filter(|_| !ready).and_then(trouble),
    }
}

/// Why a pod does not run, in Kubernetes' words.
fn trouble(status: &PodStatus) -> Option<String> {
    let states = status.container_statuses.iter().flatten().filter_map(|container| container.state.as_ref());
    // That it is on its way is no trouble.
    let comes = |reason: &str| matches!(reason, "ContainerCreating" | "PodInitializing");
    let waiting = states.filter_map(|state| state.waiting.as_ref());
    let waiting = waiting.filter(|waiting| !waiting.reason.as_deref().is_some_and(comes));
    let said = waiting.map(|waiting| (waiting.reason.clone(), waiting.message.clone())).next();
    let unscheduled = || {
        let one =
            status.conditions.iter().flatten().find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
        Some((one.reason.clone(), one.message.clone()))
    };
    let (reason, message) = said.or_else(unscheduled)?;
    let parts: Vec<String> = [reason, message].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}
