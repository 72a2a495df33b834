//! The one thread that applies every partition's committed entries.
//!
//! It takes all that waits, of all partitions, into one DuckDB transaction: the cost is the
//! transaction's (1.3 ms), not the entry's. Entries that change tables have a transaction of their
//! own, at their place in the order.

mod whole;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use duckdb::Connection;
use raftduck_model::{Command, CommandBody, LogId, LogIndex, PartitionId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::catalog::Catalog;
use crate::decode::{self, Wanted};
use crate::entry::{ApplyBatch, Done, EngineEntry, EntryKind};
use crate::fault::Fault;
use crate::plan::{self, Before, Plan, Read};
use crate::reply::ApplyOutcome;
use crate::snapshot::InstallError;
use crate::snapshot::install::Verified;
use crate::state::Partition;
use crate::store::Shared;
use crate::structure;
use crate::system;
use crate::write;

/// What the apply thread is asked for. Dropping one unanswered tells whoever waits that the store
/// has halted.
pub(crate) enum Job {
    Apply { batch: ApplyBatch, bytes: usize, room: OwnedSemaphorePermit, since: Instant, finished: oneshot::Sender<()> },
    Install { part: PartitionId, snapshot: Box<Verified>, finished: oneshot::Sender<Result<(), InstallError>> },
    Remove { part: PartitionId, finished: oneshot::Sender<()> },
    Stop,
}

/// How often an apply that ran out of memory is tried again, and how long it waits each time:
/// interrupted queries let go of their memory within milliseconds.
const MEMORY_TRIES: u32 = 200;
const MEMORY_WAIT: Duration = Duration::from_millis(50);

/// Rows of the system tables that newer ones have replaced, at which they are deleted: often enough
/// that reading past them costs nothing, seldom enough that deleting does not either.
const PRUNE_AT: usize = 8_192;

/// The highest index that a log's first entry has.
const FIRST: u64 = 1;

/// The apply thread's own state.
pub(crate) struct Applier {
    connection: Connection,
    catalog: Catalog,
    shared: Arc<Shared>,
    /// Transactions, and keys forgotten, since the system tables were last pruned.
    stale: usize,
    /// Partitions that were removed since the store was opened: entries of theirs may still come.
    removed: BTreeSet<PartitionId>,
}

struct Waiting {
    part: PartitionId,
    entry: EngineEntry,
}

impl Applier {
    pub fn new(connection: Connection, catalog: Catalog, shared: Arc<Shared>) -> Self {
        Self { connection, catalog, shared, stale: 0, removed: BTreeSet::new() }
    }

    /// Runs until it is told to stop or the store halts.
    pub fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| jobs.recv().ok()) {
            match job {
                Job::Stop => break,
                Job::Install { part, snapshot, finished } => match self.install(part, &snapshot) {
                    // Whoever asked may have gone away; it is installed all the same.
                    Ok(outcome) => drop(finished.send(outcome)),
                    Err(fault) => {
                        self.shared.halt(&format!("installing a snapshot failed: {fault}"));
                        break;
                    }
                },
                Job::Remove { part, finished } => match self.remove(part) {
                    // Whoever asked may have gone away; it is removed all the same.
                    Ok(()) => drop(finished.send(())),
                    Err(fault) => {
                        self.shared.halt(&format!("removing partition {part} failed: {fault}"));
                        break;
                    }
                },
                first @ Job::Apply { .. } => {
                    if !self.drain(first, jobs, &mut next) {
                        break;
                    }
                }
            }
        }
    }

    /// Applies this job and whatever else waits, up to one transaction's bytes. A job that must
    /// stand alone is left in `next`. False if the store has halted.
    fn drain(&mut self, first: Job, jobs: &mpsc::Receiver<Job>, next: &mut Option<Job>) -> bool {
        let mut total = 0;
        let mut waiting = Vec::new();
        let mut answers = Vec::new();
        let mut job = Some(first);
        while let Some(taken) = job.take() {
            let Job::Apply { batch, bytes, room, since, finished } = taken else {
                *next = Some(taken);
                break;
            };
            total += bytes;
            waiting.extend(batch.entries.into_iter().map(|entry| Waiting { part: batch.partition, entry }));
            answers.push((finished, room, since));
            if total < self.shared.options.transaction_bytes {
                job = jobs.try_recv().ok();
            }
        }
        if let Err(fault) = self.apply(waiting).and_then(|()| self.prune()) {
            // Before the answers go, so that whoever waits is told why.
            self.shared.halt(&format!("applying failed: {fault}"));
            return false;
        }
        for (finished, room, since) in answers {
            self.shared.stats.applied_batch(since.elapsed());
            drop(room);
            // Whoever asked may have gone away; the entries are applied all the same.
            let _ = finished.send(());
        }
        true
    }

    /// Deletes the system tables' rows that newer ones have replaced, once they are many.
    fn prune(&mut self) -> Result<(), Fault> {
        if self.stale < PRUNE_AT {
            return Ok(());
        }
        self.stale = 0;
        let oldest: Vec<_> = self
            .shared
            .partitions
            .all()
            .into_iter()
            .map(|(id, part)| {
                let all_gone = LogIndex(part.0.applied.borrow().index().0 + 1);
                (id, part.0.keys.lock().oldest_index().unwrap_or(all_gone))
            })
            .collect();
        self.patiently(|connection, _| system::prune(connection, &oldest))
    }

    fn apply(&mut self, waiting: Vec<Waiting>) -> Result<(), Fault> {
        let mut reads = Vec::new();
        let mut dones = Vec::new();
        let mut last: HashMap<PartitionId, Option<LogId>> = HashMap::new();
        for Waiting { part, entry: EngineEntry { id, kind, done } } in waiting {
            let last = last.entry(part).or_insert_with(|| self.shared.partitions.get(part).applied().last);
            match *last {
                Some(applied) if id.index <= applied.index => {
                    answer(done, ApplyOutcome::AppliedBefore);
                    continue;
                }
                Some(applied) if id.index != applied.index + 1 => {
                    let text = format!("entry {id} of partition {part} came after {applied}: entries are missing");
                    return Err(Fault::Storage(text));
                }
                None if id.index > FIRST && self.removed.contains(&part) => {
                    tracing::warn!(%part, entry = %id, "an entry came after its partition was removed");
                    continue;
                }
                None if id.index > FIRST => {
                    let text = format!("entry {id} is the first of partition {part}: entries are missing");
                    return Err(Fault::Storage(text));
                }
                _ => *last = Some(id),
            }
            let wanted = match kind {
                EntryKind::Blank => Wanted::Nothing,
                EntryKind::Membership(bytes) => Wanted::Membership(bytes),
                EntryKind::Command(bytes) => {
                    let command = Command::decode(bytes).map_err(|error| {
                        Fault::Storage(format!("entry {id} of partition {part} is not for this build: {error}"))
                    })?;
                    match command.body {
                        CommandBody::Append(append) => decode::rows(&self.catalog, part, append, command.time),
                        CommandBody::SetSchema(table) => {
                            self.commit(&mut reads, &mut dones)?;
                            let read = Read { part, id, wanted: Wanted::Timed(command.time) };
                            let outcome = self.restructure(read, |connection, catalog| {
                                structure::set_schema(connection, catalog, part, &table)
                            })?;
                            answer(done, outcome);
                            continue;
                        }
                        CommandBody::DropTable(table) => {
                            self.commit(&mut reads, &mut dones)?;
                            let read = Read { part, id, wanted: Wanted::Timed(command.time) };
                            let outcome = self.restructure(read, |connection, catalog| {
                                structure::drop_table(connection, catalog, part, table)
                            })?;
                            answer(done, outcome);
                            continue;
                        }
                    }
                }
            };
            reads.push(Read { part, id, wanted });
            dones.push(done);
        }
        self.commit(&mut reads, &mut dones)
    }

    /// Applies what was read, in one transaction if that can be.
    fn commit(&mut self, reads: &mut Vec<Read>, dones: &mut Vec<Option<Done>>) -> Result<(), Fault> {
        if reads.is_empty() {
            return Ok(());
        }
        let mut reads = std::mem::take(reads);
        let dones = std::mem::take(dones);
        let outcomes = match self.try_commit(&reads) {
            Ok(outcomes) => outcomes,
            Err(Fault::Statement(reason)) => {
                tracing::warn!(%reason, entries = reads.len(), "a transaction failed, applying its entries one by one");
                let mut outcomes = Vec::with_capacity(reads.len());
                for read in &mut reads {
                    outcomes.extend(self.commit_alone(read)?);
                }
                outcomes
            }
            Err(fault) => return Err(fault),
        };
        for (done, outcome) in dones.into_iter().zip(outcomes) {
            answer(done, outcome);
        }
        Ok(())
    }

    fn commit_alone(&mut self, read: &mut Read) -> Result<Vec<ApplyOutcome>, Fault> {
        match self.try_commit(std::slice::from_ref(read)) {
            Err(Fault::Statement(reason)) => {
                tracing::error!(part = %read.part, entry = %read.id, %reason, "a committed entry cannot be applied");
                let time = read.wanted.time().unwrap_or_default();
                read.wanted = Wanted::Rejected { reason, time };
                self.try_commit(std::slice::from_ref(read))
            }
            result => result,
        }
    }

    /// Plans and writes one transaction, again while memory is short, and makes it known.
    fn try_commit(&mut self, reads: &[Read]) -> Result<Vec<ApplyOutcome>, Fault> {
        let plan = self.plan(reads);
        self.patiently(|connection, catalog| write::transaction(connection, catalog, &plan, |_, _| Ok(())))?;
        Ok(self.publish(plan))
    }

    /// One entry that changes tables, with the change, in a transaction of its own. It holds off
    /// the checkpoint, which fails where such a transaction is under way.
    fn restructure(
        &mut self,
        read: Read,
        change: impl Fn(&Connection, &Catalog) -> Result<structure::Change, Fault>,
    ) -> Result<ApplyOutcome, Fault> {
        let structure = Arc::clone(&self.shared.structure);
        let _held = structure.lock();
        let mut learned = structure::Change::Nothing;
        let plan = self.plan(std::slice::from_ref(&read));
        let result = self.patiently(|connection, catalog| {
            write::transaction(connection, catalog, &plan, |connection, catalog| {
                learned = change(connection, catalog)?;
                Ok(())
            })
        });
        match result {
            Ok(()) => {
                learned.apply_to(&mut self.catalog, read.part);
                self.publish(plan);
                Ok(ApplyOutcome::Done)
            }
            Err(Fault::Statement(reason)) => {
                tracing::error!(part = %read.part, entry = %read.id, %reason, "a committed schema change was refused");
                let time = read.wanted.time().unwrap_or_default();
                let rejected = Read { wanted: Wanted::Rejected { reason, time }, ..read };
                let outcomes = self.try_commit(&[rejected])?;
                outcomes.into_iter().next().ok_or_else(|| Fault::Storage("an entry came to nothing".into()))
            }
            Err(fault) => Err(fault),
        }
    }

    fn plan(&self, reads: &[Read]) -> Plan {
        let parts: BTreeMap<PartitionId, Partition> =
            reads.iter().map(|read| (read.part, self.shared.partitions.get(read.part))).collect();
        let keys: BTreeMap<_, _> = parts.iter().map(|(id, part)| (*id, part.0.keys.lock())).collect();
        let before: BTreeMap<_, _> = keys
            .iter()
            .filter_map(|(id, keys)| Some((*id, Before { keys, time: parts.get(id)?.0.applied.borrow().time })))
            .collect();
        plan::plan(reads, |part| before.get(&part))
    }

    fn patiently(&mut self, mut work: impl FnMut(&Connection, &Catalog) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut tries = 0;
        loop {
            match work(&self.connection, &self.catalog) {
                Err(Fault::Memory(text)) if tries < MEMORY_TRIES => {
                    tries += 1;
                    let interrupted = self.shared.running.interrupt_longest();
                    tracing::warn!(%text, tries, interrupted, "no memory to apply entries, trying again");
                    std::thread::sleep(MEMORY_WAIT);
                }
                // Nobody interrupts this connection; DuckDB may pass on another query's.
                Err(Fault::Interrupted) if tries < MEMORY_TRIES => tries += 1,
                result => return result,
            }
        }
    }

    /// Makes a committed transaction known: keys, then positions, then to the checkpoint thread.
    fn publish(&mut self, plan: Plan) -> Vec<ApplyOutcome> {
        let rows: u64 = plan.rows.values().flatten().map(|placed| placed.rows.num_rows() as u64).sum();
        let bytes: u64 = plan.rows.values().flatten().map(|placed| placed.rows.get_array_memory_size() as u64).sum();
        for key in &plan.keys {
            self.shared.partitions.get(key.part).0.keys.lock().insert(key.key, key.record, key.time);
        }
        self.stale += 1;
        for (part, advance) in plan.advances {
            let part = self.shared.partitions.get(part);
            self.stale += part.0.keys.lock().trim(advance.time);
            part.0.applied.send_modify(|applied| {
                applied.last = Some(advance.last);
                applied.time = advance.time;
                if let Some(membership) = advance.membership {
                    applied.membership = membership;
                }
            });
        }
        self.shared.stats.applied_transaction(rows);
        self.shared.checkpoints.note(bytes, rows);
        plan.outcomes
    }
}

fn answer(done: Option<Done>, outcome: ApplyOutcome) {
    if let Some(done) = done {
        done(outcome);
    }
}
