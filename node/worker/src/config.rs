//! What a worker needs to be told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use raftduck_consensus::Timing;
use raftduck_wire::credential::Credential;

/// A worker's options, already checked for sense by whoever read them.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The volume: everything this store keeps is below it.
    pub data: PathBuf,
    /// Where gRPC, probes, metrics and the admin endpoints are served.
    pub listen: SocketAddr,
    /// How the other processes reach `listen`: `host:port`, a DNS name rather than an address.
    pub advertise: String,
    /// Stores of the cluster, `host:port` each, that take this one in where its volume is empty.
    pub join: Vec<String>,
    /// How long a store may be silent before its replicas are made anew elsewhere.
    pub replace_after: Duration,
    /// What every call between the cluster's processes carries.
    pub credential: Credential,
    /// DuckDB's share of the memory, in bytes; the log's cache and what is on its way come on top,
    /// see [`WorkerConfig::LOG_CACHE_BYTES`] and [`WorkerConfig::UNAPPLIED_BYTES`].
    pub memory_bytes: u64,
    /// Threads of DuckDB's queries.
    pub threads: usize,
    /// How far DuckDB's spill may grow, in bytes.
    pub spill_bytes: u64,
    /// The log's size on disk at which a replica that is away is given up: it gets a snapshot.
    pub log_bytes: u64,
    /// Raft's clocks.
    pub timing: Timing,
    /// The newest level that this release knows: [`raftduck_model::meta::LEVEL`], but in a rehearsal of an upgrade.
    pub level: u32,
}

impl WorkerConfig {
    /// Recent log entries held in memory, of all groups together.
    pub const LOG_CACHE_BYTES: usize = 64 << 20;
    /// Rows that were proposed here and are not applied yet. Beyond it clients are told to wait.
    pub const UNAPPLIED_BYTES: usize = 64 << 20;
    /// Rows under way to one statement's reader.
    pub const ANSWER_BYTES: usize = 8 << 20;
}
