//! A state machine in memory: how many commands there were, and a hash chain over them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use raftduck_consensus::machine::{AppliedState, Committed, Payload, Snapshot, StateMachine};
use raftduck_model::LogId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Marks the middle of a snapshot's ballast, so that a proxy can find it on the wire.
#[allow(dead_code)]
pub const MARK: &[u8; 16] = b"\xF0ballast-middle\x0F";

#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct State {
    pub last: Option<LogId>,
    pub membership: Bytes,
    pub commands: u64,
    pub digest: u64,
}

#[derive(Default)]
pub struct MemoryMachine {
    folder: PathBuf,
    state: Mutex<State>,
    next: AtomicU64,
    /// Takes entries that do not follow the last one, as openraft's suite has them.
    lax: bool,
    /// Applying fails.
    pub broken: AtomicBool,
    /// Whether commands are kept.
    pub remembers: AtomicBool,
    pub commands: Mutex<Vec<Bytes>>,
    /// Bytes of a snapshot besides the state.
    pub ballast: AtomicUsize,
    /// Snapshots installed.
    pub installed: AtomicU64,
}

impl MemoryMachine {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ..Self::default() }
    }

    #[allow(dead_code)]
    pub fn lax(folder: &Path) -> Self {
        Self { lax: true, ..Self::new(folder) }
    }

    #[allow(dead_code)]
    pub fn state(&self) -> State {
        self.state.lock().clone()
    }
}

impl StateMachine for MemoryMachine {
    fn applied(&self) -> BoxFuture<'_, io::Result<AppliedState>> {
        let state = self.state.lock();
        let applied = AppliedState { last: state.last, membership: state.membership.clone() };
        Box::pin(async move { Ok(applied) })
    }

    fn apply(&self, entries: Vec<Committed>) -> BoxFuture<'_, io::Result<()>> {
        if self.broken.load(Ordering::Relaxed) {
            return Box::pin(async { Err(io::Error::other("the disk gave up")) });
        }
        let mut state = self.state.lock();
        for Committed { id, payload, done } in entries {
            let expected = state.last.map_or(0, |last| last.index + 1);
            if id.index != expected && !self.lax {
                let gap = format!("entry {} after {expected} was applied", id.index);
                return Box::pin(async move { Err(io::Error::other(gap)) });
            }
            state.last = Some(id);
            match payload {
                Payload::Blank => {}
                Payload::Membership(membership) => state.membership = membership,
                Payload::Command(command) => {
                    state.commands += 1;
                    if self.remembers.load(Ordering::Relaxed) {
                        self.commands.lock().push(command.clone());
                    }
                    state.digest = xxh3_64_with_seed(&command, state.digest);
                }
            }
            if let Some(done) = done {
                done(Bytes::copy_from_slice(&state.commands.to_le_bytes()));
            }
        }
        Box::pin(async { Ok(()) })
    }

    fn snapshot(&self) -> BoxFuture<'_, io::Result<Snapshot>> {
        let state = self.state.lock().clone();
        let folder = self.folder.join(format!("snapshot-{}", self.next.fetch_add(1, Ordering::Relaxed)));
        let ballast = self.ballast.load(Ordering::Relaxed);
        Box::pin(async move {
            std::fs::create_dir_all(&folder)?;
            let numbers = [state.commands.to_le_bytes(), state.digest.to_le_bytes()].concat();
            std::fs::write(folder.join("state"), numbers)?;
            std::fs::write(folder.join("empty"), b"")?;
            if ballast > 0 {
                let half = vec![0x5A; ballast / 2];
                // More than once, because a proxy may read up to anywhere.
                std::fs::write(folder.join("ballast"), [half.as_slice(), &MARK.repeat(4), &half].concat())?;
            }
            Ok(Snapshot::new(state.last, state.membership, folder))
        })
    }

    fn install(&self, snapshot: Snapshot) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let numbers = std::fs::read(snapshot.folder().join("state"))?;
            let number =
                |at: usize| numbers.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
            let (Some(commands), Some(digest)) = (number(0), number(8)) else {
                return Err(io::Error::other("the state is too short"));
            };
            let (last, membership) = (snapshot.last, snapshot.membership.clone());
            *self.state.lock() = State { last, membership, commands, digest };
            self.installed.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    }
}
