//! The HTTP API: which path does what, and what every request passes before and after.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use raftduck_wire::http::path;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower_http::decompression::RequestDecompressionLayer;
use tracing::debug;

use crate::auth::{Auth, Role};
use crate::control::Control;
use crate::problem::{Code, Problem, Told};
use crate::statement::Statements;

mod body;
mod cluster;
mod probes;
mod rows;
mod sql;
mod tables;

use body::Bodies;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    control: Arc<Control>,
    auth: Auth,
    bodies: Bodies,
    /// Bodies that become rows at once: each may take [`crate::ingest::ROWS_BYTES`].
    reading: Arc<Semaphore>,
    statements: Arc<Statements>,
    /// The process is about to end.
    stop: CancellationToken,
}

impl App {
    pub(crate) fn new(control: Arc<Control>, auth: Auth, stop: CancellationToken) -> Self {
        let bodies = Bodies::new(control.limits.bodies_bytes);
        let reading = Arc::new(Semaphore::new(control.threads.clamp(1, 4)));
        Self { control, auth, bodies, reading, statements: Arc::default(), stop }
    }
}

/// Everything under one port.
pub(crate) fn router(app: App) -> Router {
    let taking = Router::new()
        .route(path::ROWS, post(rows::insert))
        .route(path::SQL, post(sql::run))
        .layer(RequestDecompressionLayer::new())
        .layer(from_fn_with_state(app.clone(), body::bounded));
    let guarded = Router::new()
        .merge(taking)
        .route(path::TABLES, get(tables::all))
        .route(path::TABLE, get(tables::one))
        .route(path::CLUSTER, get(cluster::cluster))
        .route(path::METRICS, get(probes::metrics))
        .route_layer(from_fn_with_state(app.clone(), authenticate));
    let open = Router::new()
        .route(path::HEALTH, get(probes::health))
        .route(path::LIVEZ, get(probes::livez))
        .route(path::READYZ, get(probes::readyz));
    finished(guarded.merge(open), app)
}

/// `/metrics` and the probes, without tokens: for a port that only scrapers reach.
pub(crate) fn scrapes(app: App) -> Router {
    let routes = Router::new()
        .route(path::METRICS, get(probes::metrics))
        .route(path::LIVEZ, get(probes::livez))
        .route(path::READYZ, get(probes::readyz));
    finished(routes, app)
}

fn finished(routes: Router<App>, app: App) -> Router {
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), count))
        .with_state(app)
}

async fn not_found(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(Code::NotFound, format!("there is nothing at {path}"))
        .hint("the API is at /v1/sql, /v1/tables, /v1/tables/{table}/rows and /v1/cluster")
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let method: String = method.as_str().chars().take(20).collect();
    Problem::new(Code::MethodNotAllowed, format!("{path} takes no {method}"))
}

/// Lets only requests with a token in, and notes its role for the handler.
async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let role = app.auth.role(request.headers())?;
    request.extensions_mut().insert(role);
    Ok(next.run(request).await)
}

/// Notes when a request arrived, counts it, and logs it.
async fn count(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let arrived = Instant::now();
    request.extensions_mut().insert(Arrived(arrived));
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = known_method(request.method());
    let metrics = app.control.metrics.clone();
    let _under_way = metrics.request_begins();
    let mut response = next.run(request).await;
    let (status, elapsed) = (response.status(), arrived.elapsed());
    metrics.request(route.as_ref().map_or("other", MatchedPath::as_str), method, status.as_u16(), elapsed);
    let code = response.extensions().get::<Told>().map(|told| told.0);
    if let Some(code) = code {
        metrics.problem(code.as_str());
    }
    if code == Some(Code::RequestTimeout) {
        // The rest of its body may still come: it must not be taken for the next request.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    debug!(
        method,
        route = route.as_ref().map(MatchedPath::as_str),
        status = status.as_u16(),
        code = code.map(Code::as_str),
        elapsed_ms = elapsed.as_secs_f64() * 1e3,
        "request"
    );
    response
}

/// A method as a metric's label: clients may make up their own.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// When a request's head was there.
#[derive(Clone, Copy)]
struct Arrived(Instant);

impl Arrived {
    fn elapsed_ms(self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1e3
    }
}

fn role(request: &Request) -> Role {
    // Every guarded route has one; without it nothing but reading would be right.
    request.extensions().get().copied().unwrap_or(Role::Read)
}

fn arrived(request: &Request) -> Arrived {
    request.extensions().get().copied().unwrap_or(Arrived(Instant::now()))
}

fn json<T: Serialize>(answer: &T) -> Response {
    Json(answer).into_response()
}
