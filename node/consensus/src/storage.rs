//! A group's log as openraft sees it, over the store's shared write-ahead log.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, stream};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use raftduck_model::codec::DecodeError;
use raftduck_model::{LogId, limits};
use raftduck_wal::GroupLog;
use tokio::sync::{oneshot, watch};

use crate::blocking::blocking;
use crate::codec::{decode_payload, decode_vote, encode_payload, encode_vote};
use crate::types::{Entry, RaftLogId, Types, Vote, from_raft, to_raft};

/// Entries read at once, for a follower or for the state machine. Two full entries keep a frame
/// below [`limits::FRAME_BYTES`] with room for an entry that went over its limit, and headers.
const READ_BYTES: usize = 2 * limits::ENTRY_BYTES;

/// One group's log; clones share it.
#[derive(Clone)]
pub struct LogStore {
    log: GroupLog,
    /// The last entry that is on disk. Only grows: what replaces a truncated end is of a later leader.
    durable: Arc<watch::Sender<Option<LogId>>>,
}

impl LogStore {
    /// Openraft's view of `log`.
    pub fn new(log: GroupLog) -> Self {
        let durable = Arc::new(watch::Sender::new(log.state().last));
        Self { log, durable }
    }

    /// Follows the last entry that is on disk.
    pub(crate) fn durable(&self) -> watch::Receiver<Option<LogId>> {
        self.durable.subscribe()
    }

    async fn read(&self, from: u64, to: u64, bytes: usize) -> io::Result<Vec<Entry>> {
        let entries = match self.log.read_recent(from, to, bytes) {
            Some(entries) => entries,
            // A disk may take longer than a heartbeat.
            None => {
                let log = self.log.clone();
                blocking(move || log.read(from, to, bytes)).await??
            }
        };
        entries
            .into_iter()
            .map(|entry| {
                let payload = decode_payload(entry.payload).map_err(corrupt)?;
                Ok(Entry { log_id: to_raft(entry.id), payload })
            })
            .collect()
    }

    /// The indexes of `range` that the log holds, its end exclusive.
    fn bounds(&self, range: &impl RangeBounds<u64>) -> (u64, u64) {
        let state = self.log.state();
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let first = state.purged.map_or(0, |id| id.index.saturating_add(1));
        let behind_last = state.last.map_or(0, |id| id.index.saturating_add(1));
        (start.max(first), end.min(behind_last))
    }
}

fn corrupt(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<Entry>, io::Error>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = self.bounds(&range);
        if start >= end {
            return Ok(Vec::new());
        }
        // Openraft asks for at most 64 entries in this way, at start only.
        self.read(start, end, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_BYTES).await
    }

    async fn entries_stream<R>(&mut self, range: R) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = self.bounds(&range);
        let log = self.clone();
        // What waits to be applied can be far more than should be in memory at once.
        let pieces = stream::unfold(Some(start), move |next| {
            let log = log.clone();
            async move {
                let from = next.filter(|from| *from < end)?;
                let (piece, next) = match log.read(from, end, READ_BYTES).await {
                    Ok(entries) => {
                        let next = entries.last().map(|entry| entry.log_id.index + 1);
                        (entries.into_iter().map(Ok).collect(), next)
                    }
                    Err(error) => (vec![Err(error)], None),
                };
                Some((stream::iter(piece), next))
            }
        });
        Box::pin(futures::StreamExt::flatten(pieces))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        self.log.state().vote.map(|bytes| decode_vote(bytes).map_err(corrupt)).transpose()
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let state = self.log.state();
        let purged = state.purged.map(to_raft);
        Ok(LogState { last_purged_log_id: purged, last_log_id: state.last.map(to_raft).or(purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let bytes: Bytes = encode_vote(vote);
        let (durable, saved) = oneshot::channel();
        self.log.save_vote(
            bytes,
            Box::new(move || {
                let _ = durable.send(());
            }),
        );
        saved.await.map_err(|_| io::Error::other("the log closed before the vote was on disk"))
    }

    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> Result<(), io::Error> {
        if let Some(id) = committed {
            self.log.save_committed(from_raft(id));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<RaftLogId>, io::Error> {
        Ok(self.log.state().committed.map(to_raft))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encoded =
            |entry: Entry| raftduck_wal::Entry { id: from_raft(entry.log_id), payload: encode_payload(&entry.payload) };
        let entries: Vec<_> = entries.into_iter().map(encoded).collect();
        let (last, durable) = (entries.last().map(|entry| entry.id), self.durable.clone());
        let done = move || {
            durable.send_modify(|before| *before = last.max(*before));
            callback.io_completed(Ok(()));
        };
        self.log.append(entries, Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<RaftLogId>) -> Result<(), io::Error> {
        self.log.truncate_after(last.map(from_raft));
        Ok(())
    }

    async fn purge(&mut self, upto: RaftLogId) -> Result<(), io::Error> {
        self.log.purge(from_raft(upto));
        Ok(())
    }
}
