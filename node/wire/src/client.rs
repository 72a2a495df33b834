//! A client of control's HTTP API, as the command line, the benchmarks and the tests use it.
//!
//! A write gets one `Idempotency-Key` before its first attempt and keeps it through all of them, so a lost reply is
//! asked for again and never written twice. Statements that may not be repeated blindly (CREATE, DROP, ALTER carry
//! no key) are repeated only where the failure proves that nothing happened.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::http::{
    ClusterAnswer, DdlAnswer, HealthAnswer, Problem, RowsAnswer, SqlAnswer, SqlRequest, TableInfo, TablesAnswer,
    header, media, path,
};

/// How a [`Client`] behaves; [`Default`] suits people and tests alike.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The bearer token, where the server wants one.
    pub token: Option<String>,
    /// Bounds one attempt, from connecting to the reply's last byte.
    pub attempt_timeout: Duration,
    /// How often a failed call is repeated. 0 shows every failure, as a test may want.
    pub retries: usize,
    /// The wait before the first repetition; it doubles, with jitter, up to two seconds.
    pub first_wait: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            token: None,
            // Longer than a statement may take by default, so that the server's reason arrives.
            attempt_timeout: Duration::from_secs(75),
            retries: 8,
            first_wait: Duration::from_millis(50),
        }
    }
}

/// Why a call failed, after its repetitions.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server said what is wrong.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// No reply, or none that was whole: the outcome of a write is unknown, repeat it with its key.
    #[error("no reply from {url}")]
    Transport {
        /// What was called.
        url: String,
        /// What went wrong below.
        #[source]
        source: reqwest::Error,
    },
    /// A reply that is not what the call answers.
    #[error("{url} answered something that is no reply of Raftduck's: {found}")]
    Unreadable {
        /// What was called.
        url: String,
        /// What the reply looked like.
        found: String,
    },
    /// The server's address is no URL.
    #[error("{url:?} is no base address such as http://127.0.0.1:8080")]
    BadAddress {
        /// What was given.
        url: String,
    },
}

impl ClientError {
    /// The server's code, where it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            _ => None,
        }
    }

    /// Nothing happened, so anything may be repeated: the connection failed, or the server turned the call away.
    fn happened_nothing(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status == StatusCode::TOO_MANY_REQUESTS.as_u16(),
            Self::Transport { source, .. } => source.is_connect(),
            Self::Unreadable { .. } | Self::BadAddress { .. } => false,
        }
    }

    /// A later attempt may fare better.
    fn may_pass(&self) -> bool {
        match self {
            Self::Problem(problem) => matches!(problem.status, 429 | 502 | 503 | 504),
            Self::Transport { .. } => true,
            Self::Unreadable { .. } | Self::BadAddress { .. } => false,
        }
    }
}

/// Rows to write, in one of the body formats.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The body; clones share it, so a repetition costs nothing.
    pub body: Bytes,
    /// Its media type, one of [`media`].
    pub content_type: &'static str,
    /// `gzip` or `zstd`, where the body is compressed.
    pub encoding: Option<&'static str>,
}

/// How rows are written.
#[derive(Clone, Debug, Default)]
pub struct RowsOptions {
    /// The idempotency key; made up where absent.
    pub key: Option<String>,
    /// Makes the table, with columns inferred from the rows, if it is not there.
    pub create: bool,
    /// The inferred table's partition key; its first column where absent.
    pub partition_key: Option<String>,
}

/// A handle on one control, or on a Service in front of several; clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    config: ClientConfig,
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:8080`. Connects when first used.
    pub fn new(base: &str, config: ClientConfig) -> Result<Self, ClientError> {
        let bad = || ClientError::BadAddress { url: base.to_owned() };
        let base = Url::parse(base).map_err(|_| bad())?;
        if base.cannot_be_a_base() {
            return Err(bad());
        }
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .timeout(config.attempt_timeout)
            .tcp_nodelay(true)
            .build()
            .map_err(|_| bad())?;
        Ok(Self { http, base, config })
    }

    /// The same server under another token.
    pub fn with_token(&self, token: Option<String>) -> Self {
        Self { config: ClientConfig { token, ..self.config.clone() }, ..self.clone() }
    }

    /// A query's answer, whole.
    pub async fn query(&self, request: &SqlRequest) -> Result<SqlAnswer, ClientError> {
        self.statement(request, None).await
    }

    /// What a CREATE, DROP or ALTER came to.
    pub async fn ddl(&self, sql: &str) -> Result<DdlAnswer, ClientError> {
        self.statement(&SqlRequest::new(sql), None).await
    }

    /// What an INSERT came to; `key` is made up where absent.
    pub async fn insert_sql(&self, request: &SqlRequest, key: Option<&str>) -> Result<RowsAnswer, ClientError> {
        let key = key.map_or_else(new_key, str::to_owned);
        self.statement(request, Some(&key)).await
    }

    /// Any statement's reply, to be read as `T`.
    pub async fn statement<T: DeserializeOwned>(
        &self,
        request: &SqlRequest,
        key: Option<&str>,
    ) -> Result<T, ClientError> {
        let repeatable = key.is_some() || reads(&request.sql);
        self.retrying(repeatable, || async {
            let mut call = self.call(self.http.post(self.url(path::SQL)), media::JSON).json(request);
            if let Some(key) = key {
                call = call.header(header::IDEMPOTENCY_KEY, key);
            }
            json(send(call).await?).await
        })
        .await
    }

    /// A query's reply as it comes, in the media type asked for; one attempt.
    pub async fn stream(&self, request: &SqlRequest, accept: &str) -> Result<Response, ClientError> {
        send(self.call(self.http.post(self.url(path::SQL)), accept).json(request)).await
    }

    /// A query's reply in the media type asked for, whole.
    pub async fn bytes(&self, request: &SqlRequest, accept: &str) -> Result<Bytes, ClientError> {
        self.retrying(reads(&request.sql), || async {
            let response = self.stream(request, accept).await?;
            let url = response.url().to_string();
            response.bytes().await.map_err(|source| ClientError::Transport { url, source })
        })
        .await
    }

    /// Writes rows.
    pub async fn insert(&self, table: &str, rows: &Rows, options: &RowsOptions) -> Result<RowsAnswer, ClientError> {
        let key = options.key.clone().unwrap_or_else(new_key);
        self.retrying(true, || async {
            let mut call = self
                .call(self.http.post(self.table_url(table, Some("rows"))), media::JSON)
                .header(reqwest::header::CONTENT_TYPE, rows.content_type)
                .header(header::IDEMPOTENCY_KEY, &key)
                .body(rows.body.clone());
            if let Some(encoding) = rows.encoding {
                call = call.header(reqwest::header::CONTENT_ENCODING, encoding);
            }
            if options.create {
                call = call.query(&[("create", "true")]);
            }
            if let Some(column) = &options.partition_key {
                call = call.query(&[("partition_key", column)]);
            }
            json(send(call).await?).await
        })
        .await
    }

    /// All tables.
    pub async fn tables(&self) -> Result<TablesAnswer, ClientError> {
        self.get(self.url(path::TABLES)).await
    }

    /// One table, with its row count.
    pub async fn table(&self, name: &str) -> Result<TableInfo, ClientError> {
        self.get(self.table_url(name, None)).await
    }

    /// Stores, map and leaders.
    pub async fn cluster(&self) -> Result<ClusterAnswer, ClientError> {
        self.get(self.url(path::CLUSTER)).await
    }

    /// Health in words.
    pub async fn health(&self) -> Result<HealthAnswer, ClientError> {
        self.get(self.url(path::HEALTH)).await
    }

    /// Whether control can serve; one attempt.
    pub async fn ready(&self) -> bool {
        send(self.http.get(self.url(path::READYZ))).await.is_ok()
    }

    /// Prometheus' text.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let response = send(self.call(self.http.get(self.url(path::METRICS)), "text/plain")).await?;
        let url = response.url().to_string();
        response.text().await.map_err(|source| ClientError::Transport { url, source })
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, ClientError> {
        self.retrying(true, || async { json(send(self.call(self.http.get(url.clone()), media::JSON)).await?).await })
            .await
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    /// A table's address: its name is one path segment, whatever characters it has.
    fn table_url(&self, table: &str, below: Option<&str>) -> Url {
        let mut url = self.url(path::TABLES);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(table).extend(below);
        }
        url
    }

    fn call(&self, call: RequestBuilder, accept: &str) -> RequestBuilder {
        let call = call.header(reqwest::header::ACCEPT, accept);
        match &self.config.token {
            Some(token) => call.bearer_auth(token),
            None => call,
        }
    }

    async fn retrying<T, F>(&self, repeatable: bool, attempt: impl FnMut() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let waits = ExponentialBuilder::new()
            .with_min_delay(self.config.first_wait)
            .with_max_delay(Duration::from_secs(2))
            .with_max_times(self.config.retries)
            .with_jitter();
        attempt.retry(waits).when(|error| if repeatable { error.may_pass() } else { error.happened_nothing() }).await
    }
}

/// A key that nobody else uses.
fn new_key() -> String {
    Uuid::now_v7().to_string()
}

/// Whether the statement only reads. A statement that is not recognised counts as writing.
fn reads(sql: &str) -> bool {
    let start = sql.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    let word = start.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    ["select", "with", "from", "explain", "values", "describe", "show"]
        .iter()
        .any(|head| word.eq_ignore_ascii_case(head))
}

async fn send(call: RequestBuilder) -> Result<Response, ClientError> {
    let response = call.send().await.map_err(|source| ClientError::Transport {
        url: source.url().map(ToString::to_string).unwrap_or_default(),
        source,
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let url = response.url().to_string();
    let body = response.bytes().await.map_err(|source| ClientError::Transport { url: url.clone(), source })?;
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
        Err(_) => Err(ClientError::Unreadable { url, found: format!("HTTP {status}: {}", excerpt(&body)) }),
    }
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T, ClientError> {
    let url = response.url().to_string();
    let body = response.bytes().await.map_err(|source| ClientError::Transport { url: url.clone(), source })?;
    serde_json::from_slice(&body)
        .map_err(|error| ClientError::Unreadable { url, found: format!("{error}: {}", excerpt(&body)) })
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body.get(..200).unwrap_or(body)).into_owned()
}

#[cfg(test)]
mod tests;
