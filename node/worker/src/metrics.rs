//! The worker's metrics. Everything counted is counted where it happens; a scrape reads it there.

use prometheus::{CounterVec, GaugeVec, Opts, Registry, TextEncoder};
use raftduck_consensus::Role;
use raftduck_model::LogIndex;
use raftduck_wire::metric::{Definition, Kind};

use crate::config::WorkerConfig;
use crate::hosted::Hosted;
use crate::member::Member;

const GROUP: &[&str] = &["group"];
const NONE: &[&str] = &[];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition { name, kind: Kind::Gauge, labels, help }
}

const UP: Definition = gauge("raftduck_node_up", NONE, "1 while the process serves.");
const LEADERS: Definition = gauge("raftduck_node_leaders", NONE, "Groups this store leads and takes writes for.");
const STORAGE: Definition = gauge("raftduck_storage_bytes", &["part"], "Bytes on the volume: `log` or `rows`.");
const TERM: Definition = gauge("raft_current_term", GROUP, "The group's term, as this replica knows it.");
const COMMIT: Definition = gauge("raft_commit_index", GROUP, "The last index this replica knows to be committed.");
const APPLIED: Definition = gauge("raft_last_applied", GROUP, "The last index applied to the rows.");
const LENGTH: Definition = gauge("raft_log_length", GROUP, "Entries kept in the log.");
const STATE: Definition = gauge("raft_state", GROUP, "0 learner, 1 follower, 2 candidate, 3 leader.");
const LAG: Definition = gauge(
    "raft_follower_lag_entries",
    &["group", "replica"],
    "On the leader: entries a follower has not confirmed yet.",
);
const PROPOSED: Definition = counter("raft_proposals_total", GROUP, "Entries proposed here.");
const PROPOSED_OK: Definition = counter("raft_proposals_committed_total", GROUP, "Proposals that were committed.");
const PROPOSED_BAD: Definition = counter(
    "raft_proposals_failed_total",
    GROUP,
    "Proposals refused, or with an outcome that this replica did not learn.",
);
const ELECTIONS: Definition = counter("raft_elections_total", GROUP, "Leaders this replica saw elected.");
const COMMIT_SECONDS: Definition = counter(
    "raft_commit_seconds_total",
    GROUP,
    "Time from proposal to commit, summed over `raft_proposals_committed_total`.",
);
const APPLY_SECONDS: Definition =
    counter("raft_apply_seconds_total", GROUP, "Time in applying, summed over `raft_apply_batches_total`.");
const APPLY_BATCHES: Definition = counter("raft_apply_batches_total", GROUP, "Batches of entries applied.");
const FRAMES: Definition = counter(
    "raftduck_peer_frames_total",
    NONE,
    "Raft's requests sent to other stores: heartbeats, entries, votes, pieces of snapshots.",
);
const LOG_SYNCS: Definition = counter("raftduck_log_syncs_total", NONE, "Syncs of the log.");
const LOG_SYNC_SECONDS: Definition = counter("raftduck_log_sync_seconds_total", NONE, "Time in syncs of the log.");
const LOG_QUEUE: Definition = gauge("raftduck_log_queue_bytes", NONE, "Bytes that wait to be written to the log.");
const APPLY_QUEUE: Definition = gauge("raftduck_apply_queue_bytes", NONE, "Bytes that wait to be applied.");
const UNAPPLIED: Definition = gauge(
    "raftduck_unapplied_bytes",
    NONE,
    "Bytes of rows admitted here and not applied yet; clients wait above 64 MiB.",
);
const ROWS: Definition = counter("raftduck_rows_applied_total", NONE, "Rows applied, of all replicas here.");
const TRANSACTIONS: Definition = counter("raftduck_apply_transactions_total", NONE, "DuckDB transactions of apply.");
const CHECKPOINTS: Definition = counter("raftduck_checkpoints_total", NONE, "Checkpoints.");
const CHECKPOINT_SECONDS: Definition = counter("raftduck_checkpoint_seconds_total", NONE, "Time in checkpoints.");
const QUERIES: Definition = gauge("raftduck_queries_running", NONE, "Statements that run on this store now.");

/// Every metric of a worker.
pub const DEFINITIONS: &[Definition] = &[
    UP,
    LEADERS,
    STORAGE,
    TERM,
    COMMIT,
    APPLIED,
    LENGTH,
    STATE,
    LAG,
    PROPOSED,
    PROPOSED_OK,
    PROPOSED_BAD,
    ELECTIONS,
    COMMIT_SECONDS,
    APPLY_SECONDS,
    APPLY_BATCHES,
    FRAMES,
    LOG_SYNCS,
    LOG_SYNC_SECONDS,
    LOG_QUEUE,
    APPLY_QUEUE,
    UNAPPLIED,
    ROWS,
    TRANSACTIONS,
    CHECKPOINTS,
    CHECKPOINT_SECONDS,
    QUERIES,
];

/// The metrics now, in Prometheus' text format.
///
/// # Errors
/// Where a definition above is none that Prometheus takes.
pub fn text(member: Option<&Member>) -> prometheus::Result<String> {
    // Lives for one scrape: nothing is kept of a group that has left.
    let registry = Registry::new();
    let mut samples = vec![Sample::new(UP, [], 1.0)];
    if let Some(member) = member {
        store(member, &mut samples);
        for hosted in member.hosted() {
            group(&hosted, &mut samples);
        }
    }
    for definition in DEFINITIONS {
        let values = samples.iter().filter(|sample| sample.definition == *definition);
        let opts = Opts::new(definition.name, definition.help);
        match definition.kind {
            Kind::Counter => {
                let metric = CounterVec::new(opts, definition.labels)?;
                for sample in values {
                    metric.get_metric_with_label_values(&sample.labels)?.inc_by(sample.value);
                }
                registry.register(Box::new(metric))?;
            }
            Kind::Gauge | Kind::Histogram => {
                let metric = GaugeVec::new(opts, definition.labels)?;
                for sample in values {
                    metric.get_metric_with_label_values(&sample.labels)?.set(sample.value);
                }
                registry.register(Box::new(metric))?;
            }
        }
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

struct Sample {
    definition: Definition,
    labels: Vec<String>,
    value: f64,
}

impl Sample {
    fn new<const LABELS: usize>(definition: Definition, labels: [&str; LABELS], value: f64) -> Self {
        Self { definition, labels: labels.map(str::to_owned).to_vec(), value }
    }
}

fn store(member: &Member, samples: &mut Vec<Sample>) {
    let (log, rows) = (member.wal.stats(), member.engine.stats());
    let unapplied = WorkerConfig::UNAPPLIED_BYTES.saturating_sub(member.unapplied.available_permits() * 1024);
    let leaders = member.hosted().iter().filter(|hosted| hosted.is_ready()).count();
    let values = [
        (LEADERS, leaders as f64),
        (FRAMES, member.host.frames_sent() as f64),
        (LOG_SYNCS, log.syncs as f64),
        (LOG_SYNC_SECONDS, seconds(log.sync_micros)),
        (LOG_QUEUE, log.queue_bytes as f64),
        (APPLY_QUEUE, rows.queued_bytes as f64),
        (UNAPPLIED, unapplied as f64),
        (ROWS, rows.rows as f64),
        (TRANSACTIONS, rows.transactions as f64),
        (CHECKPOINTS, rows.checkpoints as f64),
        (CHECKPOINT_SECONDS, seconds(rows.checkpoint_micros)),
        (QUERIES, rows.running_queries as f64),
    ];
    samples.extend(values.map(|(definition, value)| Sample::new(definition, [], value)));
    samples.push(Sample::new(STORAGE, ["log"], log.disk_bytes as f64));
    samples.push(Sample::new(STORAGE, ["rows"], rows.file_bytes as f64));
}

fn group(hosted: &Hosted, samples: &mut Vec<Sample>) {
    let id = hosted.id().to_string();
    let status = hosted.group.status();
    let status = status.borrow();
    let totals = hosted.group.totals();
    let state = match status.role {
        Role::Learner => 0.0,
        Role::Follower => 1.0,
        Role::Candidate => 2.0,
        Role::Leader => 3.0,
    };
    let values = [
        (TERM, status.term as f64),
        (COMMIT, index(status.committed)),
        (APPLIED, index(status.applied)),
        (LENGTH, entries(status.last, status.purged) as f64),
        (STATE, state),
        (PROPOSED, totals.proposed as f64),
        (PROPOSED_OK, totals.committed as f64),
        (PROPOSED_BAD, totals.failed as f64),
        (ELECTIONS, totals.elections as f64),
        (COMMIT_SECONDS, seconds(totals.commit_micros)),
        (APPLY_SECONDS, seconds(totals.apply_micros)),
        (APPLY_BATCHES, totals.batches as f64),
    ];
    samples.extend(values.map(|(definition, value)| Sample::new(definition, [&id], value)));
    for follower in &status.followers {
        let lag = entries(status.last, follower.matched);
        samples.push(Sample::new(LAG, [&id, &follower.replica.id.to_string()], lag as f64));
    }
}

/// An index as a value; -1 before the first entry, whose index is 0.
fn index(index: Option<LogIndex>) -> f64 {
    index.map_or(-1.0, |index| index.0 as f64)
}

/// How many entries `last` is beyond `first`.
fn entries(last: Option<LogIndex>, first: Option<LogIndex>) -> u64 {
    let next = |index: Option<LogIndex>| index.map_or(0, |index| index.0 + 1);
    next(last).saturating_sub(next(first))
}

/// Prometheus' unit of time. A double counts microseconds exactly for 285 years.
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_is_one_that_prometheus_takes() {
        let text = text(None).unwrap();
        assert!(text.contains("raftduck_node_up 1"), "{text}");
    }

    #[test]
    fn no_name_is_defined_twice() {
        let mut names: Vec<_> = DEFINITIONS.iter().map(|definition| definition.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DEFINITIONS.len());
    }
}
