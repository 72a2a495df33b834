//! The admin contract of scripted stores, over HTTP: one address of the loopback network for each worker.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use parking_lot::Mutex;
use raftduck_model::StoreId;
use raftduck_model::meta::{Location, MetaCommand, MetaError};
use raftduck_operator::validate::Cluster;
use raftduck_wire::http::{BootstrapRequest, Identity, Safety};
use serde_json::json;
use tokio::net::TcpListener;

use crate::operator::Budget;
use crate::stores::Stores;

/// The most workers of a scripted cluster.
pub const WORKERS: u8 = 8;

#[derive(Clone)]
struct Worker {
    ordinal: u8,
    stores: Arc<Mutex<Stores>>,
    budget: Budget,
    cluster: Arc<Cluster>,
}

/// The IP of that worker of the cluster of that number.
pub fn ip(number: u8, ordinal: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, number, ordinal + 1)
}

/// Serves at `port`, at any where that is 0, until the listeners' tasks are dropped with the runtime. Returns the port.
pub async fn serve(
    number: u8,
    mut port: u16,
    cluster: Arc<Cluster>,
    stores: Arc<Mutex<Stores>>,
    budget: Budget,
) -> u16 {
    for ordinal in 0..WORKERS {
        let address = SocketAddr::from((ip(number, ordinal), port));
        let listener = TcpListener::bind(address).await.unwrap_or_else(|error| {
            panic!("a scripted store cannot listen on {address}: {error}; is 0.0.0.0:{port} taken?")
        });
        port = listener.local_addr().unwrap().port();
        let worker = Worker { ordinal, stores: stores.clone(), budget: budget.clone(), cluster: cluster.clone() };
        let router = Router::new()
            .route("/admin/v1/identity", get(identity))
            .route("/admin/v1/cluster", get(state))
            .route("/admin/v1/bootstrap", post(bootstrap))
            .route("/admin/v1/stores/{store}/drain", put(drain).delete(keep))
            .route("/admin/v1/stores/{store}/safe-to-remove", get(safe))
            .route("/admin/v1/stores/{store}/retire", post(retire))
            .route("/admin/v1/stores/{store}/location", put(locate))
            .route("/admin/v1/stores/{store}/restart-permit", post(permit).delete(end))
            .layer(from_fn_with_state(worker.clone(), counted))
            .with_state(worker);
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    port
}

/// An operator that ended waits for no answer.
async fn counted(State(worker): State<Worker>, request: Request, next: Next) -> Response {
    let writes = request.method() != Method::GET;
    if !worker.stores.lock().runs(worker.ordinal) {
        return problem("no_cluster", "this worker does not run");
    }
    let what = format!("{} {}", request.method(), request.uri().path());
    let response = next.run(request).await;
    if writes {
        worker.budget.wrote(&what).await;
    }
    response
}

/// A store that says it is not registered is so a moment later: the worst one for its operator.
async fn identity(State(worker): State<Worker>) -> Json<Identity> {
    let mut stores = worker.stores.lock();
    let identity = stores.identity(worker.ordinal).unwrap();
    stores.join(worker.ordinal, &worker.cluster.worker_address(worker.ordinal));
    Json(identity)
}

async fn state(State(worker): State<Worker>) -> Response {
    let stores = worker.stores.lock();
    let member = stores.identity(worker.ordinal).is_some_and(|identity| identity.cluster.is_some());
    if member { Json(&stores.meta).into_response() } else { problem("no_cluster", "belongs to no cluster yet") }
}

async fn bootstrap(State(worker): State<Worker>, Json(request): Json<BootstrapRequest>) -> StatusCode {
    worker.stores.lock().bootstrap(&request, |address| worker.cluster.ordinal_at(address).unwrap());
    StatusCode::NO_CONTENT
}

async fn drain(State(worker): State<Worker>, Path(store): Path<StoreId>) -> Response {
    tell(&worker, MetaCommand::DrainStore { store, draining: true })
}

async fn keep(State(worker): State<Worker>, Path(store): Path<StoreId>) -> Response {
    tell(&worker, MetaCommand::DrainStore { store, draining: false })
}

async fn safe(State(worker): State<Worker>, Path(store): Path<StoreId>) -> Response {
    let stores = worker.stores.lock();
    if !stores.has_quorum() {
        return problem("no_quorum", "no majority runs");
    }
    let groups = stores.held_by(store);
    Json(Safety { safe: groups == 0, groups }).into_response()
}

async fn retire(State(worker): State<Worker>, Path(store): Path<StoreId>) -> Response {
    {
        let stores = worker.stores.lock();
        let there = (0..WORKERS).any(|ordinal| stores.runs(ordinal) && stores.on(ordinal) == Some(store));
        assert!(!there || stores.held_by(store) == 0, "retired while it runs and holds something");
        assert!(stores.held_by(store) == 0 || stores.goes_without(store), "retired, and a group has no quorum");
    }
    tell(&worker, MetaCommand::RetireStore { store })
}

async fn locate(State(worker): State<Worker>, Path(store): Path<StoreId>, Json(location): Json<Location>) -> Response {
    tell(&worker, MetaCommand::LocateStore { store, location })
}

async fn permit(State(worker): State<Worker>, Path(store): Path<StoreId>) -> Response {
    if !worker.stores.lock().goes_without(store) {
        return problem("quorum_needed", "a group would have no quorum");
    }
    tell(&worker, MetaCommand::PermitRestart { store, now: 0, until: 1 })
}

async fn end(State(worker): State<Worker>, Path(store): Path<StoreId>) -> Response {
    tell(&worker, MetaCommand::EndRestart { store })
}

fn tell(worker: &Worker, command: MetaCommand) -> Response {
    match worker.stores.lock().command(command) {
        Some(Ok(_)) => StatusCode::NO_CONTENT.into_response(),
        Some(Err(MetaError::RestartTaken { .. })) => problem("restart_taken", "another store is restarted"),
        Some(Err(error)) => problem("refused", &error.to_string()),
        None => problem("no_quorum", "no majority runs"),
    }
}

fn problem(code: &str, detail: &str) -> Response {
    let status = if code.starts_with("no_") { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::CONFLICT };
    (status, Json(json!({"status": status.as_u16(), "code": code, "detail": detail}))).into_response()
}
