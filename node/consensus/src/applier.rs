//! Carries committed entries from openraft to a [`StateMachine`], without holding openraft up.
//!
//! Openraft hands over one commit at a time and takes it for applied when the call returns. A state
//! machine that pays per call (one transaction) would fall behind a fast group that way, so the
//! call returns once the entries are queued, and a task applies all that wait in one call. The
//! index that was really applied is [`Progress`]'s; nothing in this crate reads openraft's.

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine, Snapshot as RaftSnapshot};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use parking_lot::Mutex;
use raftduck_model::LogId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::codec::{decode_stored_membership, encode_stored_membership};
use crate::counters::Counters;
use crate::machine::{Committed, Payload, Snapshot, StateMachine};
use crate::types::{LeaderId, Node, RaftLogId, SnapshotMeta, StoredMembership, Types, from_raft, to_raft};

/// Entries of one group that are committed and wait for the state machine, in KiB. Beyond it they
/// wait in the log.
const QUEUE_KIB: usize = 16 << 10;
/// Entries handed to the state machine in one call, in bytes; the last may go over it.
const BATCH_BYTES: usize = 4 << 20;
/// Entries gathered before they are queued.
const PIECE_BYTES: usize = 1 << 20;
/// What an entry counts for besides its payload.
const ENTRY_OVERHEAD: usize = 128;

/// How far a state machine really is.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Applied {
    /// The last entry whose effects reads see.
    pub last: Option<LogId>,
    /// Why the state machine stopped for good.
    pub failed: Option<String>,
    /// The replica was told to stop.
    pub stopped: bool,
}

/// [`Applied`] as it changes, and the membership at its last entry.
pub(crate) struct Progress {
    applied: watch::Sender<Applied>,
    membership: Mutex<StoredMembership>,
}

impl Progress {
    pub(crate) fn subscribe(&self) -> watch::Receiver<Applied> {
        self.applied.subscribe()
    }

    /// Applies nothing further: what is queued is in the log, and applied after the next start.
    pub(crate) fn stop(&self) {
        self.applied.send_modify(|applied| applied.stopped = true);
    }

    fn stopping(&self) -> bool {
        self.applied.borrow().stopped
    }

    fn meta(&self) -> Option<SnapshotMeta> {
        // Both under the membership's lock, which `advance` holds too.
        let membership = self.membership.lock();
        let last = self.applied.borrow().last?;
        Some(SnapshotMeta { last_log_id: Some(to_raft(last)), last_membership: membership.clone() })
    }

    fn advance(&self, last: Option<LogId>, changed: Option<StoredMembership>) {
        let mut membership = self.membership.lock();
        if let Some(changed) = changed {
            *membership = changed;
        }
        self.applied.send_modify(|applied| applied.last = last.or(applied.last));
    }

    fn fail(&self, error: &io::Error) {
        self.applied.send_modify(|applied| applied.failed = Some(error.to_string()));
    }
}

enum Work {
    Apply {
        entries: Vec<Committed>,
        bytes: usize,
        _room: OwnedSemaphorePermit,
    },
    /// Answered when everything queued before it is applied.
    Barrier(oneshot::Sender<()>),
}

/// A snapshot between state machines: files that came from a leader, or the promise of files.
pub enum SnapshotData {
    /// The state as it will be when its files are needed: making this one copies nothing.
    Live(Arc<dyn StateMachine>),
    /// Received, verified and ready to be installed.
    Received(Snapshot),
}

/// What was handed over and waits for the state machine.
#[derive(Clone)]
struct Queue {
    work: mpsc::UnboundedSender<Work>,
    /// Of [`QUEUE_KIB`].
    room: Arc<Semaphore>,
    progress: Arc<Progress>,
}

impl Queue {
    async fn push(&self, entries: Vec<Committed>, bytes: usize) -> io::Result<()> {
        let kib = bytes.div_ceil(1024).clamp(1, QUEUE_KIB) as u32;
        let room = self.room.clone().acquire_many_owned(kib).await;
        let queued = room.is_ok_and(|_room| self.work.send(Work::Apply { entries, bytes, _room }).is_ok());
        match queued || self.progress.stopping() {
            // Also where the replica stops: they are in the log, and applied after the next start.
            true => Ok(()),
            false => Err(self.failure()),
        }
    }

    /// Waits until everything queued so far is applied.
    async fn drain(&self) -> io::Result<()> {
        let (reached, applied) = oneshot::channel();
        self.work.send(Work::Barrier(reached)).map_err(|_| self.failure())?;
        applied.await.map_err(|_| self.failure())
    }

    fn failure(&self) -> io::Error {
        let failed = self.progress.applied.borrow().failed.clone();
        io::Error::other(failed.unwrap_or_else(|| "the state machine was stopped".to_owned()))
    }
}

/// Openraft's view of a [`StateMachine`].
pub(crate) struct Applier {
    machine: Arc<dyn StateMachine>,
    queue: Queue,
}

impl Applier {
    /// Starts the task that applies; it ends when the applier is dropped and its queue is empty.
    pub(crate) async fn start(
        machine: Arc<dyn StateMachine>,
        counters: Arc<Counters>,
        durable: watch::Receiver<Option<LogId>>,
    ) -> io::Result<(Self, Arc<Progress>, JoinHandle<()>)> {
        let state = machine.applied().await?;
        let membership = decode_stored_membership(state.membership)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let progress = Arc::new(Progress {
            applied: watch::Sender::new(Applied { last: state.last, ..Applied::default() }),
            membership: Mutex::new(membership),
        });
        let (work, queued) = mpsc::unbounded_channel();
        let task = tokio::spawn(run(machine.clone(), progress.clone(), counters, durable, queued));
        let queue = Queue { work, room: Arc::new(Semaphore::new(QUEUE_KIB)), progress: progress.clone() };
        Ok((Self { machine, queue }, progress, task))
    }
}

async fn run(
    machine: Arc<dyn StateMachine>,
    progress: Arc<Progress>,
    counters: Arc<Counters>,
    mut durable: watch::Receiver<Option<LogId>>,
    mut work: mpsc::UnboundedReceiver<Work>,
) {
    let mut stopped = progress.subscribe();
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(first) => first,
            None => match work.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        if progress.stopping() {
            return;
        }
        let (mut batch, mut bytes, mut rooms) = match first {
            Work::Apply { entries, bytes, _room } => (entries, bytes, vec![_room]),
            Work::Barrier(reached) => {
                let _ = reached.send(());
                continue;
            }
        };
        while bytes < BATCH_BYTES {
            match work.try_recv() {
                Ok(Work::Apply { entries, bytes: more, _room }) => {
                    batch.extend(entries);
                    bytes += more;
                    rooms.push(_room);
                }
                Ok(barrier) => {
                    next = Some(barrier);
                    break;
                }
                Err(_) => break,
            }
        }
        // An entry may be committed by others' disks before it is on this one. Were it applied then,
        // a crash could leave a state that its own log contradicts.
        let last = batch.last().map(|entry| entry.id);
        tokio::select! {
            seen = durable.wait_for(|durable| *durable >= last) => if seen.is_err() { return },
            _ = stopped.wait_for(|applied| applied.stopped) => return,
        }
        if let Err(error) = apply(&*machine, &progress, &counters, batch).await {
            tracing::error!(%error, "a replica stops: its state machine cannot go on");
            progress.fail(&error);
            return;
        }
    }
}

async fn apply(
    machine: &dyn StateMachine,
    progress: &Progress,
    counters: &Counters,
    batch: Vec<Committed>,
) -> io::Result<()> {
    let (entries, last) = (batch.len(), batch.last().map(|entry| entry.id));
    let membership = batch.iter().rev().find_map(|entry| match &entry.payload {
        Payload::Membership(bytes) => Some(bytes.clone()),
        _ => None,
    });
    let membership = membership.map(decode_stored_membership).transpose();
    let membership = membership.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let began = Instant::now();
    machine.apply(batch).await?;
    counters.applied(entries, began.elapsed());
    progress.advance(last, membership);
    Ok(())
}

/// The entry in the state machine's words, and what it counts for.
fn committed((entry, responder): EntryResponder<Types>) -> (Committed, usize) {
    let payload = match entry.payload {
        EntryPayload::Blank => Payload::Blank,
        EntryPayload::Normal(command) => Payload::Command(command.data()),
        EntryPayload::Membership(membership) => {
            let stored = StoredMembership::new(Some(entry.log_id), membership);
            Payload::Membership(encode_stored_membership(&stored))
        }
    };
    let bytes = ENTRY_OVERHEAD
        + match &payload {
            Payload::Blank => 0,
            Payload::Command(bytes) | Payload::Membership(bytes) => bytes.len(),
        };
    let done = responder.map(|responder| Box::new(move |reply| responder.send(reply)) as crate::machine::Done);
    (Committed { id: from_raft(entry.log_id), payload, done }, bytes)
}

impl RaftStateMachine<Types> for Applier {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<RaftLogId>, StoredMembership), io::Error> {
        self.queue.drain().await?;
        match self.queue.progress.meta() {
            Some(meta) => Ok((meta.last_log_id, meta.last_membership)),
            None => Ok((None, self.queue.progress.membership.lock().clone())),
        }
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let (mut piece, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = entries.next().await {
            let (entry, more) = committed(entry?);
            piece.push(entry);
            bytes += more;
            if bytes >= PIECE_BYTES {
                self.queue.push(std::mem::take(&mut piece), std::mem::take(&mut bytes)).await?;
            }
        }
        match piece.is_empty() {
            true => Ok(()),
            false => self.queue.push(piece, bytes).await,
        }
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { machine: self.machine.clone(), queue: self.queue.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> Result<(), io::Error> {
        self.queue.drain().await?;
        let mut snapshot = match snapshot {
            SnapshotData::Received(snapshot) => snapshot,
            SnapshotData::Live(machine) => machine.snapshot().await?,
        };
        snapshot.last = meta.last_log_id.map(from_raft);
        snapshot.membership = encode_stored_membership(&meta.last_membership);
        let last = snapshot.last;
        if let Err(error) = self.machine.install(snapshot).await {
            self.queue.progress.fail(&error);
            return Err(error);
        }
        self.queue.progress.advance(last, Some(meta.last_membership.clone()));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<LiveSnapshot>, io::Error> {
        Ok(live(&self.queue.progress, &self.machine))
    }
}

type LiveSnapshot = RaftSnapshot<LeaderId, u64, Node, SnapshotData>;

fn live(progress: &Progress, machine: &Arc<dyn StateMachine>) -> Option<LiveSnapshot> {
    Some(RaftSnapshot { meta: progress.meta()?, snapshot: SnapshotData::Live(machine.clone()) })
}

/// Makes [`SnapshotData::Live`]: what openraft wants to know before it lets the log be purged.
pub(crate) struct Builder {
    machine: Arc<dyn StateMachine>,
    queue: Queue,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<LiveSnapshot, io::Error> {
        // Openraft takes for applied what it handed over: a snapshot has to hold that much.
        self.queue.drain().await?;
        let snapshot = SnapshotData::Live(self.machine.clone());
        let nothing = RaftSnapshot { meta: SnapshotMeta::default(), snapshot };
        Ok(live(&self.queue.progress, &self.machine).unwrap_or(nothing))
    }
}
