//! One request, or one stream of them, on a link: its frames out and their answers back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::RPCTypes;
use openraft::errors::{RPCError, Timeout, Unreachable};
use raftduck_model::codec::DecodeError;
use tokio::sync::mpsc;

use super::link::Link;
use crate::codec::Refusal;
use crate::frame::{Address, Kind};
use crate::types::Types;

/// What came back for one frame.
pub(crate) type Answer = Result<Bytes, Refusal>;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The peer could not be reached a moment ago.
    #[error("the peer did not answer its door a moment ago")]
    Resting,
    /// The connection ended before the answer came.
    #[error("the connection broke")]
    Broken,
    /// Too many bytes wait for this peer.
    #[error("too many bytes wait for the peer")]
    Full,
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The peer refused the frame.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The answer is not one.
    #[error("the answer makes no sense")]
    Malformed(#[source] DecodeError),
}

impl CallError {
    /// In openraft's words: it backs off from what is unreachable, and not from what was slow.
    pub(crate) fn into_rpc(self, action: RPCTypes, address: Address) -> RPCError<Types> {
        match self {
            Self::Timeout(timeout) => {
                RPCError::Timeout(Timeout { action, id: address.from.0, target: address.to.0, timeout })
            }
            other => RPCError::Unreachable(Unreachable::new(&other)),
        }
    }
}

/// A call under way. Dropping it ends it: its frames that still wait are not sent.
pub(crate) struct Call {
    link: Arc<Link>,
    address: Address,
    id: u64,
    answers: mpsc::Receiver<Answer>,
    /// Whether the peer keeps something for this call that it must be told to let go.
    lasting: bool,
}

impl Call {
    pub(super) fn new(link: Arc<Link>, address: Address, id: u64, answers: mpsc::Receiver<Answer>) -> Self {
        Self { link, address, id, answers, lasting: false }
    }

    /// Queues a frame.
    pub(crate) fn send(&mut self, kind: Kind, body: Bytes) -> Result<(), CallError> {
        self.lasting |= matches!(kind, Kind::Append | Kind::SnapshotHead);
        self.link.queue(self.address.frame(self.id, kind, body))
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> Result<Bytes, CallError> {
        self.answers.recv().await.ok_or(CallError::Broken)?.map_err(CallError::Refused)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let end = self.lasting.then(|| self.address.frame(self.id, Kind::End, Bytes::new()));
        self.link.close_call(self.id, end);
    }
}
