//! One group's entries to one follower: several frames under way at once, answers in order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};
use raftduck_model::codec::DecodeError;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::call::{Call, CallError};
use super::link::Link;
use crate::codec;
use crate::frame::{Address, Kind};
use crate::types::{RaftLogId, Types};

/// Frames of one group under way to one follower. Measured: 32 are as fast as more.
pub(crate) const FRAMES: usize = 32;
/// Their bytes: more in flight buys latency only. The frame that crosses the bound still goes.
const BYTES: usize = 4 << 20;

/// What a request spans, to check its answer by.
#[derive(Clone, Copy)]
pub(super) struct Range {
    prev: Option<RaftLogId>,
    last: Option<RaftLogId>,
}

impl Range {
    pub(super) fn of(request: &AppendEntriesRequest<Types>) -> Self {
        let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        Self { prev: request.prev_log_id, last }
    }

    /// The answer, if a follower can have given it: openraft takes that for granted.
    pub(super) fn check(self, answer: StreamAppendResult<Types>) -> Result<StreamAppendResult<Types>, CallError> {
        let sound = match &answer {
            Ok(matched) => *matched >= self.prev && *matched <= self.last,
            Err(StreamAppendError::Conflict(id)) => Some(*id) == self.prev,
            Err(StreamAppendError::HigherVote(_)) => true,
        };
        match sound {
            true => Ok(answer),
            false => Err(CallError::Malformed(DecodeError::Invalid("the answer is to another request"))),
        }
    }
}

struct Sent {
    range: Range,
    bytes: usize,
    _room: OwnedSemaphorePermit,
}

type Admission = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

struct Pipeline<S> {
    call: Call,
    link: Arc<Link>,
    /// None once it has ended.
    input: Option<S>,
    /// A request that waits for its share of the link.
    held: Option<(Range, Bytes, Admission)>,
    sent: VecDeque<Sent>,
    sent_bytes: usize,
    patience: Duration,
    /// When the oldest frame under way, or the held one, has waited long enough.
    deadline: Instant,
    over: bool,
}

enum Event {
    Request(Option<AppendEntriesRequest<Types>>),
    Admitted(Option<OwnedSemaphorePermit>),
    Answer(Result<Bytes, CallError>),
    Late,
}

type Outcome = Result<StreamAppendResult<Types>, CallError>;

/// Sends `input` and yields the answers. Ends after the first that is not a match, and after the
/// last when `input` has ended.
pub(super) fn run<S>(
    link: Arc<Link>,
    address: Address,
    input: S,
    patience: Duration,
) -> impl Stream<Item = Outcome> + Send
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    let pipeline = Pipeline {
        call: link.open(address),
        link,
        input: Some(input),
        held: None,
        sent: VecDeque::new(),
        sent_bytes: 0,
        patience,
        deadline: Instant::now() + patience,
        over: false,
    };
    futures::stream::unfold(pipeline, |mut pipeline| async move {
        let outcome = pipeline.next().await?;
        pipeline.over = !matches!(outcome, Ok(Ok(_)));
        Some((outcome, pipeline))
    })
}

impl<S> Pipeline<S>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    async fn next(&mut self) -> Option<Outcome> {
        loop {
            if self.over || (self.input.is_none() && self.held.is_none() && self.sent.is_empty()) {
                return None;
            }
            let outcome = match self.event().await {
                Event::Request(None) => {
                    self.input = None;
                    continue;
                }
                Event::Request(Some(request)) => {
                    self.hold(&request);
                    continue;
                }
                Event::Admitted(None) => Err(CallError::Broken),
                Event::Admitted(Some(room)) => match self.send(room) {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
                Event::Answer(Err(error)) => Err(error),
                Event::Answer(Ok(body)) => self.settle(body),
                Event::Late => Err(CallError::Timeout(self.patience)),
            };
            return Some(outcome);
        }
    }

    async fn event(&mut self) -> Event {
        let room = self.held.is_none() && self.sent.len() < FRAMES && self.sent_bytes < BYTES;
        let waits = self.held.is_some() || !self.sent.is_empty();
        let Self { call, input, held, deadline, .. } = self;
        tokio::select! {
            biased;
            // Also where nothing is under way: a broken connection is to be noticed at once.
            answer = call.answer() => Event::Answer(answer),
            room = async { match held { Some((_, _, admission)) => admission.await, None => None } }, if held.is_some() => {
                Event::Admitted(room)
            }
            request = async { match input { Some(input) => input.next().await, None => None } }, if room && input.is_some() => {
                Event::Request(request)
            }
            () = tokio::time::sleep_until(*deadline), if waits => Event::Late,
        }
    }

    fn hold(&mut self, request: &AppendEntriesRequest<Types>) {
        let body = codec::encode_append(request);
        let kib = body.len().div_ceil(1024).max(1) as u32;
        let admission = self.link.budget.clone().acquire_many_owned(kib);
        if self.sent.is_empty() {
            self.deadline = Instant::now() + self.patience;
        }
        self.held = Some((Range::of(request), body, Box::pin(async move { admission.await.ok() })));
    }

    fn send(&mut self, room: OwnedSemaphorePermit) -> Result<(), CallError> {
        let Some((range, body, _)) = self.held.take() else { return Ok(()) };
        let bytes = body.len();
        self.call.send(Kind::Append, body)?;
        if self.sent.is_empty() {
            self.deadline = Instant::now() + self.patience;
        }
        self.sent_bytes += bytes;
        self.sent.push_back(Sent { range, bytes, _room: room });
        Ok(())
    }

    fn settle(&mut self, body: Bytes) -> Outcome {
        let Some(sent) = self.sent.pop_front() else {
            return Err(CallError::Malformed(DecodeError::Invalid("an answer without a request")));
        };
        self.sent_bytes = self.sent_bytes.saturating_sub(sent.bytes);
        self.deadline = Instant::now() + self.patience;
        let answer = codec::decode_append_answer(body).map_err(CallError::Malformed)?;
        sent.range.check(answer)
    }
}
