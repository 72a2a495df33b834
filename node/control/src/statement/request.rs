//! The request around a statement.

use std::time::Duration;

use raftduck_sql::Params;
use raftduck_wire::http::{Consistency, Numbers, Partial};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::StatementError;
use crate::Format;
use crate::config::Limits;

/// The body of `POST /v1/sql`: [`raftduck_wire::http::SqlRequest`], with the parameters' numbers as they were written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    sql: String,
    #[serde(default)]
    params: Option<Box<RawValue>>,
    #[serde(default)]
    consistency: Consistency,
    #[serde(default)]
    partial: Option<Partial>,
    #[serde(default)]
    max_rows: Option<u64>,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    numbers: Numbers,
}

/// What comes with a body.
#[derive(Clone, Debug)]
pub struct Call {
    /// The client's `Idempotency-Key`.
    pub key: Option<String>,
    /// What the answer is written in, where it has rows.
    pub format: Format,
    /// When the request arrived.
    pub arrived: Instant,
}

/// A whole, checked request.
#[derive(Debug)]
pub struct Asked {
    /// One statement.
    pub(super) sql: String,
    pub(super) params: Params,
    /// The parameters as they were sent.
    pub(super) params_text: String,
    pub(super) consistency: Consistency,
    /// Whether an answer without some partitions will do.
    pub(super) partial: Partial,
    pub(super) max_rows: Option<u64>,
    pub(super) timeout: Duration,
    pub(super) deadline: Instant,
    pub(super) call: Call,
    /// How 64-bit integers appear in JSON.
    pub numbers: Numbers,
}

impl Body {
    /// A JSON body.
    ///
    /// # Errors
    /// Where it is none, or has a field that is not known.
    pub fn from_json(body: &[u8]) -> Result<Self, StatementError> {
        serde_json::from_slice(body).map_err(|error| {
            StatementError::Request(format!("the body is no request such as {{\"sql\": \"SELECT 1\"}}: {error}"))
        })
    }

    /// A bare statement.
    ///
    /// # Errors
    /// Where it is no UTF-8.
    pub fn from_text(body: &[u8]) -> Result<Self, StatementError> {
        let sql = std::str::from_utf8(body).map_err(|error| {
            StatementError::Request(format!("the statement is no UTF-8 from byte {} on", error.valid_up_to()))
        })?;
        Ok(Self {
            sql: sql.to_owned(),
            params: None,
            consistency: Consistency::default(),
            partial: None,
            max_rows: None,
            timeout_ms: None,
            numbers: Numbers::default(),
        })
    }

    /// The request, within its limits.
    ///
    /// # Errors
    /// Where a field is beyond them.
    pub fn check(self, call: Call, limits: &Limits) -> Result<Asked, StatementError> {
        let timeout = self.timeout_ms.map_or(limits.statement_time, Duration::from_millis);
        if timeout.is_zero() || timeout > limits.longest_statement_time {
            let longest = limits.longest_statement_time.as_millis();
            return Err(StatementError::Request(format!("timeout_ms must be between 1 and {longest}")));
        }
        if self.max_rows == Some(0) {
            return Err(StatementError::Request("max_rows must be at least 1; LIMIT 0 gives the columns alone".into()));
        }
        let params = self.params.as_deref().map(Params::parse).transpose()?.unwrap_or_default();
        // A format that cannot say in its body that partitions are missing is not given without them unasked.
        let partial = self.partial.unwrap_or(match call.format {
            Format::Json => Partial::Allow,
            Format::Ndjson | Format::Csv | Format::Arrow => Partial::Deny,
        });
        Ok(Asked {
            sql: self.sql,
            params,
            params_text: self.params.map(|params| params.get().to_owned()).unwrap_or_default(),
            consistency: self.consistency,
            partial,
            max_rows: self.max_rows,
            timeout,
            deadline: call.arrived + timeout,
            call,
            numbers: self.numbers,
        })
    }
}

impl Asked {
    /// The statement.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The error of a request whose time is up.
    pub(super) fn late(&self) -> StatementError {
        StatementError::Timeout { millis: self.timeout.as_millis() as u64 }
    }

    /// What is left of its time.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Milliseconds since it arrived.
    pub(super) fn elapsed_ms(&self) -> f64 {
        self.call.arrived.elapsed().as_secs_f64() * 1e3
    }
}
