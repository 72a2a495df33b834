//! One class of frames to one peer: a queue, the calls that wait for answers, and a connection that
//! is made when something is queued and made again when it broke.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use raftduck_model::{ClusterId, StoreId};
use raftduck_wire::credential::Credential;
use raftduck_wire::proto::peer::Frame;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::call::{Answer, Call, CallError};
use super::connection;
use crate::codec;
use crate::frame::{Address, Class, Kind};
use crate::host::AddressBook;
use crate::timing::Timing;

/// Entries sent to one peer and not yet answered, of all groups together, in KiB.
const LOG_BUDGET_KIB: usize = 48 << 10;
/// Answers of one call that nobody has looked at; more than a call may have frames under way.
const UNREAD_ANSWERS: usize = 64;

/// All of a store's links, made when first used.
pub(crate) struct Links {
    pub(super) cluster: ClusterId,
    pub(super) store: StoreId,
    pub(super) credential: Credential,
    pub(super) book: Arc<dyn AddressBook>,
    pub(super) stop: watch::Receiver<bool>,
    /// One snapshot at a time leaves a store.
    pub(super) snapshots: Semaphore,
    /// Frames sent, requests of ours only.
    pub(super) sent: AtomicU64,
    timing: Timing,
    links: Mutex<HashMap<(StoreId, Class), Arc<Link>>>,
}

impl Links {
    pub(crate) fn new(
        cluster: ClusterId,
        store: StoreId,
        credential: Credential,
        timing: Timing,
        book: Arc<dyn AddressBook>,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let (snapshots, sent, links) = (Semaphore::new(1), AtomicU64::new(0), Mutex::default());
        Arc::new(Self { cluster, store, credential, book, stop, snapshots, sent, timing, links })
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(crate) fn get(self: &Arc<Self>, peer: StoreId, class: Class) -> Arc<Link> {
        match self.links.lock().entry((peer, class)) {
            Entry::Occupied(link) => link.get().clone(),
            Entry::Vacant(slot) => slot.insert(Arc::new(Link::new(self.clone(), peer, class))).clone(),
        }
    }
}

/// See the module.
pub(crate) struct Link {
    pub(super) links: Arc<Links>,
    pub(super) peer: StoreId,
    pub(super) class: Class,
    /// Of [`LOG_BUDGET_KIB`].
    pub(super) budget: Arc<Semaphore>,
    next_call: AtomicU64,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Frame>,
    queued_bytes: usize,
    waiting: HashMap<u64, mpsc::Sender<Answer>>,
    connected: bool,
    /// Which connection the queue belongs to; a frame of an earlier one is never sent on a later one.
    connection: u64,
    rest_until: Option<Instant>,
    /// The last failure, to say it once and not at every attempt.
    complaint: String,
}

fn cost(frame: &Frame) -> usize {
    frame.body.len() + 64
}

impl Link {
    fn new(links: Arc<Links>, peer: StoreId, class: Class) -> Self {
        Self {
            links,
            peer,
            class,
            budget: Arc::new(Semaphore::new(LOG_BUDGET_KIB)),
            next_call: AtomicU64::new(1),
            state: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Begins a call.
    pub(crate) fn open(self: &Arc<Self>, address: Address) -> Call {
        let id = self.next_call.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = mpsc::channel(UNREAD_ANSWERS);
        self.state.lock().waiting.insert(id, sender);
        Call::new(self.clone(), address, id, answers)
    }

    /// Queues a frame of a call that is open, and connects where that is not done.
    pub(super) fn queue(self: &Arc<Self>, frame: Frame) -> Result<(), CallError> {
        let mut state = self.state.lock();
        if !state.waiting.contains_key(&frame.call) {
            return Err(CallError::Broken);
        }
        if state.rest_until.is_some_and(|until| Instant::now() < until) {
            return Err(CallError::Resting);
        }
        let bytes = cost(&frame);
        if state.queued_bytes + bytes > self.class.queue_bytes() {
            return Err(CallError::Full);
        }
        state.queued_bytes += bytes;
        state.queue.push_back(frame);
        if !state.connected {
            state.connected = true;
            state.connection += 1;
            tokio::spawn(connection::run(self.clone(), state.connection));
        }
        drop(state);
        self.wake.notify_waiters();
        Ok(())
    }

    pub(super) fn close_call(&self, id: u64, end: Option<Frame>) {
        let mut state = self.state.lock();
        let was_open = state.waiting.remove(&id).is_some();
        if let (true, true, Some(end)) = (was_open, state.connected, end) {
            state.queued_bytes += cost(&end);
            state.queue.push_back(end);
            drop(state);
            self.wake.notify_waiters();
        }
    }

    /// The next frame to send; none once `connection` is over.
    pub(super) async fn next(&self, connection: u64) -> Option<Frame> {
        loop {
            let wake = self.wake.notified();
            tokio::pin!(wake);
            wake.as_mut().enable();
            {
                let mut state = self.state.lock();
                if state.connection != connection || !state.connected {
                    return None;
                }
                while let Some(frame) = state.queue.pop_front() {
                    state.queued_bytes = state.queued_bytes.saturating_sub(cost(&frame));
                    // Nobody waits for the answer any more: a peer that was frozen is not to work
                    // through what was meant for then.
                    if frame.kind == Kind::End as u32 || state.waiting.contains_key(&frame.call) {
                        self.links.sent.fetch_add(1, Ordering::Relaxed);
                        return Some(frame);
                    }
                }
            }
            wake.await;
        }
    }

    /// Hands an answer to its call.
    pub(super) fn answered(&self, frame: Frame) {
        let answer = match Kind::from_number(frame.kind) {
            Some(Kind::Answer) => Ok(frame.body),
            Some(Kind::Refusal) => match codec::decode_refusal(frame.body) {
                Ok(refusal) => Err(refusal),
                Err(_) => return,
            },
            _ => return,
        };
        let mut state = self.state.lock();
        if let Some(waiting) = state.waiting.get(&frame.call)
            && waiting.try_send(answer).is_err()
        {
            // More answers than frames: the peer makes no sense, and its call has failed.
            state.waiting.remove(&frame.call);
        }
    }

    pub(super) fn established(&self) {
        let mut state = self.state.lock();
        if !state.complaint.is_empty() {
            tracing::info!(peer = %self.peer, class = self.class.name(), "a peer is back");
            state.complaint.clear();
        }
    }

    /// Fails every call that waits, and lets the next one try again after `rest`.
    pub(super) fn failed(&self, connection: u64, rest: Duration, why: String) {
        let mut state = self.state.lock();
        if state.connection != connection {
            return;
        }
        state.connected = false;
        state.queue.clear();
        state.queued_bytes = 0;
        state.waiting.clear();
        state.rest_until = Some(Instant::now() + rest);
        if state.complaint != why {
            tracing::warn!(peer = %self.peer, class = self.class.name(), %why, "a peer cannot be reached");
            state.complaint = why;
        }
        drop(state);
        self.wake.notify_waiters();
    }
}
