//! What a control is told, and what it may take.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use raftduck_model::limits;
use raftduck_wire::credential::Credential;

/// What a control is told when it starts.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Where to listen for clients.
    pub listen: SocketAddr,
    /// Where to serve `/metrics` without a token, for scrapers inside the cluster.
    pub metrics_listen: Option<SocketAddr>,
    /// Some of the stores, `host:port`; the others are learnt from them.
    pub stores: Vec<String>,
    /// A token of the role `admin`.
    pub token: Option<String>,
    /// A file of tokens, see [`crate::auth`]; read again when it changes. Without it and without `token` everybody
    /// may do anything.
    pub tokens_file: Option<PathBuf>,
    /// What the cluster's stores and controls share.
    pub credential: Credential,
    /// What statements may take here, in bytes: those whose rows are brought together, and those that no store may run.
    pub memory_bytes: u64,
    /// Threads for such statements.
    pub threads: usize,
    /// The bounds of requests.
    pub limits: Limits,
    /// The newest level that this release knows: [`raftduck_model::meta::LEVEL`], but in a rehearsal of an upgrade.
    pub level: u32,
}

/// The bounds of requests. [`Default`] is what is documented; tests take less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// A body as sent.
    pub body_bytes: usize,
    /// A body after decompression.
    pub inflated_bytes: usize,
    /// All bodies and their rows that are in memory at once; who comes then is told to come again.
    pub bodies_bytes: usize,
    /// Connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// From a request's first byte to the end of its head.
    pub head_time: Duration,
    /// For the whole body.
    pub body_time: Duration,
    /// Between two bytes that a client takes of its answer.
    pub write_time: Duration,
    /// For a write, from its last byte to its answer.
    pub append_time: Duration,
    /// For a statement, where it does not ask for less or more.
    pub statement_time: Duration,
    /// What a statement may ask for at the most.
    pub longest_statement_time: Duration,
    /// How long open requests may go on after the process was told to end.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: limits::BODY_BYTES,
            inflated_bytes: limits::INFLATED_BODY_BYTES,
            bodies_bytes: 2 * limits::INFLATED_BODY_BYTES,
            connections: 1024,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(60),
            write_time: Duration::from_secs(30),
            append_time: Duration::from_secs(30),
            statement_time: Duration::from_secs(60),
            longest_statement_time: Duration::from_secs(600),
            drain_time: Duration::from_secs(10),
        }
    }
}
