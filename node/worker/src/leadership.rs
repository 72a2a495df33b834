//! One partition's leader for one term: the only place where rows are proposed.
//!
//! A leadership begins once everything of earlier terms is applied here, so the store's key index
//! knows every key that could still be retried, and ends with the term. Between the two, the keys of
//! its own proposals are held here until they are applied. So a key is looked up in two places and
//! found in one of them whatever its request's fate; apply looks once more, for the case that
//! nobody thought of.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use raftduck_consensus::{Group, Proposal, ProposeError};
use raftduck_model::{
    Append, BodyDigest, Command, CommandBody, KeyDigest, LogId, LogTime, Part, SchemaVersion, Table, TableId, limits,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::clock;

/// Entries proposed and not yet applied. While this many are on their way, requests wait and
/// become one entry, which is what keeps small requests cheap.
const FLIGHTS: usize = 8;
/// Requests that wait for the leadership's attention; each holds its bytes' permit already, so
/// this bounds only their number.
const QUEUE: usize = 4096;

/// One request's rows for this partition.
pub struct Write {
    /// The table, at the version of the rows.
    pub table: Arc<Table>,
    /// The rows and the key they came under.
    pub part: Part,
    /// Where the answer goes; gone where nobody waits any more.
    pub reply: oneshot::Sender<WriteOutcome>,
    /// The request's share of the store's bytes between proposed and applied.
    pub permit: OwnedSemaphorePermit,
}

/// What became of a [`Write`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteOutcome {
    /// On a quorum's disks, at this index.
    Written {
        /// The entry's index.
        index: u64,
        /// The key was there already; nothing was written this time.
        duplicate: bool,
    },
    /// The key was used for another body. Nothing was written.
    KeyReused,
    /// The leadership ended before a quorum answered: written or not, the key will tell.
    Unknown,
}

/// What a leadership reads of the state machine it feeds.
pub trait Applied: Send + Sync + 'static {
    /// What was written under a key, if the key is remembered.
    fn key(&self, key: KeyDigest) -> Option<AppliedKey>;
    /// Whether the partition's log has named this version of the table.
    fn knows(&self, table: TableId, version: SchemaVersion) -> bool;
    /// The newest entry's time.
    fn time(&self) -> LogTime;
}

/// A remembered key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AppliedKey {
    /// What was sent under it.
    pub body: BodyDigest,
    /// The entry that wrote it.
    pub index: u64,
}

/// A handle on a running leadership; it ends when the last one is dropped.
#[derive(Clone)]
pub struct Leadership {
    writes: mpsc::Sender<Write>,
}

impl Leadership {
    /// Takes writes for `group` until the handle is dropped.
    pub fn start(group: Group, applied: Arc<dyn Applied>) -> Self {
        let (writes, queue) = mpsc::channel(QUEUE);
        let actor = Actor {
            time: applied.time(),
            group,
            applied,
            queue,
            waiting: None,
            keys: HashMap::new(),
            announcing: false,
            named: HashSet::new(),
            flights: HashMap::new(),
            next_flight: 0,
            events: FuturesUnordered::new(),
        };
        tokio::spawn(actor.run());
        Self { writes }
    }

    /// Queues a write; gives it back where the queue is full or the leadership is over.
    pub fn submit(&self, write: Write) -> Result<(), Write> {
        self.writes.try_send(write).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(write) | mpsc::error::TrySendError::Closed(write) => write,
        })
    }
}

struct Actor {
    group: Group,
    applied: Arc<dyn Applied>,
    queue: mpsc::Receiver<Write>,
    /// Taken off the queue, but of another table than the entry it would have joined, or of a version that
    /// is being announced.
    waiting: Option<Write>,
    /// Keys of proposals that are not applied yet.
    keys: HashMap<KeyDigest, FlightKey>,
    /// A version is on its way into the log; nothing else is proposed meanwhile.
    announcing: bool,
    /// Versions that are in the log for good since this leadership began.
    named: HashSet<(TableId, SchemaVersion)>,
    flights: HashMap<u64, Flight>,
    next_flight: u64,
    events: FuturesUnordered<BoxFuture<'static, Event>>,
    time: LogTime,
}

struct FlightKey {
    body: BodyDigest,
    flight: u64,
}

/// One proposed entry.
struct Flight {
    keys: Vec<KeyDigest>,
    waiters: Vec<(oneshot::Sender<WriteOutcome>, bool)>,
    committed: Option<u64>,
    _permits: Vec<OwnedSemaphorePermit>,
}

enum Event {
    Announced { version: (TableId, SchemaVersion), outcome: Result<LogId, ProposeError> },
    Committed { flight: u64, proposal: Proposal, outcome: Result<LogId, ProposeError> },
    Applied { flight: u64, outcome: Result<Bytes, ProposeError> },
}

impl Actor {
    async fn run(mut self) {
        loop {
            let room = self.flights.len() < FLIGHTS && !self.announcing;
            if let Some(write) = self.waiting.take_if(|_| room) {
                self.take(write);
                continue;
            }
            tokio::select! {
                Some(event) = self.events.next(), if !self.events.is_empty() => self.settle(event),
                write = self.queue.recv(), if room => match write {
                    Some(write) => self.take(write),
                    None => break,
                },
            }
        }
        for flight in self.flights.into_values() {
            flight.answer_all(WriteOutcome::Unknown);
        }
    }

    /// Proposes a write once the log names its table's version.
    ///
    /// An append without its version before it changes nothing when it is applied, which comes after the
    /// answer. To propose both in order is not enough: a leader refuses proposals for as long as it hears
    /// of no quorum, and then takes them again in the same term.
    fn take(&mut self, write: Write) {
        let version = (write.table.id, write.table.version);
        if self.named.contains(&version) || self.applied.knows(version.0, version.1) {
            return self.propose_from(write);
        }
        let mut proposal = self.propose(CommandBody::SetSchema(write.table.as_ref().clone()));
        self.announcing = true;
        self.waiting = Some(write);
        self.events.push(Box::pin(async move { Event::Announced { version, outcome: proposal.committed().await } }));
    }

    /// Makes one entry of `first` and of what waits behind it for the same table.
    fn propose_from(&mut self, first: Write) {
        let (table, flight) = (first.table.clone(), self.next_flight);
        let mut entry = Flight { keys: vec![], waiters: vec![], committed: None, _permits: vec![] };
        let (mut parts, mut bytes) = (vec![], 0);
        let mut next = Some(first);
        while let Some(write) = next.take().or_else(|| self.queue.try_recv().ok()) {
            let full = bytes > 0 && bytes + write.part.data.len() > limits::ENTRY_BYTES;
            if full || (write.table.id, write.table.version) != (table.id, table.version) {
                self.waiting = Some(write);
                break;
            }
            let Some(Write { part, reply, permit, .. }) = self.screen(write, flight, &mut entry) else { continue };
            bytes += part.data.len();
            entry.keys.push(part.key);
            entry.waiters.push((reply, false));
            entry._permits.push(permit);
            parts.push(part);
        }
        if parts.is_empty() {
            return;
        }
        self.next_flight += 1;
        let append = Append { table: table.id, version: table.version, parts };
        let mut proposal = self.propose(CommandBody::Append(append));
        self.flights.insert(flight, entry);
        self.events.push(Box::pin(async move {
            let outcome = proposal.committed().await;
            Event::Committed { flight, proposal, outcome }
        }));
    }

    /// Answers a write whose key is known; hands on one that is new, with its key held for `flight`.
    fn screen(&mut self, write: Write, flight: u64, entry: &mut Flight) -> Option<Write> {
        let (key, body) = (write.part.key, write.part.body);
        match self.keys.entry(key) {
            Entry::Occupied(held) if held.get().body != body => answer(write.reply, WriteOutcome::KeyReused),
            Entry::Occupied(held) if held.get().flight == flight => entry.waiters.push((write.reply, true)),
            Entry::Occupied(held) => match self.flights.get_mut(&held.get().flight) {
                Some(Flight { committed: Some(index), .. }) => {
                    answer(write.reply, WriteOutcome::Written { index: *index, duplicate: true });
                }
                Some(on_its_way) => on_its_way.waiters.push((write.reply, true)),
                // Unreachable by construction (a flight's keys go with it); the key will tell.
                None => answer(write.reply, WriteOutcome::Unknown),
            },
            Entry::Vacant(vacant) => match self.applied.key(key) {
                Some(found) if found.body != body => answer(write.reply, WriteOutcome::KeyReused),
                Some(found) => answer(write.reply, WriteOutcome::Written { index: found.index, duplicate: true }),
                None => {
                    vacant.insert(FlightKey { body, flight });
                    return Some(write);
                }
            },
        }
        None
    }

    fn propose(&mut self, body: CommandBody) -> Proposal {
        self.time = clock::advance(self.time, clock::now());
        self.group.propose(Command { time: self.time, body }.encode())
    }

    fn settle(&mut self, event: Event) {
        match event {
            Event::Announced { version, outcome } => {
                self.announcing = false;
                match outcome {
                    Ok(_) => _ = self.named.insert(version),
                    Err(error) => {
                        tracing::debug!(group = %self.group.id(), %error, "a table's version was not announced");
                        self.waiting.take().into_iter().for_each(|write| answer(write.reply, WriteOutcome::Unknown));
                    }
                }
            }
            Event::Committed { flight, mut proposal, outcome: Ok(id) } => {
                if let Some(entry) = self.flights.get_mut(&flight) {
                    entry.committed = Some(id.index);
                    for (reply, duplicate) in entry.waiters.drain(..) {
                        answer(reply, WriteOutcome::Written { index: id.index, duplicate });
                    }
                }
                self.events.push(Box::pin(async move {
                    let outcome = proposal.applied().await;
                    Event::Applied { flight, outcome }
                }));
            }
            // Not even "this is no leader" says that the entry is not in a log that will win: it may
            // have been proposed before the leadership was lost. The key will tell.
            Event::Committed { flight, outcome: Err(error), .. } => {
                tracing::debug!(group = %self.group.id(), %error, "a proposal has no outcome");
                self.land(flight, WriteOutcome::Unknown);
            }
            Event::Applied { flight, outcome } => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a committed entry was not applied under this leadership");
                }
                self.land(flight, WriteOutcome::Unknown);
            }
        }
    }

    /// The flight is over: its keys are in the store's index now, or will never be.
    fn land(&mut self, flight: u64, outcome: WriteOutcome) {
        if let Some(entry) = self.flights.remove(&flight) {
            for key in &entry.keys {
                self.keys.remove(key);
            }
            entry.answer_all(outcome);
        }
    }
}

impl Flight {
    fn answer_all(self, outcome: WriteOutcome) {
        for (reply, _) in self.waiters {
            answer(reply, outcome);
        }
    }
}

/// A waiter that has gone wants no answer: its request's deadline is over.
fn answer(reply: oneshot::Sender<WriteOutcome>, outcome: WriteOutcome) {
    let _ = reply.send(outcome);
}
