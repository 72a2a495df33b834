//! The one thread that writes what was applied into the file for good.
//!
//! Appends to a table wait while a checkpoint writes that table, in proportion to what no
//! checkpoint holds yet, so it runs early and often. Only apply notices.

use std::sync::Arc;
use std::time::{Duration, Instant};

use duckdb::Connection;
use parking_lot::{Condvar, Mutex};
use raftduck_model::{LogId, PartitionId};
use tokio::sync::watch;

use crate::fault::Fault;
use crate::options::StoreOptions;
use crate::state::Partition;
use crate::store::Shared;

/// Why a checkpoint that was asked for did not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store has halted or is closed before its checkpoint")]
pub struct CheckpointError;

/// What is applied and in no checkpoint, and who asks for one.
pub(crate) struct Checkpoints {
    due: Mutex<Due>,
    changed: Condvar,
    /// How many requests are answered.
    answered: watch::Sender<u64>,
}

#[derive(Default)]
struct Due {
    bytes: u64,
    rows: u64,
    since: Option<Instant>,
    requests: u64,
    stop: bool,
}

impl Checkpoints {
    pub fn new() -> Self {
        Self { due: Mutex::default(), changed: Condvar::new(), answered: watch::Sender::new(0) }
    }

    /// The apply thread has committed this much.
    pub fn note(&self, bytes: u64, rows: u64) {
        let mut due = self.due.lock();
        due.bytes += bytes;
        due.rows += rows;
        due.since.get_or_insert_with(Instant::now);
        self.changed.notify_one();
    }

    /// Bytes that no checkpoint holds.
    pub fn unchecked_bytes(&self) -> u64 {
        self.due.lock().bytes
    }

    /// A checkpoint that begins after this call; returns when it has ended.
    pub async fn request(&self) -> Result<(), CheckpointError> {
        let mut answered = self.answered.subscribe();
        let request = {
            let mut due = self.due.lock();
            if due.stop {
                return Err(CheckpointError);
            }
            due.requests += 1;
            due.requests
        };
        self.changed.notify_one();
        match answered.wait_for(|answered| *answered >= request).await {
            Ok(answered) if *answered != u64::MAX => Ok(()),
            _ => Err(CheckpointError),
        }
    }

    /// Ends the thread after a last checkpoint of what is due; none after a halt.
    pub fn stop(&self) {
        self.due.lock().stop = true;
        self.changed.notify_one();
    }

    /// Waits until a checkpoint is due. None when the thread is to end and nothing is due.
    fn wait(&self, options: &StoreOptions) -> Option<u64> {
        let mut due = self.due.lock();
        loop {
            let age = due.since.map(|since| since.elapsed());
            let now = due.bytes >= options.checkpoint_bytes
                || due.rows >= options.checkpoint_rows
                || age.is_some_and(|age| age >= options.checkpoint_age)
                || due.requests > *self.answered.borrow()
                || (due.stop && due.since.is_some());
            if now {
                (due.bytes, due.rows, due.since) = (0, 0, None);
                return Some(due.requests);
            }
            if due.stop {
                return None;
            }
            let left = age.map_or(Duration::from_secs(3_600), |age| options.checkpoint_age.saturating_sub(age));
            self.changed.wait_for(&mut due, left);
        }
    }
}

/// What DuckDB says, having changed nothing, where a checkpoint cannot begin yet.
///
/// A committed transaction that made or changed a table keeps its share of DuckDB's checkpoint lock
/// until every query and export that began before it has ended (`recently_committed_transactions` in
/// its `duck_transaction_manager.cpp`). Rows that are only appended keep nothing.
const BUSY: &str = "Cannot CHECKPOINT: there are other write transactions active";
/// Between two tries of a checkpoint that cannot begin yet.
const PAUSE: Duration = Duration::from_millis(20);
/// By how much the wait for readers may outlast the longest of them.
const MARGIN: Duration = Duration::from_secs(60);

/// The thread's body.
pub(crate) fn run(shared: &Arc<Shared>, connection: &Connection) {
    while let Some(requests) = shared.checkpoints.wait(&shared.options) {
        match checkpoint(shared, connection) {
            Ok(Outcome::Written) => _ = shared.checkpoints.answered.send_replace(requests),
            Ok(Outcome::Halted) => break,
            Err(fault) => {
                // DuckDB invalidates a database whose checkpoint failed. The Raft logs hold all that
                // the file lacks, so the process ends and applies it again from the last good state.
                shared.halt(&format!("a checkpoint failed, restart the process to recover from the log: {fault}"));
                break;
            }
        }
    }
    shared.checkpoints.due.lock().stop = true;
    shared.checkpoints.answered.send_replace(u64::MAX);
}

enum Outcome {
    Written,
    Halted,
}

/// Tries until the readers that keep the checkpoint from beginning have ended, as all do.
fn checkpoint(shared: &Shared, connection: &Connection) -> Result<Outcome, Fault> {
    let begun = Instant::now();
    let patience = shared.options.longest_query.max(shared.options.longest_export) + MARGIN;
    while !shared.is_halted() {
        match attempt(shared, connection) {
            Ok(took) => {
                shared.stats.checkpointed(took);
                tracing::debug!(millis = took.as_millis() as u64, "checkpoint written");
                return Ok(Outcome::Written);
            }
            Err(fault) if fault.to_string().contains(BUSY) && begun.elapsed() < patience => std::thread::sleep(PAUSE),
            Err(fault) => return Err(fault),
        }
    }
    Ok(Outcome::Halted)
}

fn attempt(shared: &Shared, connection: &Connection) -> Result<Duration, Fault> {
    let _no_schema_changes = shared.structure.lock();
    let begun = Instant::now();
    // Read before the checkpoint begins: what it holds beyond is a gift that is not counted on.
    let applied: Vec<(PartitionId, Partition, Option<LogId>)> = shared
        .partitions
        .all()
        .into_iter()
        .map(|(id, partition)| {
            let last = partition.0.applied.borrow().last;
            (id, partition, last)
        })
        .collect();
    connection.execute_batch("CHECKPOINT store")?;
    for (_, partition, last) in applied {
        partition.0.checkpointed.send_replace(last);
    }
    Ok(begun.elapsed())
}
