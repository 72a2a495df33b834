//! Errors as the client sees them: every code with its status in one table, and every operation's error matched to
//! one.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use raftduck_model::{PartitionId, error_chain, limits};
use raftduck_wire::http::{self, media};

mod from;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal $text:literal,)*) => {
        /// What went wrong, as a client's program tells it. Codes never change their meaning.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                let number: u16 = match self { $(Self::$name => $status,)* };
                StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// The code's text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// The request's parts do not hold together.
    BadRequest = 400 "bad_request",
    /// The body does not follow its format.
    BadBody = 400 "bad_body",
    /// The statement cannot be parsed or bound.
    BadStatement = 400 "bad_statement",
    /// A statement or clause that is not served.
    NotSupported = 400 "not_supported",
    /// No token, or one that is not known.
    Unauthorized = 401 "unauthorized",
    /// A token without the role.
    Forbidden = 403 "forbidden",
    /// No such path.
    NotFound = 404 "not_found",
    /// No such table.
    NoSuchTable = 404 "no_such_table",
    /// The path has no such method.
    MethodNotAllowed = 405 "method_not_allowed",
    /// No answer in the media types asked for.
    NotAcceptable = 406 "not_acceptable",
    /// The body did not come in time.
    RequestTimeout = 408 "request_timeout",
    /// A table of the name is there.
    TableExists = 409 "table_exists",
    /// A column of the name is there.
    ColumnExists = 409 "column_exists",
    /// The table was dropped meanwhile.
    TableDropped = 409 "table_dropped",
    /// The body, or what it holds, is beyond a limit.
    TooLarge = 413 "too_large",
    /// The body's media type or encoding is not read.
    UnsupportedMediaType = 415 "unsupported_media_type",
    /// A value that its column does not take.
    BadValue = 422 "bad_value",
    /// A column that the table does not have.
    NoSuchColumn = 422 "no_such_column",
    /// A table that cannot be.
    BadTable = 422 "bad_table",
    /// The key was used for another body.
    KeyReused = 422 "idempotency_key_reused",
    /// Too much is under way: nothing happened.
    Busy = 429 "busy",
    /// A fault of ours.
    Internal = 500 "internal",
    /// Control does not know the cluster yet, or the cluster is none yet.
    NotReady = 503 "not_ready",
    /// A group that is needed has no leader: nothing happened.
    NoLeader = 503 "no_leader",
    /// Some partitions' rows are in and others' are not.
    PartlyWritten = 503 "partly_written",
    /// Partitions did not answer.
    PartitionsMissing = 503 "partitions_missing",
    /// The time was up before the outcome was known.
    OutcomeUnknown = 504 "outcome_unknown",
    /// The statement took longer than it may.
    StatementTimeout = 504 "statement_timeout",
    /// The statement took more memory than it may.
    OutOfMemory = 507 "out_of_memory",
    /// A volume is too full for more rows.
    DiskFull = 507 "disk_full",
}

/// An error on its way to the client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    code: Code,
    retry_after: Option<Duration>,
    allow: Option<String>,
    body: Box<http::Problem>,
}

impl Problem {
    /// A problem of this code; `detail` says what happened, with the offending part.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let status = code.status();
        let body = http::Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: code.as_str().to_owned(),
            detail: detail.into(),
            ..http::Problem::default()
        };
        Self { code, retry_after: None, allow: None, body: Box::new(body) }
    }

    /// A fault of ours: the client is told that, the log is told what.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        let text = error_chain(error);
        tracing::error!(error = %text, "a request failed by a fault of this process");
        Self::new(Code::Internal, format!("the server failed: {text}"))
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    /// Names the offending row, from 1.
    #[must_use]
    pub fn row(mut self, row: u64) -> Self {
        self.body.row = (row > 0).then_some(row);
        self
    }

    /// Names the offending column.
    #[must_use]
    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.body.column = Some(column.into());
        self
    }

    /// Says when to come again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Says which methods the path has.
    #[must_use]
    pub fn allow(mut self, methods: impl Into<String>) -> Self {
        self.allow = Some(methods.into());
        self
    }

    /// Names the partitions whose rows are in, and those whose are not or perhaps not.
    #[must_use]
    pub fn partitions(mut self, written: &[PartitionId], failed: impl IntoIterator<Item = PartitionId>) -> Self {
        self.body.written_partitions = written.iter().map(|partition| partition.0).collect();
        self.body.failed_partitions = failed.into_iter().map(|partition| partition.0).collect();
        self
    }

    /// What went wrong.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The body that is sent.
    pub fn body(&self) -> &http::Problem {
        &self.body
    }

    /// The body is larger than it may be, as it was sent or as it unpacks.
    pub fn too_large(limit: usize, what: &str) -> Self {
        Self::new(Code::TooLarge, format!("{what} has more than {limit} bytes"))
            .hint("send the rows in several requests, each with an Idempotency-Key of its own")
    }

    /// More is under way than there is room for.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::new(Code::Busy, detail).retry_after(Duration::from_secs(1)).hint("nothing was written: send it again")
    }

    /// There is no such table.
    pub fn no_such_table(name: &str) -> Self {
        Self::new(Code::NoSuchTable, format!("there is no table {:?}", shortened(name)))
            .hint("GET /v1/tables lists them; CREATE TABLE, or ?create=true with the rows, makes one")
    }

    /// Control has not heard of the cluster yet.
    pub fn not_ready() -> Self {
        Self::new(Code::NotReady, "no store has told the cluster's map yet")
            .retry_after(Duration::from_secs(1))
            .hint("start the workers, and run `raftduck bootstrap` once for a new cluster")
    }
}

/// What of a name the client sent is said back.
fn shortened(name: &str) -> String {
    let mut text: String = name.chars().take(limits::NAME_BYTES).collect();
    if text.len() < name.len() {
        text.push('…');
    }
    text
}

/// The code of the problem that a response is, for whoever counts it.
#[derive(Clone, Copy, Debug)]
pub struct Told(pub Code);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // It holds text and numbers only, so that writing it cannot fail.
        let text = serde_json::to_vec(&self.body).unwrap_or_default();
        let mut response = (self.code.status(), text).into_response();
        response.extensions_mut().insert(Told(self.code));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media::PROBLEM));
        if let Some(wait) = self.retry_after {
            // The header knows whole seconds.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1000).max(1) as u64));
        }
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

#[cfg(test)]
mod tests;
