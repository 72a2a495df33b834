//! The handles callers hold.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use raftduck_model::{GroupId, LogId};

use crate::disk::Disk;
use crate::fatal::FatalHook;
use crate::open::{self, OpenError};
use crate::options::Options;
use crate::state::{Phase, Source, SourceAt, State};
use crate::stats::{Room, Stats};
use crate::writer::Driver;

/// Called by the log thread once everything asked for up to then is durable, in the order it was
/// asked for. It must not block. Dropped uncalled if the log ends before.
pub type Done = Box<dyn FnOnce() + Send>;

/// How often someone who finds the log full makes it look for space again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One entry of a group's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its position.
    pub id: LogId,
    /// Opaque here. Held in memory as it is, so it should not be a small part of a large buffer.
    pub payload: Bytes,
}

/// One group's log as callers see it, ahead of the disk by what waits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupState {
    /// The saved vote.
    pub vote: Option<Bytes>,
    /// The saved committed position; after a crash perhaps an earlier one.
    pub committed: Option<LogId>,
    /// Everything up to here has left the front.
    pub purged: Option<LogId>,
    /// The end: the last entry, or `purged` where there is none.
    pub last: Option<LogId>,
    /// The payloads' lengths, summed.
    pub bytes: u64,
}

impl GroupState {
    /// Whether nothing was ever saved for the group.
    pub fn is_empty(&self) -> bool {
        self.vote.is_none() && self.committed.is_none() && self.purged.is_none() && self.last.is_none()
    }
}

/// What the handles and the log thread share.
pub(crate) struct Shared {
    pub state: Mutex<State>,
    pub wake: Condvar,
}

/// Ends the log thread with the last handle.
struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    looked: Mutex<Option<Instant>>,
}

/// A store's log. Cheap to clone; the last handle to go closes it.
#[derive(Clone)]
pub struct Wal(Arc<Owner>);

/// One group's part of a store's log.
#[derive(Clone)]
pub struct GroupLog {
    wal: Wal,
    group: GroupId,
}

impl Wal {
    /// Opens the log in `folder`, or begins it there, and reads it through.
    ///
    /// # Errors
    /// Where the folder is in use, cannot be read, or does not read back as it was written.
    /// Nothing is changed then, except that a torn end may have been wiped.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, options: Options, fatal: FatalHook) -> Result<Wal, OpenError> {
        let (shared, writer) = open::open(disk, folder, options, fatal)?;
        let spawned = thread::Builder::new().name("wal".into()).spawn(move || writer.run());
        let thread = spawned.map_err(|source| OpenError::Io { what: "starting the log thread", source })?;
        Ok(Self::of(shared, Some(thread)))
    }

    /// The same without the log thread: nothing is written but by [`Driver::round`]. For simulations.
    ///
    /// # Errors
    /// As [`Wal::open`].
    pub fn open_driven(
        disk: Arc<dyn Disk>,
        folder: &Path,
        options: Options,
        fatal: FatalHook,
    ) -> Result<(Wal, Driver), OpenError> {
        let (shared, writer) = open::open(disk, folder, options, fatal)?;
        Ok((Self::of(shared, None), Driver::new(writer)))
    }

    fn of(shared: Arc<Shared>, thread: Option<JoinHandle<()>>) -> Self {
        Wal(Arc::new(Owner { shared, thread: Mutex::new(thread), looked: Mutex::new(None) }))
    }

    /// The group's log; a group that has none gets one with its first change.
    pub fn group(&self, group: GroupId) -> GroupLog {
        GroupLog { wal: self.clone(), group }
    }

    /// All groups that have a log, in order.
    pub fn groups(&self) -> Vec<GroupId> {
        self.0.shared.state.lock().groups.keys().copied().collect()
    }

    /// Forgets the group, its vote and all. Durable with whatever is next reported durable.
    pub fn remove_group(&self, group: GroupId) {
        self.0.ask(|state| state.remove_group(group));
    }

    /// Whether more may be proposed or accepted: to be asked before, since nothing refuses
    /// afterwards.
    pub fn room(&self) -> Room {
        let mut state = self.0.shared.state.lock();
        if state.full {
            let mut looked = self.0.looked.lock();
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN) {
                *looked = Some(Instant::now());
                state.look_again = true;
                self.0.shared.wake.notify_one();
            }
            return Room::Full;
        }
        if state.queue.bytes > state.options.queue_bytes as u64 { Room::Busy } else { Room::Ok }
    }

    /// The longest payload an entry may have, in bytes.
    pub fn entry_limit(&self) -> u64 {
        self.0.shared.state.lock().options.entry_bytes()
    }

    /// Figures.
    pub fn stats(&self) -> Stats {
        let state = self.0.shared.state.lock();
        let segments = state.segments.iter();
        let (disk_bytes, live_bytes) =
            segments.fold((state.spare_bytes, 0), |sum, segment| (sum.0 + segment.bytes, sum.1 + segment.live_bytes));
        Stats {
            segments: state.segments.count() as u64,
            disk_bytes,
            live_bytes,
            reserve_bytes: state.reserve_bytes,
            queue_bytes: state.queue.bytes,
            cache_bytes: state.cache.bytes,
            entries: state.groups.values().map(|group| group.slots.len() as u64).sum(),
            ..state.stats
        }
    }

    /// Writes what waits, ends the log thread and lets the folder go. What is asked for
    /// afterwards is ignored, and its [`Done`] dropped.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Owner {
    /// Changes the state and wakes the log thread if there is now something to sync.
    fn ask(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.shared.state.lock();
        change(&mut state);
        let wake = state.queue.has_urgent() || state.queue.fatal.is_some();
        drop(state);
        if wake {
            self.shared.wake.notify_one();
        }
    }

    fn close(&self) {
        let mut state = self.shared.state.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
        drop(state);
        self.shared.wake.notify_one();
        let thread = self.thread.lock().take();
        // The last handle may go inside a Done, on the log thread itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            // A panic there was reported through the fatal hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

impl GroupLog {
    /// Which group this is.
    pub fn id(&self) -> GroupId {
        self.group
    }

    /// The log this is a part of.
    pub fn wal(&self) -> &Wal {
        &self.wal
    }

    /// How the group's log stands.
    pub fn state(&self) -> GroupState {
        let state = self.wal.0.shared.state.lock();
        let Some(group) = state.groups.get(&self.group) else { return GroupState::default() };
        let row = group.row.clone();
        GroupState { vote: row.vote, committed: row.committed, purged: row.purged, last: row.last, bytes: group.bytes }
    }

    /// Appends entries: readable when this returns, durable when `done` is called. They follow
    /// the log's end, or replace it from the first one's index on; anything else (a gap, an
    /// index that is purged, a payload above [`Wal::entry_limit`]) is a fault of the caller
    /// that ends the log through its fatal hook.
    pub fn append(&self, entries: Vec<Entry>, done: Done) {
        let crcs = entries.iter().map(|entry| crc32fast::hash(&entry.payload)).collect();
        self.wal.0.ask(|state| state.append(self.group, entries, crcs, Some(done)));
    }

    /// Takes out every entry after `last`; all of them for None.
    pub fn truncate_after(&self, last: Option<LogId>) {
        self.wal.0.ask(|state| state.truncate_after(self.group, last));
    }

    /// Takes out every entry up to and with `upto`, which may lie beyond the end (a snapshot was
    /// installed); the log then goes on behind it.
    pub fn purge(&self, upto: LogId) {
        self.wal.0.ask(|state| state.purge(self.group, upto));
    }

    /// Saves the vote, at most [`crate::format::record::VOTE_BYTES`]; `done` is called when it
    /// is durable, with everything asked for before.
    pub fn save_vote(&self, vote: Bytes, done: Done) {
        self.wal.0.ask(|state| state.save_vote(self.group, vote, Some(done)));
    }

    /// Notes how far the log is committed. Costs no sync: it rides with the next one, or with
    /// [`Wal::close`].
    pub fn save_committed(&self, committed: LogId) {
        self.wal.0.ask(|state| state.save_committed(self.group, committed));
    }

    /// What [`GroupLog::read`] would give, if all of it is in memory; none where that would read
    /// from the disk, which those who must not block leave to another thread.
    pub fn read_recent(&self, from: u64, to: u64, max_bytes: usize) -> Option<Vec<Entry>> {
        let sources = self.wal.0.shared.state.lock().sources(self.group, from, to, max_bytes);
        let in_memory = |Source { id, at, .. }| match at {
            SourceAt::Memory(payload) => Some(Entry { id, payload }),
            SourceAt::Disk(..) => None,
        };
        sources.into_iter().map(in_memory).collect()
    }

    /// Reads the entries of `from..to` that are there, in order and without gaps, up to
    /// `max_bytes` of payload but at least one. May read from the disk.
    ///
    /// # Errors
    /// Where the disk cannot be read, or an entry does not read back as it was written.
    pub fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let sources = self.wal.0.shared.state.lock().sources(self.group, from, to, max_bytes);
        sources.into_iter().map(load).collect()
    }
}

/// Reads one entry and checks it.
pub(crate) fn load(source: Source) -> io::Result<Entry> {
    let payload = match source.at {
        SourceAt::Memory(payload) => payload,
        SourceAt::Disk(file, place) => {
            let mut payload = vec![0; source.length as usize];
            file.read(place.offset, &mut payload)?;
            if crc32fast::hash(&payload) != source.crc {
                let text = format!(
                    "entry {} in segment {} at byte {} does not read back as it was written: replace this replica",
                    source.id, place.segment, place.offset
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            payload.into()
        }
    };
    Ok(Entry { id: source.id, payload })
}
