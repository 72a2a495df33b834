//! The operator's process: one controller, while this process holds the Lease.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::Api;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Config;
use kube::{Client, Resource, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backoff::Backoffs;
use crate::build::STORE_PORT;
use crate::build::labels::OPERATOR;
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::names::Namespace;
use crate::reconcile::{Context, Failure, Pace, Watched, reconcile};

/// The label by which everything of ours is watched.
const OURS: &str = "app.kubernetes.io/managed-by=raftduck-operator";
/// The label that names the resource an object belongs to.
const INSTANCE: &str = "app.kubernetes.io/instance";
/// Resources that are looked at at once. Each look waits for its stores most of the time.
const AT_ONCE: u16 = 16;

/// How the operator was told to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it runs, and where its Lease is.
    pub namespace: Namespace,
    /// The only namespaces to look at; all of them where empty.
    pub watched: Vec<Namespace>,
    /// Its own name among several.
    pub identity: String,
    /// Where it serves probes and metrics.
    pub listen: SocketAddr,
}

/// Runs until `stop` resolves, or the Lease is lost.
///
/// # Errors
/// Where it cannot begin, or another operator has taken over.
pub async fn run(client: Client, settings: Settings, stop: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let metrics = Metrics::new()?;
    let listener = tokio::net::TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("listening on {}: choose another with --listen", settings.listen))?;
    let serving = axum::serve(listener, router(metrics.clone()));
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "probes and metrics are served no more");
        }
    });
    let leases = Api::namespaced(client.clone(), &settings.namespace.to_string());
    let mut leadership = Leadership::new(leases, OPERATOR, &settings.identity);
    tokio::pin!(stop);
    tracing::info!(identity = settings.identity, "waiting for the lease");
    tokio::select! {
        () = leadership.acquire() => {}
        () = &mut stop => return Ok(()),
    }
    tracing::info!(identity = settings.identity, "this operator acts");
    let context = Arc::new(context(client, &settings, metrics)?);
    // What is under way when the process is to stop is finished, so that nobody else acts meanwhile.
    let (end, ended) = watch::channel(false);
    let mut acting = tokio::spawn(act(context, settings.watched.clone(), ended));
    let lost = tokio::select! {
        () = leadership.keep() => true,
        () = &mut stop => false,
        // It ends by itself only where it panicked.
        ended = &mut acting => bail!("the controller ended: {ended:?}"),
    };
    if lost {
        bail!("the lease is lost: another operator acts now, or the API server does not answer");
    }
    end.send_replace(true);
    acting.await.context("ending")?;
    leadership.release().await;
    Ok(())
}

/// What all reconciles share.
///
/// # Errors
/// Where TLS or the metrics cannot be set up.
fn context(client: Client, settings: &Settings, metrics: Metrics) -> anyhow::Result<Context> {
    let reporter = Reporter { controller: OPERATOR.to_owned(), instance: Some(settings.identity.clone()) };
    Ok(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        // Stores are reached directly, whatever proxy the environment names.
        http: reqwest::Client::builder().no_proxy().connect_timeout(std::time::Duration::from_secs(2)).build()?,
        store_port: STORE_PORT,
        pace: Pace::default(),
        newest_template: crate::build::template::NEWEST,
        namespace: settings.namespace.clone(),
        backoffs: Backoffs::default(),
        metrics,
    })
}

/// Reconciles until told to end: one controller for each watched namespace.
pub async fn act(context: Arc<Context>, watched: Vec<Namespace>, ended: watch::Receiver<bool>) {
    let scopes: Vec<Option<Namespace>> =
        if watched.is_empty() { vec![None] } else { watched.into_iter().map(Some).collect() };
    let controllers = scopes.into_iter().map(|scope| {
        let context = context.clone();
        let mut ended = ended.clone();
        let end = async move {
            let _ = ended.wait_for(|ended| *ended).await;
        };
        controller(&context.client, scope.as_ref()).graceful_shutdown_on(end).run(timed, wait, context).for_each(
            |result| async move {
                if let Err(error) = result {
                    tracing::debug!(%error, "a reconcile");
                }
            },
        )
    });
    futures::future::join_all(controllers).await;
}

fn controller(client: &Client, scope: Option<&Namespace>) -> Controller<Watched> {
    let ours = || Config::default().labels(OURS);
    // Not Secrets: to watch them is to read them all.
    Controller::new(api(client, scope), Config::default())
        .with_config(kube::runtime::controller::Config::default().concurrency(AT_ONCE))
        .owns(api::<StatefulSet>(client, scope), ours())
        .owns(api::<Deployment>(client, scope), ours())
        .owns(api::<Service>(client, scope), ours())
        .owns(api::<Ingress>(client, scope), ours())
        .owns(api::<PodDisruptionBudget>(client, scope), ours())
        .owns(api::<NetworkPolicy>(client, scope), ours())
        .watches(api::<Pod>(client, scope), ours(), instance)
        .watches(api::<PersistentVolumeClaim>(client, scope), ours(), instance)
}

fn api<K>(client: &Client, scope: Option<&Namespace>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), &namespace.to_string()),
        None => Api::all(client.clone()),
    }
}

/// The resource that a pod or a claim belongs to.
fn instance<K: Resource>(object: K) -> Option<ObjectRef<Watched>> {
    let name = object.labels().get(INSTANCE)?.clone();
    Some(ObjectRef::new(&name).within(&object.namespace()?))
}

async fn timed(resource: Arc<Watched>, context: Arc<Context>) -> Result<Action, Failure> {
    let begun = Instant::now();
    let result = reconcile(resource, context.clone()).await;
    context.metrics.reconciled(result.is_err(), begun.elapsed().as_secs_f64());
    result
}

fn wait(resource: Arc<Watched>, error: &Failure, context: Arc<Context>) -> Action {
    let wait = context.backoffs.failed(&resource);
    tracing::warn!(cluster = %ObjectRef::from_obj(&*resource), %error, ?wait, "a reconcile failed");
    Action::requeue(wait)
}

fn router(metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive" }))
        .route("/readyz", get(|| async { "ready" }))
        .route("/metrics", get(scrape))
        .with_state(metrics)
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    match metrics.text() {
        Ok(text) => ([(axum::http::header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
