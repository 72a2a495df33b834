//! Control's metrics: what they are called and counted in.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};
use raftduck_wire::metric::{Definition, Kind};

use crate::view::ClusterView;

const NONE: &[&str] = &[];

const fn define(kind: Kind, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition { name, kind, labels, help }
}

const UP: Definition = define(Kind::Gauge, "raftduck_control_up", NONE, "1 while the control serves.");
const REQUESTS: Definition =
    define(Kind::Counter, "raftduck_http_requests_total", &["route", "method", "status"], "Requests answered.");
const REQUEST_SECONDS: Definition =
    define(Kind::Histogram, "raftduck_http_request_seconds", &["route"], "From a request's head to its answer's head.");
const PROBLEMS: Definition =
    define(Kind::Counter, "raftduck_http_problems_total", &["code"], "Requests that ended in an error, by its code.");
const IN_FLIGHT: Definition =
    define(Kind::Gauge, "raftduck_http_requests_in_flight", NONE, "Requests without an answer yet.");
const BODIES: Definition =
    define(Kind::Gauge, "raftduck_http_body_bytes", NONE, "Bytes set aside for request bodies and their rows.");
const ROWS: Definition = define(
    Kind::Counter,
    "raftduck_rows_written_total",
    &["duplicate"],
    "Rows acknowledged; duplicate: some of the request was in before.",
);
const STATEMENTS: Definition = define(
    Kind::Counter,
    "raftduck_statements_total",
    &["plan"],
    "Statements by how they were run: local, ship, process, insert, ddl, explain, catalog.",
);
const STATEMENT_SECONDS: Definition = define(
    Kind::Histogram,
    "raftduck_statement_seconds",
    &["plan"],
    "From a statement's arrival to its answer's first byte.",
);
const ROUND_TRIPS: Definition = define(
    Kind::Histogram,
    "raftduck_store_call_seconds",
    &["call", "outcome"],
    "Calls to stores: append, query, meta; outcome: ok, broken or timeout.",
);
const STORES: Definition = define(Kind::Gauge, "raftduck_stores", &["state"], "Registered stores, connected and not.");
const LEADERLESS: Definition =
    define(Kind::Gauge, "raftduck_partitions_without_leader", NONE, "Partitions that nobody is known to lead.");
const EPOCH: Definition = define(Kind::Gauge, "raftduck_map_epoch", NONE, "The partition map's version here.");

/// Every metric of a control.
pub const DEFINITIONS: &[Definition] = &[
    UP,
    REQUESTS,
    REQUEST_SECONDS,
    PROBLEMS,
    IN_FLIGHT,
    BODIES,
    ROWS,
    STATEMENTS,
    STATEMENT_SECONDS,
    ROUND_TRIPS,
    STORES,
    LEADERLESS,
    EPOCH,
];

/// Fine where an append or a point query is, coarse where a scan is.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What was counted so far.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    problems: IntCounterVec,
    in_flight: Gauge,
    bodies: Gauge,
    rows: IntCounterVec,
    statements: IntCounterVec,
    statement_seconds: HistogramVec,
    round_trips: HistogramVec,
    stores: GaugeVec,
    leaderless: Gauge,
    epoch: Gauge,
}

impl Metrics {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// Where a definition above is none that Prometheus takes.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |definition: Definition| {
            let metric = IntCounterVec::new(Opts::new(definition.name, definition.help), definition.labels)?;
            registry.register(Box::new(metric.clone()))?;
            prometheus::Result::Ok(metric)
        };
        let histograms = |definition: Definition| {
            let opts = HistogramOpts::new(definition.name, definition.help).buckets(SECONDS.to_vec());
            let metric = HistogramVec::new(opts, definition.labels)?;
            registry.register(Box::new(metric.clone()))?;
            prometheus::Result::Ok(metric)
        };
        let gauge = |definition: Definition| {
            let metric = Gauge::new(definition.name, definition.help)?;
            registry.register(Box::new(metric.clone()))?;
            prometheus::Result::Ok(metric)
        };
        let stores = GaugeVec::new(Opts::new(STORES.name, STORES.help), STORES.labels)?;
        registry.register(Box::new(stores.clone()))?;
        gauge(UP)?.set(1.0);
        Ok(Self {
            requests: counters(REQUESTS)?,
            request_seconds: histograms(REQUEST_SECONDS)?,
            problems: counters(PROBLEMS)?,
            in_flight: gauge(IN_FLIGHT)?,
            bodies: gauge(BODIES)?,
            rows: counters(ROWS)?,
            statements: counters(STATEMENTS)?,
            statement_seconds: histograms(STATEMENT_SECONDS)?,
            round_trips: histograms(ROUND_TRIPS)?,
            stores,
            leaderless: gauge(LEADERLESS)?,
            epoch: gauge(EPOCH)?,
            registry,
        })
    }

    /// A request came: it counts as under way until the guard is dropped.
    pub fn request_begins(&self) -> impl Drop + use<> {
        self.in_flight.inc();
        Guard(self.in_flight.clone())
    }

    /// A request was answered. `route` is the path's pattern, so that no input makes a label.
    pub fn request(&self, route: &str, method: &str, status: u16, elapsed: Duration) {
        self.requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.request_seconds.with_label_values(&[route]).observe(elapsed.as_secs_f64());
    }

    /// A request ended in an error.
    pub fn problem(&self, code: &str) {
        self.problems.with_label_values(&[code]).inc();
    }

    /// Rows are in.
    pub fn rows(&self, rows: u64, duplicate: bool) {
        self.rows.with_label_values(&[if duplicate { "true" } else { "false" }]).inc_by(rows);
    }

    /// A statement was run so.
    pub fn statement(&self, plan: &'static str, elapsed: Duration) {
        self.statements.with_label_values(&[plan]).inc();
        self.statement_seconds.with_label_values(&[plan]).observe(elapsed.as_secs_f64());
    }

    /// A store was called: `outcome` is `ok`, `broken` or `timeout`.
    pub fn store_call(&self, call: &'static str, outcome: &'static str, elapsed: Duration) {
        self.round_trips.with_label_values(&[call, outcome]).observe(elapsed.as_secs_f64());
    }

    /// All of it in Prometheus' text format, with what the view says and the bytes set aside for bodies.
    ///
    /// # Errors
    /// Where a label's text is none.
    pub fn text(&self, view: &ClusterView, body_bytes: usize) -> prometheus::Result<String> {
        let connected = view.meta.stores.keys().filter(|id| view.stores.get(id).is_some_and(|s| s.connected)).count();
        self.stores.with_label_values(&["connected"]).set(connected as f64);
        self.stores.with_label_values(&["missing"]).set(view.meta.stores.len().saturating_sub(connected) as f64);
        let leaderless = view.meta.partitions.iter().filter(|partition| view.leader(partition.id.group()).is_none());
        self.leaderless.set(leaderless.count() as f64);
        self.epoch.set(view.meta.epoch.0 as f64);
        self.bodies.set(body_bytes as f64);
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

struct Guard(Gauge);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_is_registered_under_its_name_once() {
        let metrics = Metrics::new().unwrap();
        metrics.request("/v1/sql", "POST", 200, Duration::from_millis(3));
        metrics.problem("busy");
        metrics.rows(3, false);
        metrics.statement("local", Duration::ZERO);
        metrics.store_call("append", "ok", Duration::ZERO);
        let text = metrics.text(&ClusterView::default(), 7).unwrap();
        for definition in DEFINITIONS {
            let kind = match definition.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let line = format!("# TYPE {} {kind}\n", definition.name);
            assert_eq!(text.matches(&line).count(), 1, "{line} in {text}");
        }
        assert!(text.contains("raftduck_http_body_bytes 7"), "{text}");
    }

    #[test]
    fn a_request_counts_as_under_way_until_it_ends() {
        let metrics = Metrics::new().unwrap();
        let guard = metrics.request_begins();
        assert_eq!(metrics.in_flight.get(), 1.0);
        drop(guard);
        assert_eq!(metrics.in_flight.get(), 0.0);
    }
}
