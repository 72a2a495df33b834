//! The worker's HTTP endpoints: probes, metrics, and the admin contract an operator goes by.

mod extract;
mod stores;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use raftduck_consensus::Role;
use raftduck_model::GroupId;
use raftduck_model::meta::{MetaCommand, MetaError};
use raftduck_wire::http::{BootstrapRequest, FinaliseRequest, Identity, Space};
use tokio::time::Instant;

use self::extract::Body;
use crate::bootstrap::{BootstrapError, bootstrap};
use crate::hosted::Hosted;
use crate::joining::Joining;
use crate::metrics;
use crate::service::MemberSlot;

/// For a command to the meta group.
const META: Duration = Duration::from_secs(10);

/// What the handlers share.
#[derive(Clone)]
struct Admin {
    joining: Arc<Joining>,
    member: MemberSlot,
}

/// The endpoints; those below `/admin` take the cluster's credential only.
pub fn router(joining: Arc<Joining>, member: MemberSlot) -> Router {
    let admin = Admin { joining, member };
    let guarded = Router::new()
        .route("/admin/v1/identity", get(identity))
        .route("/admin/v1/bootstrap", post(make_cluster))
        .route("/admin/v1/cluster", get(cluster))
        .route("/admin/v1/finalise", post(finalise))
        .merge(stores::router())
        .layer(from_fn_with_state(admin.clone(), authorize));
    Router::new()
        .route("/livez", get(|| async { "alive" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .merge(guarded)
        .with_state(admin)
}

async fn authorize(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match sent.and_then(|text| text.strip_prefix("Bearer ")) {
        Some(token) if admin.joining.config().credential.is(token) => next.run(request).await,
        _ => problem(StatusCode::UNAUTHORIZED, "unauthorized", "send the cluster token as `Authorization: Bearer …`"),
    }
}

async fn identity(State(admin): State<Admin>) -> Json<Identity> {
    let member = admin.member.get();
    let leads = |hosted: &Hosted| hosted.group.status().borrow().role == Role::Leader;
    let led = member.map(|member| member.hosted().iter().filter(|hosted| leads(hosted)).count());
    Json(Identity {
        store: admin.joining.store(),
        cluster: admin.joining.membership().map(|membership| membership.cluster),
        level: admin.joining.config().level,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        leads: led.and_then(|led| u32::try_from(led).ok()).unwrap_or_default(),
        leads_meta: member.and_then(|member| member.group(GroupId::META)).is_some_and(|meta| leads(&meta)),
        space: member.map_or(Space::Enough, |member| *member.space.borrow()),
    })
}

async fn make_cluster(State(admin): State<Admin>, Body(request): Body<BootstrapRequest>) -> Response {
    match bootstrap(&admin.joining, request).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            let (status, code) = match &error {
                BootstrapError::Invalid(_) => (StatusCode::BAD_REQUEST, "bad_bootstrap"),
                BootstrapError::Refused { .. } | BootstrapError::Meta(_) => (StatusCode::CONFLICT, "store_refuses"),
                BootstrapError::Unreachable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "store_unreachable"),
                BootstrapError::NoLeader => (StatusCode::SERVICE_UNAVAILABLE, "no_quorum"),
            };
            problem(status, code, &error.to_string())
        }
    }
}

async fn cluster(State(admin): State<Admin>) -> Response {
    match admin.member.get() {
        Some(member) => Json(member.meta.borrow().as_ref()).into_response(),
        None => no_cluster(),
    }
}

async fn finalise(State(admin): State<Admin>, Body(request): Body<FinaliseRequest>) -> Response {
    command(&admin, MetaCommand::RaiseLevel { to: request.level }).await
}

/// One command to the meta group, wherever its leader is.
async fn command(admin: &Admin, command: MetaCommand) -> Response {
    let Some(member) = admin.member.get() else { return no_cluster() };
    match member.meta_anywhere(&command, Instant::now() + META).await {
        Ok(Ok(_)) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => {
            let (status, code) = match &error {
                MetaError::NoSuchStore { .. } => (StatusCode::NOT_FOUND, "no_such_store"),
                MetaError::Retired { .. } => (StatusCode::CONFLICT, "store_retired"),
                MetaError::TooFewStores { .. } => (StatusCode::CONFLICT, "too_few_stores"),
                MetaError::RestartTaken { .. } => (StatusCode::CONFLICT, "restart_taken"),
                MetaError::StoresBehind { .. } => (StatusCode::CONFLICT, "stores_behind"),
                MetaError::WrongLevel { .. } => (StatusCode::CONFLICT, "wrong_level"),
                _ => (StatusCode::CONFLICT, "refused"),
            };
            problem(status, code, &error.to_string())
        }
        Err(_) => no_quorum(),
    }
}

fn no_cluster() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "no_cluster", "this store belongs to no cluster yet")
}

fn no_quorum() -> Response {
    let detail = "the meta group has no leader that answers: a majority of its stores must be up";
    problem(StatusCode::SERVICE_UNAVAILABLE, "no_quorum", detail)
}

/// Ready: registered, and every replica here knows a leader.
async fn readyz(State(admin): State<Admin>) -> Response {
    let Some(member) = admin.member.get() else { return no_cluster() };
    if !member.meta.borrow().stores.contains_key(&member.store) {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "unregistered", "the cluster has not taken this store in yet");
    }
    match member.hosted().iter().filter(|hosted| hosted.leader_store().is_none()).count() {
        0 => "ready".into_response(),
        without => {
            let detail = format!("{without} of this store's groups know no leader");
            problem(StatusCode::SERVICE_UNAVAILABLE, "no_leader", &detail)
        }
    }
}

async fn scrape(State(admin): State<Admin>) -> Response {
    match metrics::text(admin.member.get().map(Arc::as_ref)) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, "metrics", &error.to_string()),
    }
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
