//! One look at one resource: read, decide, apply, act, say.
//!
//! The resource itself is read anew as well. A watch may be seconds behind, and what is decided here destroys things.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PartialObjectMeta, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Client, Resource, ResourceExt};
use raftduck_model::ClusterId;
use raftduck_operator_api::{AnalyticsCluster, AnalyticsClusterStatus};
use serde_json::json;
use uuid::Uuid;

use crate::act::{Actor, Undone};
use crate::apply::{Applied, Applier, FIELD_MANAGER};
use crate::backoff::Backoffs;
use crate::build::{self, Surroundings, pod_monitor_kind, secrets};
use crate::dataplane::DataPlane;
use crate::decide::{Decision, Origin, Step, decide, origin};
use crate::metrics::Metrics;
use crate::names::Namespace;
use crate::observe::read::{Reader, stores};
use crate::observe::{Observed, Written};
use crate::status::{self, Outcome};
use crate::validate::{Cluster, Tokens};

/// How long until the next look at a resource, whose stores tell nobody when they are done.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Where something is under way.
    pub soon: Duration,
    /// Where all is well, or a person must act.
    pub later: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { soon: Duration::from_secs(2), later: Duration::from_secs(15) }
    }
}

/// What all reconciles share.
pub struct Context {
    /// Kubernetes.
    pub client: Client,
    /// For the stores.
    pub http: reqwest::Client,
    /// The port of the stores.
    pub store_port: u16,
    /// How often to look.
    pub pace: Pace,
    /// The newest revision of the pods' template that this operator takes.
    pub newest_template: i32,
    /// Where the operator runs.
    pub namespace: Namespace,
    /// Writes Events.
    pub recorder: Recorder,
    /// How long to wait after a failure, by resource.
    pub backoffs: Backoffs,
    /// What is counted.
    pub metrics: Metrics,
}

/// Why a reconcile ended early. The resource is looked at again.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server did not answer, or refused.
    #[error("kubernetes: {}", said(.0))]
    Kubernetes(#[from] kube::Error),
    /// An object is no JSON.
    #[error("an object cannot be sent: {0}")]
    Json(#[from] serde_json::Error),
}

/// A resource as it is watched: that it is there and has changed. What it says is read when it is looked at, so one that
/// this release does not understand stops no other.
pub type Watched = PartialObjectMeta<AnalyticsCluster>;

/// Looks at one resource.
///
/// # Errors
/// Where the API server does not answer, or the resource says what this release does not know.
pub async fn reconcile(cached: Arc<Watched>, context: Arc<Context>) -> Result<Action, Failure> {
    let namespace = cached.namespace().unwrap_or_default();
    let resources: Api<AnalyticsCluster> = Api::namespaced(context.client.clone(), &namespace);
    let Some(resource) = resources.get_opt(&cached.name_any()).await? else {
        context.backoffs.succeeded(&cached);
        return Ok(Action::await_change());
    };
    let (Some(uid), Some(owner), None) =
        (resource.uid(), resource.controller_owner_ref(&()), &resource.metadata.deletion_timestamp)
    else {
        return Ok(Action::await_change());
    };
    let run = Run { context: &context, resources: &resources, resource: &resource, uid: &uid, owner: &owner };
    let action = match Cluster::read(&resource) {
        Ok(cluster) => match run.reconcile(&cluster).await {
            Err(Failure::Kubernetes(error)) if is_ending(&error) => Action::requeue(context.pace.later),
            answer => answer?,
        },
        Err(invalid) => {
            run.refuse("Degraded", "InvalidSpec", invalid.to_string()).await?;
            Action::await_change()
        }
    };
    context.backoffs.succeeded(&cached);
    Ok(action)
}

struct Run<'a> {
    context: &'a Context,
    resources: &'a Api<AnalyticsCluster>,
    resource: &'a AnalyticsCluster,
    uid: &'a str,
    owner: &'a OwnerReference,
}

impl Run<'_> {
    async fn reconcile(&self, cluster: &Cluster) -> Result<Action, Failure> {
        let reader = Reader { client: &self.context.client, cluster, resource: self.uid };
        let mut observed = reader.objects().await?;
        let (uuid, adopted) = match origin(cluster, self.uid, &observed) {
            Ok(Origin::Written(uuid)) => (uuid, false),
            Ok(Origin::Found(uuid)) => (uuid, true),
            Ok(Origin::New) => (Uuid::new_v4(), false),
            Err(refusal) => {
                self.refuse("VolumesFound", "NeedsAPerson", refusal.to_string()).await?;
                return Ok(Action::requeue(self.context.pace.later));
            }
        };
        let template = build::template::revision(self.resource, self.context.newest_template);
        let around = |pods, evictions| Surroundings {
            cluster_uuid: uuid,
            adopted,
            template,
            owner: self.owner.clone(),
            operator_namespace: self.context.namespace.clone(),
            worker_pods: pods,
            evictions,
        };
        let mut outcome = Outcome::default();
        let first = around(0, build::Evictions::None);
        if !cluster.paused && !self.begin(cluster, &first, &mut observed, &mut outcome).await? {
            return Ok(Action::requeue(self.context.pace.soon));
        }
        let mut plane = DataPlane::new(
            self.context.http.clone(),
            reader.credential().await?.unwrap_or_default(),
            self.context.store_port,
        );
        observed.stores = stores(&mut plane, &observed.pods, ClusterId(uuid)).await;
        let decision = decide(cluster, uuid, &observed);
        if !cluster.paused {
            let client = &self.context.client;
            let actor = Actor { client, plane: &plane, cluster, owner: self.owner, observed: &observed };
            self.steps(&actor, &decision.before, &mut outcome).await?;
            let pods = &decision.pods;
            let kept = !pods.leaving.is_empty() && actor.still_needed(&pods.leaving).await;
            let count = if kept { pods.otherwise } else { pods.count };
            let objects = build::objects(cluster, &around(count, status::evictions(&observed)));
            self.apply(cluster, &objects, &observed, &mut outcome).await?;
            self.steps(&actor, &decision.after, &mut outcome).await?;
        }
        self.say(cluster, template, &observed, &decision, &outcome).await
    }

    /// Writes down which cluster this is, and makes its secrets, before anything else is there; false where that must
    /// be looked at again.
    async fn begin(
        &self,
        cluster: &Cluster,
        around: &Surroundings,
        observed: &mut Observed,
        outcome: &mut Outcome,
    ) -> Result<bool, Failure> {
        let applier = self.applier(cluster);
        if observed.identity.is_none() {
            let (kind, object) = build::as_sent(&build::objects(cluster, around).identity)?;
            match applier.create(&kind, object).await? {
                Applied::Written => {
                    observed.identity = Some(Written {
                        cluster: around.cluster_uuid,
                        resource: Some(self.uid.to_owned()),
                        adopted: around.adopted,
                        bootstrapped: false,
                        owned: false,
                    });
                }
                // It is there and says no UUID, or another was faster.
                _ => {
                    let message = format!(
                        "the ConfigMap {} is not of this cluster: delete it, or name the cluster otherwise",
                        cluster.name.identity()
                    );
                    self.refuse("NameConflict", "ForeignObject", message).await?;
                    return Ok(false);
                }
            }
        }
        let mut made = vec![secrets::credential(cluster, around, random())];
        if cluster.tokens == Tokens::Made {
            made.push(secrets::tokens(cluster, around, random));
        }
        for secret in &made {
            let (kind, object) = build::as_sent(secret)?;
            let name = secret.name_any();
            note(outcome, &kind.kind, &name, &applier.create(&kind, object).await?);
        }
        Ok(true)
    }

    async fn apply(
        &self,
        cluster: &Cluster,
        objects: &build::Objects,
        observed: &Observed,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let applier = self.applier(cluster);
        let seen = observed.stateful_set.as_ref().and_then(|set| set.generation);
        for (kind, object) in objects.to_send()? {
            let name =
                object.pointer("/metadata/name").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
            let applied = match kind.kind.as_str() {
                "StatefulSet" => applier.apply_to(&kind, object, seen).await,
                _ => applier.apply(&kind, object).await,
            };
            match applied {
                Ok(applied) => self.applied(outcome, &kind.kind, &name, &applied),
                // What one object lacks, such as a quota or a field of a newer Kubernetes, is no reason to leave the
                // others as they are.
                Err(error) if is_refusal(&error) => {
                    outcome.undone.push(format!("{} {name}: {}", kind.kind, said(&error)))
                }
                Err(error) => return Err(error.into()),
            }
        }
        if objects.ingress.is_none() {
            let kind = kube::core::ApiResource::erase::<k8s_openapi::api::networking::v1::Ingress>(&());
            applier.remove(&kind, &String::from(cluster.name.ingress())).await?;
        }
        let kind = pod_monitor_kind();
        let name = String::from(cluster.name.pod_monitor());
        let monitored = match &objects.pod_monitor {
            Some(monitor) => applier.apply(&kind, serde_json::to_value(monitor)?).await,
            None => applier.remove(&kind, &name).await,
        };
        match monitored {
            Ok(applied) => self.applied(outcome, &kind.kind, &name, &applied),
            // Most clusters do not know the kind, or give no leave to write it.
            Err(error) if is_refusal(&error) => tracing::debug!(%error, "no PodMonitor"),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn applied(&self, outcome: &mut Outcome, kind: &str, name: &str, applied: &Applied) {
        if *applied == Applied::Written {
            self.context.metrics.written(kind);
            tracing::info!(kind, name, "applied");
            outcome.changed.push(format!("{kind} {name} was written"));
        }
        note(outcome, kind, name, applied);
    }

    async fn steps(&self, actor: &Actor<'_>, steps: &[Step], outcome: &mut Outcome) -> Result<(), Failure> {
        for step in steps {
            match actor.act(step).await {
                Ok(()) => {
                    tracing::info!(cluster = %actor.cluster.name, %step, "done");
                    self.context.metrics.step(step.word());
                    outcome.changed.push(step.to_string());
                    self.tell(EventType::Normal, step.word(), &step.to_string()).await;
                }
                Err(Undone::Kubernetes(error)) if !is_refusal(&error) => return Err(error.into()),
                Err(error) => {
                    tracing::info!(cluster = %actor.cluster.name, %step, %error, "not yet");
                    outcome.undone.push(format!("{step}: {error}"));
                }
            }
        }
        Ok(())
    }

    async fn say(
        &self,
        cluster: &Cluster,
        template: i32,
        observed: &Observed,
        decision: &Decision,
        outcome: &Outcome,
    ) -> Result<Action, Failure> {
        let was = self.resource.status.as_ref();
        let generation = self.resource.metadata.generation;
        let mut now = status::status(cluster, generation, observed, decision, outcome, was);
        now.template_revision = Some(template);
        let holds = |kind: &str| now.conditions.iter().any(|one| one.type_ == kind && one.status == "True");
        let quiet = !holds("Progressing") && (holds("Available") || !holds("Degraded"));
        if !status::may_wait(self.resource, &now, Timestamp::now()) {
            self.write(&now).await?;
        }
        Ok(Action::requeue(if quiet { self.context.pace.later } else { self.context.pace.soon }))
    }

    async fn refuse(&self, kind: &'static str, reason: &'static str, message: String) -> Result<(), Failure> {
        let (generation, was) = (self.resource.metadata.generation, self.resource.status.as_ref());
        self.write(&status::refused(kind, reason, message, generation, was)).await
    }

    async fn write(&self, status: &AnalyticsClusterStatus) -> Result<(), Failure> {
        if self.resource.status.as_ref() == Some(status) {
            return Ok(());
        }
        for (event, reason, note) in status::turns(self.resource.status.as_ref(), status) {
            self.tell(event, &reason, &note).await;
        }
        let mut patch = json!({
            "apiVersion": AnalyticsCluster::api_version(&()),
            "kind": AnalyticsCluster::kind(&()),
            // Another resource of this name by now must not get this one's status.
            "metadata": {"uid": self.uid},
        });
        patch["status"] = serde_json::to_value(status)?;
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        match self.resources.patch_status(&self.resource.name_any(), &parameters, &Patch::Apply(&patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// An Event is a courtesy: one that cannot be written stops nothing.
    async fn tell(&self, type_: EventType, reason: &str, note: &str) {
        let short: String = note.chars().take(120).collect();
        let note: String = note.chars().take(1000).collect();
        let event = Event { type_, reason: reason.to_owned(), note: Some(note), action: short, secondary: None };
        if let Err(error) = self.context.recorder.publish(&event, &self.resource.object_ref(&())).await {
            tracing::debug!(%error, "an Event was not written");
        }
    }

    fn applier<'a>(&'a self, cluster: &'a Cluster) -> Applier<'a> {
        Applier { client: &self.context.client, namespace: &cluster.namespace, name: &cluster.name, uid: self.uid }
    }
}

fn note(outcome: &mut Outcome, kind: &str, name: &str, applied: &Applied) {
    match applied {
        Applied::Foreign => outcome.conflicts.push(format!("{kind} {name}")),
        Applied::Leaving => outcome.undone.push(format!("{kind} {name} is on its way out: waiting for that")),
        Applied::Overtaken => outcome.undone.push(format!("{kind} {name} was changed by somebody else: looking again")),
        Applied::Unchanged | Applied::Written => {}
    }
}

/// Its words; kube's own text has them twice.
pub(crate) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Its namespace is being deleted, and nothing can be made there any more.
fn is_ending(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    status.details.iter().flat_map(|details| &details.causes).any(|cause| cause.reason == "NamespaceTerminating")
}

/// The API server understood, and said no.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429)
}

/// 244 random bits, as text: two UUIDs.
fn random() -> String {
    Uuid::new_v4().simple().to_string() + &Uuid::new_v4().simple().to_string()
}
