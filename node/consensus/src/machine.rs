//! What a group's log is applied to: implemented by the worker, driven by this crate.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::future::BoxFuture;
use raftduck_model::LogId;

use crate::blocking::detached;

/// One replica's state. Calls for one group come one at a time, except that [`StateMachine::applied`]
/// and [`StateMachine::snapshot`] may come beside an [`StateMachine::apply`].
pub trait StateMachine: Send + Sync + 'static {
    /// Up to where the state has what the log says, as it will still be after a crash.
    fn applied(&self) -> BoxFuture<'_, io::Result<AppliedState>>;

    /// Applies entries that follow the last applied one without a gap; returns once reads see them.
    ///
    /// # Errors
    /// An error halts the replica: what the log's content alone decides is a reply, not an error.
    fn apply(&self, entries: Vec<Committed>) -> BoxFuture<'_, io::Result<()>>;

    /// The state as files, at its last applied entry or later. Called when a follower needs it.
    ///
    /// # Errors
    /// The follower goes without for now; it is tried again later.
    fn snapshot(&self) -> BoxFuture<'_, io::Result<Snapshot>>;

    /// Replaces the state by a snapshot. Returns once that survives a crash: the log before the
    /// snapshot is purged then.
    ///
    /// # Errors
    /// An error halts the replica.
    fn install(&self, snapshot: Snapshot) -> BoxFuture<'_, io::Result<()>>;
}

/// Where a state machine stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AppliedState {
    /// The last entry whose effects are in it; none before the first.
    pub last: Option<LogId>,
    /// The last [`Payload::Membership`] applied or installed, byte for byte; empty before the first.
    pub membership: Bytes,
}

/// A committed entry.
pub struct Committed {
    /// Its position.
    pub id: LogId,
    /// What it says.
    pub payload: Payload,
    /// Takes the reply once the entry is applied; none where nobody waits here.
    pub done: Option<Done>,
}

/// Takes the reply to an applied command.
pub type Done = Box<dyn FnOnce(Bytes) + Send>;

/// What an entry says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// Nothing; only its position is to be recorded. A new leader's first entry.
    Blank,
    /// A command, as it was proposed.
    Command(Bytes),
    /// The group's members from now on, to be kept for [`AppliedState::membership`] as they are.
    Membership(Bytes),
}

/// A state as a folder of files, without folders inside it. The folder belongs to the snapshot and
/// is removed with it, soon after where that happens on a runtime: gigabytes take a while to go.
#[derive(Debug)]
pub struct Snapshot {
    /// The last entry whose effects are in it; none where there is none.
    pub last: Option<LogId>,
    /// As [`AppliedState::membership`], at `last`.
    pub membership: Bytes,
    folder: PathBuf,
}

impl Snapshot {
    /// A snapshot that owns `folder`.
    pub fn new(last: Option<LogId>, membership: Bytes, folder: PathBuf) -> Self {
        Self { last, membership, folder }
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let folder = std::mem::take(&mut self.folder);
        detached(move || remove(&folder));
    }
}

fn remove(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "a used snapshot could not be removed");
        }
    }
}
