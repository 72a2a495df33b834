//! One store as its operator sees it: emptied, told where it is, given up, and whether it may go.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use raftduck_model::StoreId;
use raftduck_model::meta::{Location, MetaCommand, MetaReply};
use raftduck_model::placement::depends_on;
use raftduck_wire::http::Safety;
use raftduck_wire::proto::store::IdentifyRequest;
use tokio::time::{Instant, timeout};

use super::extract::{Body, Named};
use super::{Admin, META, command, no_cluster, no_quorum, problem};
use crate::member::Member;
use crate::{clock, permits};

/// A store that answers within this still runs.
const ALIVE: Duration = Duration::from_secs(1);

pub fn router() -> Router<Admin> {
    Router::new()
        .route("/admin/v1/stores/{store}/drain", put(drain).delete(undrain))
        .route("/admin/v1/stores/{store}/safe-to-remove", get(safe_to_remove))
        .route("/admin/v1/stores/{store}/retire", post(retire))
        .route("/admin/v1/stores/{store}/location", put(locate))
        .route("/admin/v1/stores/{store}/restart-permit", post(permit_restart).delete(end_restart))
}

async fn drain(State(admin): State<Admin>, Named(store): Named) -> Response {
    command(&admin, MetaCommand::DrainStore { store, draining: true }).await
}

async fn undrain(State(admin): State<Admin>, Named(store): Named) -> Response {
    command(&admin, MetaCommand::DrainStore { store, draining: false }).await
}

async fn locate(State(admin): State<Admin>, Named(store): Named, Body(location): Body<Location>) -> Response {
    command(&admin, MetaCommand::LocateStore { store, location }).await
}

/// A store that still runs would go on for a while without knowing: it is drained, or ended, first.
async fn retire(State(admin): State<Admin>, Named(store): Named) -> Response {
    let Some(member) = admin.member.get() else { return no_cluster() };
    let holds = depends_on(&member.meta.borrow().clone(), store) > 0;
    if holds && store_runs(member, store).await {
        let detail = "the store runs and holds replicas: drain it and wait until it is safe to remove, or end its \
                      process first";
        return problem(StatusCode::CONFLICT, "store_runs", detail);
    }
    command(&admin, MetaCommand::RetireStore { store }).await
}

/// One store at a time, only while everything goes on without it, and only for a while.
async fn permit_restart(State(admin): State<Admin>, Named(store): Named) -> Response {
    let Some(member) = admin.member.get() else { return no_cluster() };
    let lost = permits::lost_without(member, store).await;
    if !lost.is_empty() {
        let named: Vec<String> = lost.iter().map(ToString::to_string).collect();
        let detail = format!(
            "groups {} would have no quorum that is up to date without this store: wait until the others have caught up",
            named.join(", ")
        );
        return problem(StatusCode::CONFLICT, "quorum_needed", &detail);
    }
    let now = clock::now();
    let until = now.saturating_add(u64::try_from(permits::LASTS.as_micros()).unwrap_or(u64::MAX));
    command(&admin, MetaCommand::PermitRestart { store, now, until }).await
}

async fn end_restart(State(admin): State<Admin>, Named(store): Named) -> Response {
    command(&admin, MetaCommand::EndRestart { store }).await
}

async fn store_runs(member: &Member, store: StoreId) -> bool {
    let Ok(mut client) = member.directory.client(store) else { return false };
    let Ok(Ok(answer)) = timeout(ALIVE, client.identify(IdentifyRequest {})).await else { return false };
    // Another store may have its address by now.
    answer.into_inner().store == store.to_string()
}

/// As of when this was asked: the question takes its place among the meta group's commands.
async fn safe_to_remove(State(admin): State<Admin>, Named(store): Named) -> Response {
    let Some(member) = admin.member.get() else { return no_cluster() };
    match member.meta_anywhere(&MetaCommand::CountGroups { store }, Instant::now() + META).await {
        Ok(Ok(MetaReply::Groups { count })) => Json(Safety { safe: count == 0, groups: count }).into_response(),
        Ok(_) | Err(_) => no_quorum(),
    }
}
