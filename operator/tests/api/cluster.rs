//! One cluster under test: its resource, its scripted Kubernetes and stores, and its operator.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use parking_lot::Mutex;
use raftduck_operator::validate;
use raftduck_operator_api::AnalyticsCluster;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::kubernetes::Kubernetes;
use crate::operator::{Budget, Operator};
use crate::plane;
use crate::stores::Stores;

/// How long a state may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Cluster {
    pub client: Client,
    pub namespace: String,
    pub name: String,
    pub stores: Arc<Mutex<Stores>>,
    pub broken: Arc<Mutex<BTreeSet<String>>>,
    pub budget: Budget,
    port: u16,
    operator: Option<Operator>,
    kubernetes: JoinHandle<()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kubernetes.abort();
    }
}

/// The least spec of that many workers.
pub fn spec(workers: u8) -> Value {
    json!({"image": "raftduck:1", "partitions": 6, "workers": {"replicas": workers, "storage": {"size": "1Gi"}}})
}

/// A namespace for one test, with the definition of the resource installed.
pub async fn namespace(name: &str) -> (Client, String) {
    let client = Client::try_default().await.unwrap();
    let definition = raftduck_operator_api::definition();
    let definitions =
        Api::<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>::all(
            client.clone(),
        );
    let apply = PatchParams::apply("test").force();
    definitions.patch(&definition.name_any(), &apply, &Patch::Apply(&definition)).await.unwrap();
    let name = format!("{name}-{:08x}", rand());
    let namespaces = Api::<Namespace>::all(client.clone());
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let resources = Api::<AnalyticsCluster>::namespaced(client.clone(), &name);
    until("the definition is served", async || resources.list(&Default::default()).await.is_ok().then_some(())).await;
    (client, name)
}

fn rand() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}

/// Looks until `look` gives something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Cluster {
    /// A cluster that settled, in a namespace of its own; `number` tells its stores' addresses from another's.
    pub async fn settled(test: &str, number: u8, spec: Value) -> Self {
        let (client, namespace) = namespace(test).await;
        let cluster = Self::start(client, &namespace, "flights", number, spec).await;
        cluster.settles().await;
        cluster
    }

    /// Applies a resource and starts its operator.
    pub async fn start(client: Client, namespace: &str, name: &str, number: u8, spec: Value) -> Self {
        let mut cluster = Self::scripted(client, namespace, name, number, 0, spec).await;
        cluster.restart_operator().await;
        cluster
    }

    /// Applies a resource whose operator is somebody else's; its stores listen at `port`, at any where that is 0.
    pub async fn scripted(client: Client, namespace: &str, name: &str, number: u8, port: u16, spec: Value) -> Self {
        let stores = Arc::new(Mutex::new(Stores::new()));
        let budget = Budget::default();
        let mut resource = AnalyticsCluster::new(name, serde_json::from_value(spec.clone()).unwrap());
        resource.metadata.namespace = Some(namespace.to_owned());
        let read = Arc::new(validate::Cluster::read(&resource).unwrap());
        let port = plane::serve(number, port, read.clone(), stores.clone(), budget.clone()).await;
        let broken = Arc::<Mutex<BTreeSet<String>>>::default();
        let scripted = Kubernetes {
            client: client.clone(),
            cluster: read,
            number,
            stores: stores.clone(),
            broken: broken.clone(),
        };
        let cluster = Self {
            client,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            stores,
            broken,
            budget,
            port,
            operator: None,
            kubernetes: tokio::spawn(scripted.run()),
        };
        cluster.apply(spec).await.unwrap();
        cluster
    }

    /// Kubernetes does nothing for it any more; what is there stays.
    pub fn rest(&self) {
        self.kubernetes.abort();
    }

    pub async fn restart_operator(&mut self) {
        self.change_operator(1).await;
    }

    /// In its place one of the release that brought that revision of the pods' template.
    pub async fn change_operator(&mut self, newest_template: i32) {
        self.operator = None;
        self.operator = Some(Operator::start(&self.namespace, self.port, newest_template, &self.budget).await);
    }

    pub fn resources(&self) -> Api<AnalyticsCluster> {
        self.api()
    }

    pub fn api<K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// As `kubectl apply`.
    pub async fn apply(&self, spec: Value) -> kube::Result<()> {
        let resource = json!({
            "apiVersion": AnalyticsCluster::api_version(&()),
            "kind": AnalyticsCluster::kind(&()),
            "metadata": {"name": self.name},
            "spec": spec,
        });
        let parameters = PatchParams::apply("kubectl").force();
        self.resources().patch(&self.name, &parameters, &Patch::Apply(resource)).await.map(drop)
    }

    /// As `kubectl edit`.
    pub async fn edit(&self, spec: Value) -> kube::Result<()> {
        let patch = json!({ "spec": spec });
        self.resources().patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }

    /// As `kubectl scale`.
    pub async fn scale(&self, replicas: i32) -> kube::Result<()> {
        let patch = json!({"spec": {"replicas": replicas}});
        self.resources().patch_scale(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }

    /// The UIDs of the workers' pods.
    pub async fn pods(&self) -> BTreeSet<String> {
        let pods = self.api::<Pod>().list(&ListParams::default()).await.unwrap();
        pods.items.iter().filter_map(ResourceExt::uid).collect()
    }

    pub async fn delete(&self) {
        self.resources().delete(&self.name, &DeleteParams::default()).await.unwrap();
    }

    /// What a condition says: its status, its reason and its message.
    pub async fn condition(&self, kind: &str) -> Option<(bool, String, String)> {
        let resource = self.resources().get(&self.name).await.unwrap();
        let found = resource.status?.conditions.into_iter().find(|one| one.type_ == kind)?;
        Some((found.status == "True", found.reason, found.message))
    }

    /// Waits until the operator says of the newest spec that all is as it is to be.
    pub async fn settles(&self) {
        until("the cluster settles", async || {
            assert!(!self.kubernetes.is_finished(), "the scripted Kubernetes saw what must not be: its panic is above");
            self.is_settled().await.then_some(())
        })
        .await;
    }

    pub async fn is_settled(&self) -> bool {
        let resource = self.resources().get(&self.name).await.unwrap();
        let Some(status) = resource.status else { return false };
        let is = |kind: &str, holds: &str| {
            status.conditions.iter().any(|one| {
                one.type_ == kind && one.status == holds && one.observed_generation == resource.metadata.generation
            })
        };
        let wanted = resource.spec.workers.replicas;
        is("Progressing", "False")
            && is("Available", "True")
            && is("Degraded", "False")
            && status.replicas == wanted
            && status.ready_replicas == wanted
            && self.stores.lock().meta.stores.len() == wanted as usize
    }

    /// Every partition has its copies, on stores that are there.
    pub fn is_whole(&self) {
        let stores = self.stores.lock();
        for partition in &stores.meta.partitions {
            assert_eq!(partition.replicas.len(), stores.meta.replication as usize);
            assert!(partition.replicas.iter().all(|replica| stores.meta.stores.contains_key(&replica.store)));
        }
        assert!(stores.meta.draining.is_empty() && stores.meta.restart.is_none());
    }
}
