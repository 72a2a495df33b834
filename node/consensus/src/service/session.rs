//! One stream from one peer: every frame is answered, none holds up the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use raftduck_model::{GroupId, StoreId};
use raftduck_wire::proto::peer::Frame;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::appends::{self, Appends};
use super::incoming::{self, Incoming};
use super::requests;
use crate::codec::{self, Refusal, RefusalCode};
use crate::frame::{Address, Class, Kind};
use crate::group::Group;
use crate::host::Inner;

/// Control frames of one peer being answered at once; each is small and lives [`PATIENCE`] at most.
const REQUESTS: usize = 4096;
/// Append streams and snapshots of one peer that were begun and not ended.
const CALLS: usize = 4096;
/// How long a group may take over a control frame; its sender has long given up then.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

pub(super) type Answers = mpsc::Sender<Result<Frame, Status>>;

/// Where the answer to a frame goes.
#[derive(Clone)]
pub(super) struct Reply {
    answers: Answers,
    address: Address,
    call: u64,
}

impl Reply {
    /// Answers; false where the peer has gone.
    pub(super) async fn answer(&self, body: Bytes) -> bool {
        self.send(Kind::Answer, body).await
    }

    /// Refuses; false where the peer has gone.
    pub(super) async fn refuse(&self, refusal: Refusal) -> bool {
        tracing::debug!(group = %self.address.group, ?refusal, "a peer's frame was refused");
        self.send(Kind::Refusal, codec::encode_refusal(&refusal)).await
    }

    async fn send(&self, kind: Kind, body: Bytes) -> bool {
        self.answers.send(Ok(self.address.frame(self.call, kind, body))).await.is_ok()
    }
}

/// See the module.
pub(super) struct Session {
    host: Arc<Inner>,
    from: StoreId,
    class: Class,
    answers: Answers,
    requests: Arc<AtomicUsize>,
    calls: HashMap<(GroupId, u64), Ongoing>,
    append_bytes: Arc<AtomicUsize>,
}

/// What frames of one call go to.
enum Ongoing {
    Appends(Appends),
    Snapshot(Incoming),
    /// Refused once; the rest of its frames is refused too, because an append stream keeps its order.
    Over(Refusal),
}

impl Session {
    pub(super) fn new(host: Arc<Inner>, from: StoreId, class: Class, answers: Answers) -> Self {
        let (requests, append_bytes) = (Arc::default(), Arc::default());
        Self { host, from, class, answers, requests, calls: HashMap::new(), append_bytes }
    }

    /// Reads frames until the peer, the connection or this store ends.
    pub(super) async fn run(mut self, mut frames: Streaming<Frame>) {
        let mut stop = self.host.stop.subscribe();
        loop {
            let frame = tokio::select! {
                frame = frames.message() => frame,
                _ = stop.wait_for(|stopped| *stopped) => return,
                () = self.answers.closed() => return,
            };
            match frame {
                Ok(Some(frame)) => {
                    if !self.take(frame).await {
                        return;
                    }
                }
                Ok(None) => return,
                Err(status) => {
                    tracing::debug!(peer = %self.from, class = self.class.name(), %status, "a peer's stream ended");
                    return;
                }
            }
        }
    }

    /// Acts on a frame; false where the peer has gone.
    async fn take(&mut self, frame: Frame) -> bool {
        let address = Address::of(&frame);
        let reply = Reply { answers: self.answers.clone(), address: address.reversed(), call: frame.call };
        let key = (address.group, frame.call);
        let Some(kind) = Kind::from_number(frame.kind) else {
            let what = format!("frames of kind {} are not known here", frame.kind);
            return reply.refuse(Refusal::new(RefusalCode::Malformed, what)).await;
        };
        if kind == Kind::End {
            self.calls.remove(&key);
            return true;
        }
        if let Some(Ongoing::Over(refusal)) = self.calls.get(&key) {
            return reply.refuse(refusal.clone()).await;
        }
        let taken = match (self.class, kind) {
            (Class::Control, Kind::Heartbeat | Kind::Vote | Kind::PreVote | Kind::Transfer) => {
                self.request(address, kind, frame.body, reply.clone())
            }
            (Class::Log, Kind::Append) => self.append(key, address, frame.body, &reply),
            (Class::Snapshot, Kind::SnapshotHead) => self.begin_snapshot(key, address, frame.body, &reply),
            (Class::Snapshot, Kind::SnapshotChunk | Kind::SnapshotEnd) => match self.calls.get(&key) {
                // Waiting here holds up snapshots only: they have their own connection.
                Some(Ongoing::Snapshot(incoming)) => incoming.feed(kind, frame.body).await,
                _ => Err(Refusal::new(RefusalCode::Malformed, "a piece of a snapshot that did not begin")),
            },
            _ => Err(Refusal::new(RefusalCode::Malformed, "the frame is on the wrong stream")),
        };
        let Err(refusal) = taken else { return true };
        if matches!(kind, Kind::Append | Kind::SnapshotHead | Kind::SnapshotChunk | Kind::SnapshotEnd) {
            if self.calls.len() >= 2 * CALLS {
                tracing::warn!(peer = %self.from, "a peer begins calls and does not end them: its stream is closed");
                return false;
            }
            self.calls.insert(key, Ongoing::Over(refusal.clone()));
        }
        reply.refuse(refusal).await
    }

    /// The replica that the frame is for, if it runs on this store.
    fn replica(&self, address: Address) -> Result<Group, Refusal> {
        let group = self.host.group(address.group).ok_or_else(|| {
            Refusal::new(RefusalCode::NoSuchGroup, format!("group {} does not run on this store", address.group))
        })?;
        match group.replica() == address.to {
            true => Ok(group),
            false => Err(Refusal::new(
                RefusalCode::WrongReplica,
                format!("this store runs replica {} of group {}, not {}", group.replica(), address.group, address.to),
            )),
        }
    }

    fn request(&self, address: Address, kind: Kind, body: Bytes, reply: Reply) -> Result<(), Refusal> {
        let group = self.replica(address)?;
        let request = requests::decode(kind, body)?;
        if matches!(request, requests::Request::Heartbeat(_)) {
            group.heard_leader();
        }
        let raft = group.raft();
        if self.requests.fetch_add(1, Ordering::Relaxed) >= REQUESTS {
            self.requests.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::new(RefusalCode::Busy, "too many requests of this peer are being answered"));
        }
        let requests = self.requests.clone();
        tokio::spawn(async move {
            match requests::handle(&raft, request).await {
                Ok(body) => reply.answer(body).await,
                Err(refusal) => reply.refuse(refusal).await,
            };
            requests.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(())
    }

    fn append(&mut self, key: (GroupId, u64), address: Address, body: Bytes, reply: &Reply) -> Result<(), Refusal> {
        let group = self.replica(address)?;
        let bytes = body.len();
        let request = codec::decode_append(body).map_err(requests::malformed)?;
        if !request.entries.is_empty() && !(self.host.config.accepts_entries)() {
            return Err(Refusal::new(RefusalCode::NoRoom, "this store takes no entries: its disk is nearly full"));
        }
        if !self.calls.contains_key(&key) {
            self.room_for_a_call()?;
            let appends = appends::start(group.raft(), reply.clone(), self.append_bytes.clone());
            self.calls.insert(key, Ongoing::Appends(appends));
        }
        group.heard_leader();
        match self.calls.get(&key) {
            Some(Ongoing::Appends(appends)) => appends.push(request, bytes),
            _ => Err(Refusal::new(RefusalCode::Malformed, "entries in the midst of something else")),
        }
    }

    fn begin_snapshot(
        &mut self,
        key: (GroupId, u64),
        address: Address,
        body: Bytes,
        reply: &Reply,
    ) -> Result<(), Refusal> {
        let raft = self.replica(address)?.raft();
        let head = codec::decode_snapshot_head(body).map_err(requests::malformed)?;
        if !(self.host.config.accepts_entries)() {
            return Err(Refusal::new(RefusalCode::NoRoom, "this store takes no snapshot: its disk is nearly full"));
        }
        if self.calls.contains_key(&key) {
            return Err(Refusal::new(RefusalCode::Malformed, "a snapshot begins twice"));
        }
        self.room_for_a_call()?;
        let incoming = incoming::start(&self.host, raft, address.group, head, reply.clone())?;
        self.calls.insert(key, Ongoing::Snapshot(incoming));
        Ok(())
    }

    fn room_for_a_call(&self) -> Result<(), Refusal> {
        match self.calls.len() < CALLS {
            true => Ok(()),
            false => Err(Refusal::new(RefusalCode::Busy, "too many streams of this peer are open")),
        }
    }
}
