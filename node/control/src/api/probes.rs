//! What load balancers, people and scrapers ask to see how things are.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use raftduck_wire::http::HealthAnswer;

use super::{App, json};
use crate::problem::{Code, Problem};
use crate::view::ClusterView;

/// The process answers.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// It knows the cluster's map. Without a quorum it stays ready: nobody else would fare better.
pub(super) async fn readyz(State(app): State<App>) -> Result<&'static str, Problem> {
    if app.stop.is_cancelled() {
        return Err(Problem::new(Code::NotReady, "the process is about to end"));
    }
    match app.control.view().meta.partition_count() {
        Some(_) => Ok("ok\n"),
        None => Err(Problem::not_ready()),
    }
}

/// Health in words; always 200, for people and dashboards.
pub(super) async fn health(State(app): State<App>) -> Response {
    json(&judge(&app.control.view()))
}

/// Prometheus' text format.
pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let text = app.control.metrics.text(&app.control.view(), app.bodies.taken());
    let text = text.map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}

fn judge(view: &ClusterView) -> HealthAnswer {
    let connected = view.meta.stores.keys().filter(|id| view.stores.get(id).is_some_and(|store| store.connected));
    let (total, responding) = (view.meta.stores.len(), connected.count());
    let led = view.meta.partitions.iter().filter(|partition| view.leader(partition.id.group()).is_some()).count();
    let partitions = view.meta.partitions.len();
    let status = match (partitions, led == partitions && responding == total) {
        (0, _) => "starting",
        (_, true) => "ok",
        (_, false) => "degraded",
    };
    HealthAnswer {
        status: status.to_owned(),
        total_nodes: total as u32,
        responding_nodes: responding as u32,
        partitions: partitions as u32,
        partitions_with_leader: led as u32,
    }
}
