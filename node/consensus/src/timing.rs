//! Raft's clocks, and the sums behind them.
//!
//! Writes stop for `election_max` (a follower grants nobody a vote while the dead leader's lease
//! may hold) + a random part of `election_min..election_max` + one vote round (a sync): with the
//! defaults 0.6 to 0.7 s plus the vote, which waits behind whatever sync is under way. A follower
//! misses at least two heartbeats in a row before it stands for election (`election_max` / (`heartbeat`
//! + its tick of a fifth) > 3), so a 200 ms stall of a busy core starts none.

use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

/// How fast a store's groups notice, elect and give up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Between a leader's heartbeats, and how long each may take.
    pub heartbeat: Duration,
    /// The least random wait before an election; also how long a vote may take.
    pub election_min: Duration,
    /// The greatest; also the leader's lease.
    pub election_max: Duration,
    /// How long a leader without a quorum is silent, so that others can elect, before it tries
    /// again. At least twice `election_max`.
    pub quorum_loss_probe: Duration,
    /// How long a TCP connection and the stream on it may take each.
    pub connect: Duration,
    /// Between attempts at a store that does not listen.
    pub reconnect: Duration,
    /// How often an idle connection is probed.
    pub keepalive: Duration,
    /// How long the answer to a probe may take before the connection is given up.
    pub keepalive_answer: Duration,
    /// How long a follower may leave entries unanswered before its stream is given up.
    pub append_answer: Duration,
    /// How long a follower may leave a snapshot's pieces unanswered.
    pub snapshot_answer: Duration,
    /// How long installing a snapshot may take.
    pub snapshot_install: Duration,
    /// Snapshot bytes sent per second, so that entries and queries have the disk and the network too.
    pub snapshot_bytes_per_second: u64,
}

impl Default for Timing {
    fn default() -> Self {
        let election_max = Duration::from_millis(350);
        Self {
            heartbeat: Duration::from_millis(75),
            election_min: Duration::from_millis(250),
            election_max,
            quorum_loss_probe: 4 * election_max,
            connect: Duration::from_millis(200),
            reconnect: Duration::from_millis(30),
            keepalive: Duration::from_secs(1),
            keepalive_answer: Duration::from_secs(2),
            append_answer: Duration::from_secs(3),
            snapshot_answer: Duration::from_secs(10),
            snapshot_install: Duration::from_secs(600),
            snapshot_bytes_per_second: 128 << 20,
        }
    }
}

/// Clocks that contradict each other.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the timing makes no sense: {0}")]
pub struct TimingError(String);

impl Timing {
    /// Openraft's configuration.
    pub(crate) fn config(&self, cluster: &str) -> Result<Config, TimingError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Config {
            cluster_name: cluster.to_owned(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election_min),
            election_timeout_max: millis(self.election_max),
            quorum_loss_probe_interval: Some(millis(self.quorum_loss_probe)),
            enable_pre_vote: Some(true),
            // A store whose machine lags behind its log must not lead before it has caught up.
            enable_leader_restore: Some(false),
            install_snapshot_timeout: millis(self.snapshot_install),
            // Snapshots are made when a follower asks, and the log is purged when we say so.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            replication_lag_threshold: u64::MAX,
            // Bytes bound a frame (see `storage`), entries hardly ever do.
            max_payload_entries: 4096,
            // An item is a range of indexes, so this many cost nothing; a state machine that lags
            // must not block the core, which would stop its heartbeats.
            state_machine_channel_size: Some(1 << 16),
            backoff: "30ms 60ms 120ms 240ms ...500ms".to_owned(),
            ..Config::default()
        }
        .validate()
        .map_err(|error| TimingError(error.to_string()))
    }
}
