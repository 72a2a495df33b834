//! One group's entries from one leader, in order, and their answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use openraft::raft::AppendEntriesRequest;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::requests::stopped;
use super::session::Reply;
use crate::codec::{self, Refusal, RefusalCode};
use crate::group::Raft;
use crate::types::Types;

/// Frames of one stream that are not answered; its sender keeps to 32.
const FRAMES: usize = 64;
/// Bytes of one peer's streams that are not answered; its sender keeps to 48 MiB.
const BYTES: usize = 96 << 20;
/// How long the group may take over the oldest frame. Twice the sender's patience.
const PATIENCE: Duration = Duration::from_secs(6);

/// A running append stream; it ends when this is dropped.
pub(super) struct Appends {
    requests: mpsc::Sender<AppendEntriesRequest<Types>>,
    account: Arc<Account>,
}

/// The stream's bytes that are not answered, as part of its peer's.
struct Account {
    unanswered: Mutex<VecDeque<usize>>,
    total: Arc<AtomicUsize>,
}

impl Account {
    fn settle_one(&self) {
        if let Some(bytes) = self.unanswered.lock().pop_front() {
            self.total.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let left: usize = self.unanswered.lock().iter().sum();
        self.total.fetch_sub(left, Ordering::Relaxed);
    }
}

/// Starts a stream whose answers go to `reply`; `total` counts all of the peer's.
pub(super) fn start(raft: Raft, reply: Reply, total: Arc<AtomicUsize>) -> Appends {
    let (requests, queue) = mpsc::channel(FRAMES);
    let account = Arc::new(Account { unanswered: Mutex::default(), total });
    tokio::spawn(answer(raft, queue, reply, account.clone()));
    Appends { requests, account }
}

impl Appends {
    /// Queues a request of `bytes`, without waiting.
    pub(super) fn push(&self, request: AppendEntriesRequest<Types>, bytes: usize) -> Result<(), Refusal> {
        let busy = || Refusal::new(RefusalCode::Busy, "too many entries of this peer wait here");
        let total = self.account.total.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.account.unanswered.lock().push_back(bytes);
        if total > BYTES {
            return Err(busy());
        }
        self.requests.try_send(request).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => busy(),
            mpsc::error::TrySendError::Closed(_) => Refusal::new(RefusalCode::Stopped, "the stream was over"),
        })
    }
}

async fn answer(raft: Raft, queue: mpsc::Receiver<AppendEntriesRequest<Types>>, reply: Reply, account: Arc<Account>) {
    let mut answers = std::pin::pin!(raft.stream_append(ReceiverStream::new(queue)));
    loop {
        let idle = account.unanswered.lock().is_empty();
        let answer = match tokio::time::timeout(PATIENCE, answers.next()).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return,
            Err(_) if idle => continue,
            Err(_) => {
                reply.refuse(Refusal::new(RefusalCode::Stopped, "the replica did not answer in time")).await;
                return;
            }
        };
        account.settle_one();
        let delivered = match answer {
            Ok(answer) => reply.answer(codec::encode_append_answer(&answer)).await,
            Err(fatal) => {
                reply.refuse(stopped(fatal)).await;
                return;
            }
        };
        if !delivered {
            return;
        }
    }
}
