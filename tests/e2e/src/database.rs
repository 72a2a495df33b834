//! One `AnalyticsCluster` and its clients.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Secret, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client as Kube, Resource, ResourceExt};
use raftduck_operator_api::{AnalyticsCluster, Member};
use raftduck_tests::load::{Load, LoadConfig};
use raftduck_tests::{check, content};
use raftduck_wire::client::{Client, ClientConfig};
use raftduck_wire::http::SqlRequest;
use serde_json::{Value, json};

use crate::operator;
use crate::wait::until;

/// Rows that show that clients write: every partition has some of them.
const ROWS: u64 = 5_000;

/// A cluster of the suite's image, in a namespace of its own.
pub struct Database {
    /// Kubernetes.
    pub kube: Kube,
    /// Where it is.
    pub namespace: String,
}

/// What every database of the suite is called, each in a namespace of its own.
pub const NAME: &str = "flights";

impl Database {
    /// A cluster that runs, with its operator; `spec` is laid over the least one.
    ///
    /// # Errors
    /// Where it does not get there.
    pub async fn ready(namespace: &str, spec: Value) -> Result<Self> {
        operator::install().await?;
        let database = Self::create(namespace, spec).await?;
        database.settled().await?;
        Ok(database)
    }

    /// One that clients write to.
    ///
    /// # Errors
    /// Where it does not get there.
    pub async fn loaded(namespace: &str, spec: Value) -> Result<(Self, Writers)> {
        let database = Self::ready(namespace, spec).await?;
        let writers = database.load().await?;
        Ok((database, writers))
    }

    /// Looks for every row that the clients were told is there, and deletes the namespace.
    ///
    /// # Errors
    /// With everything that is lost or doubled.
    pub async fn holds_all_of(self, writers: Writers) -> Result<()> {
        println!("{} rows there exactly once", writers.check().await?);
        self.drop_namespace().await
    }

    /// Applies a resource in a new namespace.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub async fn create(namespace: &str, spec: Value) -> Result<Self> {
        let kube = Kube::try_default().await.context("KUBECONFIG names no cluster: use tests/e2e/run")?;
        // What the restricted standard forbids would not run.
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let object = serde_json::from_value(json!({"metadata": {"name": namespace, "labels": labels}}))?;
        Api::<Namespace>::all(kube.clone()).create(&PostParams::default(), &object).await?;
        let database = Self { kube, namespace: namespace.to_owned() };
        database.apply(spec).await?;
        Ok(database)
    }

    /// As `kubectl apply`.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub async fn apply(&self, spec: Value) -> Result<()> {
        let (repository, tag) = operator::image()?;
        let mut whole = json!({
            "image": format!("{repository}:{tag}"),
            "workers": {"storage": {"size": "1Gi"}, "settings": {"memory": "256Mi", "spill": "512Mi"}},
            "control": {"memory": "256Mi", "service": {"type": "NodePort"}},
        });
        json_patch::merge(&mut whole, &spec);
        let resource = json!({
            "apiVersion": AnalyticsCluster::api_version(&()),
            "kind": AnalyticsCluster::kind(&()),
            "metadata": {"name": NAME},
            "spec": whole,
        });
        let parameters = PatchParams::apply("kubectl").force();
        self.resources().patch(NAME, &parameters, &Patch::Apply(resource)).await?;
        Ok(())
    }

    /// As `kubectl patch`.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub async fn edit(&self, spec: Value) -> Result<()> {
        let patch = json!({ "spec": spec });
        self.resources().patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// As `kubectl scale`.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub async fn scale(&self, replicas: i32) -> Result<()> {
        let patch = json!({"spec": {"replicas": replicas}});
        self.resources().patch_scale(NAME, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// The resources of its namespace.
    pub fn resources(&self) -> Api<AnalyticsCluster> {
        self.api()
    }

    /// Objects of its namespace.
    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.kube.clone(), &self.namespace)
    }

    /// The message of a condition that holds, or does not.
    pub async fn condition(&self, kind: &str, holds: bool) -> Option<String> {
        let status = self.resources().get(NAME).await.ok()?.status?;
        let text = if holds { "True" } else { "False" };
        let found = status.conditions.into_iter().find(|one| one.type_ == kind && one.status == text)?;
        Some(format!("{} {}", found.reason, found.message))
    }

    /// Waits until the operator says of the newest spec that all is as it is to be.
    ///
    /// # Errors
    /// Where it does not get there, with what it says.
    pub async fn settled(&self) -> Result<()> {
        let settled = until(&format!("{} settles", NAME), async || self.is_settled().await.then_some(())).await;
        if settled.is_err() {
            let status = self.resources().get(NAME).await?.status;
            return settled.with_context(|| format!("{status:#?}"));
        }
        Ok(())
    }

    async fn is_settled(&self) -> bool {
        let Ok(resource) = self.resources().get(NAME).await else { return false };
        let Some(status) = resource.status else { return false };
        let is = |kind: &str, holds: &str| {
            let newest = resource.metadata.generation;
            let holds = |one: &&_| -> bool {
                let one: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition = one;
                one.type_ == kind && one.status == holds && one.observed_generation == newest
            };
            status.conditions.iter().any(|one| holds(&one))
        };
        let wanted = resource.spec.workers.replicas;
        let all = status.replicas == wanted && status.ready_replicas == wanted;
        let map = status.partition_map.unwrap_or_default();
        let whole = map.under_replicated == 0 && map.moving == 0 && map.without_leader == 0;
        all && whole && is("Available", "True") && is("Progressing", "False") && is("Degraded", "False")
    }

    /// The token of a role, from the Secret that the operator made.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn token(&self, role: &str) -> Result<String> {
        let secret = self.api::<Secret>().get(&format!("{}-tokens", NAME)).await?;
        let bytes = secret.data.and_then(|mut data| data.remove(role)).with_context(|| format!("no token {role}"))?;
        Ok(String::from_utf8(bytes.0)?)
    }

    /// The Service's address, as this machine reaches it: its port of the first node.
    ///
    /// # Errors
    /// Where there is no Service, or no node.
    pub async fn service(&self) -> Result<String> {
        let service = self.api::<Service>().get(&format!("{}-client", NAME)).await?;
        let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
        let port = ports.first().and_then(|port| port.node_port).context("the Service has no port of the nodes")?;
        let nodes = Api::<Node>::all(self.kube.clone()).list(&ListParams::default()).await?;
        let first = nodes.items.into_iter().min_by_key(ResourceExt::name_any).context("there is no node")?;
        let addresses = first.status.and_then(|status| status.addresses).unwrap_or_default();
        let internal = addresses.into_iter().find(|one| one.type_ == "InternalIP").context("a node has no address")?;
        Ok(format!("http://{}:{port}", internal.address))
    }

    /// A client that repeats what may pass, through the Service.
    ///
    /// # Errors
    /// Where there is no Service or no token.
    pub async fn client(&self) -> Result<Client> {
        let config = ClientConfig { token: Some(self.token("admin").await?), ..ClientConfig::default() };
        Ok(Client::new(&self.service().await?, config)?)
    }

    /// Starts clients that write until they are stopped, and repeat themselves.
    ///
    /// # Errors
    /// Where the table cannot be made.
    pub async fn load(&self) -> Result<Writers> {
        let patient = self.client().await?;
        patient.ddl(content::CREATE).await?;
        let config = ClientConfig {
            token: Some(self.token("admin").await?),
            attempt_timeout: Duration::from_secs(10),
            retries: 0,
            ..ClientConfig::default()
        };
        let client = Client::new(&self.service().await?, config)?;
        // What a person does may take minutes: whatever is sent again meanwhile counts.
        // All nodes are one machine: it is not to be busy with rows only.
        let patience = Duration::from_secs(600);
        let config = LoadConfig { clients: 2, most_rows: 300, patience, ..LoadConfig::default() };
        let writers = Writers { load: Load::start(client, config), client: patient };
        writers.go_on().await?;
        Ok(writers)
    }

    /// One value.
    ///
    /// # Errors
    /// Where the statement fails.
    pub async fn ask(&self, sql: &str) -> Result<Value> {
        let answer = self.client().await?.query(&SqlRequest::new(sql.to_owned())).await?;
        ensure!(!answer.is_partial, "{sql}: a partition is missing");
        answer.rows.first().and_then(|row| row.first()).cloned().with_context(|| format!("{sql}: no rows"))
    }

    /// One of its workers, as the operator sees it.
    pub async fn member(&self, pod: &str) -> Option<Member> {
        self.members().await?.into_iter().find(|member| member.name == pod)
    }

    /// Its workers, as the operator sees them.
    pub async fn members(&self) -> Option<Vec<Member>> {
        Some(self.resources().get(NAME).await.ok()?.status?.members)
    }

    /// Waits until so many workers are there, and each holds something: before, one that came is no help.
    ///
    /// # Errors
    /// Where that does not come.
    pub async fn spread_over(&self, workers: usize) -> Result<()> {
        until("every worker holds copies", async || {
            let members = self.members().await?;
            (members.len() == workers && members.iter().all(|member| member.copies > 0)).then_some(())
        })
        .await
    }

    /// Waits until none of its pods is left.
    ///
    /// # Errors
    /// Where one stays.
    pub async fn pods_are_gone(&self) -> Result<()> {
        until("no pod is left", async || {
            self.api::<Pod>().list(&ListParams::default()).await.ok()?.items.is_empty().then_some(())
        })
        .await
    }

    /// How often containers of its pods were restarted.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn restarts(&self) -> Result<i32> {
        let pods = self.api::<Pod>().list(&ListParams::default()).await?;
        let statuses = pods.items.into_iter().filter_map(|pod| pod.status?.container_statuses);
        Ok(statuses.flatten().map(|container| container.restart_count).sum())
    }

    /// Its pods of a role, by name, with their UIDs.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn pods(&self, component: &str) -> Result<Vec<(String, String)>> {
        let labels = format!("app.kubernetes.io/instance={},app.kubernetes.io/component={component}", NAME);
        let pods = self.api::<Pod>().list(&ListParams::default().labels(&labels)).await?;
        Ok(pods.items.iter().map(|pod| (pod.name_any(), pod.uid().unwrap_or_default())).collect())
    }

    /// Deletes pods, as somebody would by mistake.
    ///
    /// # Errors
    /// Where the API server refuses.
    pub async fn delete_pods(&self, names: &[&str]) -> Result<()> {
        for name in names {
            self.api::<Pod>().delete(name, &DeleteParams::default()).await?;
        }
        Ok(())
    }

    /// Deletes the namespace, and waits until nothing of it is left.
    ///
    /// # Errors
    /// Where something holds it up.
    pub async fn namespace_goes(self) -> Result<()> {
        self.drop_namespace().await?;
        let namespaces = Api::<Namespace>::all(self.kube.clone());
        until("the namespace is gone", async || {
            matches!(namespaces.get_opt(&self.namespace).await, Ok(None)).then_some(())
        })
        .await
    }

    /// Deletes the namespace and does not wait for it.
    ///
    /// # Errors
    /// Where the API server refuses.
    pub async fn drop_namespace(&self) -> Result<()> {
        Api::<Namespace>::all(self.kube.clone()).delete(&self.namespace, &DeleteParams::default()).await?;
        Ok(())
    }
}

/// Clients that write.
pub struct Writers {
    load: Load,
    client: Client,
}

impl Writers {
    /// Waits until they have written something more.
    ///
    /// # Errors
    /// Where they cannot.
    pub async fn go_on(&self) -> Result<()> {
        let before = self.load.rows();
        until("rows are written", async || (self.load.rows() > before + ROWS).then_some(())).await
    }

    /// Stops them, and looks for every row that they were told is there. Returns how many.
    ///
    /// # Errors
    /// With everything that is lost or doubled.
    pub async fn check(self) -> Result<u64> {
        let written = self.load.stop().await?;
        Ok(check::exactly_once(&self.client, &written).await?.rows)
    }
}
