//! The HTTP API's vocabulary: paths, headers, media types, and the bodies of requests and replies.
//!
//! Control serves exactly this and [`crate::client`] speaks it. Unknown fields of a request are an
//! error, so that a misspelt option is not silently ignored; unknown fields of a reply are ignored,
//! so that an older client reads a newer server.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod admin;
mod cluster;

pub use admin::{BootstrapRequest, FinaliseRequest, Identity, Safety, Space};
pub use cluster::{ChangeStatus, ClusterAnswer, PartitionStatus, ReplicaStatus, StoreStatus};

/// Paths, as the router and the client both use them; `{table}` stands for a table's name.
pub mod path {
    /// One SQL statement.
    pub const SQL: &str = "/v1/sql";
    /// All tables.
    pub const TABLES: &str = "/v1/tables";
    /// One table.
    pub const TABLE: &str = "/v1/tables/{table}";
    /// Rows for one table.
    pub const ROWS: &str = "/v1/tables/{table}/rows";
    /// Stores, partition map, leaders.
    pub const CLUSTER: &str = "/v1/cluster";
    /// Health in words.
    pub const HEALTH: &str = "/health";
    /// The process answers.
    pub const LIVEZ: &str = "/livez";
    /// The process can serve.
    pub const READYZ: &str = "/readyz";
    /// Prometheus' text format.
    pub const METRICS: &str = "/metrics";
}

/// Headers beyond the standard's.
pub mod header {
    /// Names a write, so that repeating it writes nothing more.
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// How many rows an answer has, where the body does not say it: an HTTP trailer of CSV and Arrow.
    pub const ROW_COUNT: &str = "x-raftduck-row-count";
}

/// Media types of bodies.
pub mod media {
    /// JSON: an array of row objects in, an [`super::SqlAnswer`] out.
    pub const JSON: &str = "application/json";
    /// One JSON object a line.
    pub const NDJSON: &str = "application/x-ndjson";
    /// RFC 4180 with a header row.
    pub const CSV: &str = "text/csv";
    /// An Arrow IPC stream.
    pub const ARROW: &str = "application/vnd.apache.arrow.stream";
    /// RFC 9457.
    pub const PROBLEM: &str = "application/problem+json";
    /// A bare SQL statement.
    pub const TEXT: &str = "text/plain";
}

/// Which replicas may answer a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// Every acknowledged write of each partition is seen.
    #[default]
    Linearizable,
    /// Any replica's state, however old.
    Stale,
}

/// What to do when partitions do not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partial {
    /// Answer from the others and say `is_partial`.
    Allow,
    /// Fail.
    Deny,
}

/// How 64-bit integers appear in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// As numbers.
    #[default]
    Number,
    /// In quotes, for readers whose numbers are doubles.
    String,
}

/// The body of `POST /v1/sql`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    /// One statement.
    pub sql: String,
    /// Values for `?` or `$1`, `$2`, … in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Value>,
    /// Which replicas may answer.
    #[serde(default)]
    pub consistency: Consistency,
    /// What to do without some partitions; the default depends on the answer's media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
    /// At most this many rows are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u64>,
    /// The statement is given up after this many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How 64-bit integers appear in JSON.
    #[serde(default)]
    pub numbers: Numbers,
}

impl SqlRequest {
    /// A statement with the defaults for everything else.
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), ..Self::default() }
    }
}

/// One column of an answer or table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type as DuckDB writes it.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The JSON answer of `POST /v1/sql`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SqlAnswer {
    /// The columns, in order.
    pub columns: Vec<ColumnInfo>,
    /// The rows, each with one value a column.
    pub rows: Vec<Vec<Value>>,
    /// How many rows there are.
    pub row_count: u64,
    /// Partitions are missing from the answer.
    pub is_partial: bool,
    /// Registered stores.
    pub total_nodes: u32,
    /// Stores that were reachable when the statement ran.
    pub responding_nodes: u32,
    /// The partitions that are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_partitions: Vec<u32>,
    /// `max_rows` cut the answer short.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Milliseconds from the request's arrival to the answer's end.
    pub elapsed_ms: f64,
}

/// The answer to a write: `POST /v1/tables/{t}/rows`, or INSERT through `POST /v1/sql`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowsAnswer {
    /// The table's name.
    pub table: String,
    /// How many rows the request held, all of them durable on a quorum now.
    pub rows: u64,
    /// Some or all of it was written by an earlier request with the same key.
    pub duplicate: bool,
    /// The table was made by this request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
    /// Milliseconds from the request's arrival.
    pub elapsed_ms: f64,
}

/// The answer to CREATE, DROP and ALTER.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DdlAnswer {
    /// What was done, in the statement's words: `CREATE TABLE`.
    pub done: String,
    /// The table as it is now; none after DROP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableInfo>,
    /// Milliseconds from the request's arrival.
    pub elapsed_ms: f64,
}

/// A column as its table defines it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its type as DuckDB writes it.
    #[serde(rename = "type")]
    pub kind: String,
    /// False under NOT NULL.
    pub nullable: bool,
    /// The SQL literal that rows without the column get; none for NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// One table: an element of `GET /v1/tables`, or `GET /v1/tables/{t}`, which adds the row count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableInfo {
    /// Its name.
    pub name: String,
    /// Its id, never reused.
    pub id: u32,
    /// Raised by every schema change.
    pub version: u32,
    /// The column whose value decides a row's partition.
    pub partition_key: String,
    /// How many partitions its rows are spread over.
    pub partitions: u32,
    /// Its columns, in order.
    pub columns: Vec<TableColumn>,
    /// How many rows it has, where that was asked for and every partition answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// The answer to `GET /v1/tables`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TablesAnswer {
    /// By name.
    pub tables: Vec<TableInfo>,
}

/// The answer to `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthAnswer {
    /// `ok`, or `degraded` where a partition has no leader or a store is missing, or `starting`.
    pub status: String,
    /// Registered stores.
    pub total_nodes: u32,
    /// Stores whose Watch stream is up.
    pub responding_nodes: u32,
    /// Partitions in the map.
    pub partitions: u32,
    /// Partitions with a leader.
    pub partitions_with_leader: u32,
}

/// An error, as RFC 9457 has it, with a code that never changes its meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The status's words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable, in `snake_case`.
    #[serde(default)]
    pub code: String,
    /// What happened, with the offending part.
    #[serde(default)]
    pub detail: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The offending row, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// The offending column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Partitions whose rows of the request are in, where some are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written_partitions: Vec<u32>,
    /// Partitions whose rows are not in, or of which that is unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_partitions: Vec<u32>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, HTTP {})", self.detail, self.code, self.status)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_a_misspelt_option_is_refused() {
        let error = serde_json::from_str::<SqlRequest>(r#"{"sql":"SELECT 1","maxrows":3}"#).unwrap_err();
        assert!(error.to_string().contains("maxrows"), "{error}");
    }

    #[test]
    fn a_bare_request_has_the_defaults() {
        let request: SqlRequest = serde_json::from_str(r#"{"sql":"SELECT 1"}"#).unwrap();
        assert_eq!(request, SqlRequest::new("SELECT 1"));
        assert_eq!(request.consistency, Consistency::Linearizable);
    }

    #[test]
    fn a_problem_keeps_its_golden_text() {
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: "Unprocessable Content".to_owned(),
            status: 422,
            code: "bad_value".to_owned(),
            detail: "row 3, column \"delay\": \"abc\" is not INTEGER".to_owned(),
            row: Some(3),
            column: Some("delay".to_owned()),
            ..Problem::default()
        };
        let text = r#"{"type":"about:blank","title":"Unprocessable Content","status":422,"code":"bad_value","detail":"row 3, column \"delay\": \"abc\" is not INTEGER","row":3,"column":"delay"}"#;
        assert_eq!(serde_json::to_string(&problem).unwrap(), text);
        assert_eq!(serde_json::from_str::<Problem>(text).unwrap(), problem);
    }
}
