//! The meta group's state machine: [`Meta`] in memory, rebuilt from its log and its last snapshot.
//!
//! The group's log is purged only up to a snapshot that was written and synced here, so that
//! nothing needs to be written per command.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use raftduck_consensus::machine::{AppliedState, Committed, Payload, Snapshot, StateMachine};
use raftduck_model::LogId;
use raftduck_model::meta::{Meta, MetaCommand, MetaError, MetaReply};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::volume::replace_file;

const FORMAT: u32 = 1;
const STATE_FILE: &str = "meta.json";

/// What a meta command came to, as it travels back through the log.
pub type Outcome = Result<MetaReply, MetaError>;

/// The meta group's replica on this store.
pub struct MetaMachine {
    folder: PathBuf,
    state: Mutex<State>,
    published: watch::Sender<std::sync::Arc<Meta>>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct State {
    format: u32,
    last: Option<LogId>,
    /// In consensus' own encoding.
    membership: Vec<u8>,
    meta: Meta,
}

impl MetaMachine {
    /// Reads the last snapshot in `folder`, if there is one, and publishes every state after it.
    pub fn open(folder: &Path, published: watch::Sender<std::sync::Arc<Meta>>) -> io::Result<Self> {
        let state = match fs::read(folder.join(STATE_FILE)) {
            Ok(text) => read_state(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State { format: FORMAT, ..State::default() },
            Err(error) => return Err(error),
        };
        let machine = Self { folder: folder.to_owned(), state: Mutex::new(state), published };
        publish(&machine.published, &machine.state.lock().meta);
        Ok(machine)
    }

    /// Writes the state down, and says up to where the log is no longer needed for it.
    pub fn checkpoint(&self) -> io::Result<Option<LogId>> {
        let state = self.state.lock().clone();
        write_state(&self.folder, &state)?;
        Ok(state.last)
    }

    /// The cluster's state, as of the last applied entry.
    pub fn state(&self) -> Meta {
        self.state.lock().meta.clone()
    }

    /// Where it stands.
    pub fn applied_now(&self) -> AppliedState {
        let state = self.state.lock();
        AppliedState { last: state.last, membership: state.membership.clone().into() }
    }

    /// Applies entries that follow the last applied one.
    ///
    /// # Errors
    /// Where one cannot be read: it is of a newer release.
    pub fn apply_now(&self, entries: Vec<Committed>) -> io::Result<()> {
        let mut state = self.state.lock();
        for Committed { id, payload, done } in entries {
            let reply = match payload {
                Payload::Blank => Bytes::new(),
                Payload::Membership(membership) => {
                    state.membership = membership.to_vec();
                    Bytes::new()
                }
                Payload::Command(command) => {
                    // An unknown command halts the replica: skipping it would make replicas differ.
                    let command: MetaCommand = serde_json::from_slice(&command).map_err(invalid)?;
                    encode_outcome(&state.meta.apply(command))?
                }
            };
            state.last = Some(id);
            if let Some(done) = done {
                done(reply);
            }
        }
        publish(&self.published, &state.meta);
        Ok(())
    }
}

/// Makes a cluster state known, unless a newer one is. A replica that lags applies old ones, and a
/// store may have been told of newer ones by others.
pub fn publish(published: &watch::Sender<std::sync::Arc<Meta>>, meta: &Meta) {
    published.send_if_modified(|current| {
        let newer = (meta.epoch, meta.catalog_version) > (current.epoch, current.catalog_version);
        if newer {
            *current = std::sync::Arc::new(meta.clone());
        }
        newer
    });
}

/// The bytes of a command for the meta group's log.
pub fn encode_command(command: &MetaCommand) -> io::Result<Bytes> {
    serde_json::to_vec(command).map(Bytes::from).map_err(invalid)
}

/// The bytes of an outcome.
pub fn encode_outcome(outcome: &Outcome) -> io::Result<Bytes> {
    serde_json::to_vec(outcome).map(Bytes::from).map_err(invalid)
}

/// What [`encode_outcome`] wrote.
pub fn decode_outcome(bytes: &[u8]) -> io::Result<Outcome> {
    serde_json::from_slice(bytes).map_err(invalid)
}

fn invalid(error: serde_json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn read_state(text: &[u8]) -> io::Result<State> {
    let state: State = serde_json::from_slice(text).map_err(invalid)?;
    match state.format {
        FORMAT => Ok(state),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the meta state has format {other}, this build knows {FORMAT}: run a newer release"),
        )),
    }
}

fn write_state(folder: &Path, state: &State) -> io::Result<()> {
    replace_file(folder, STATE_FILE, &serde_json::to_vec(state).map_err(invalid)?)
}

impl StateMachine for MetaMachine {
    fn applied(&self) -> BoxFuture<'_, io::Result<AppliedState>> {
        let applied = self.applied_now();
        Box::pin(async move { Ok(applied) })
    }

    fn apply(&self, entries: Vec<Committed>) -> BoxFuture<'_, io::Result<()>> {
        let applied = self.apply_now(entries);
        Box::pin(async move { applied })
    }

    fn snapshot(&self) -> BoxFuture<'_, io::Result<Snapshot>> {
        Box::pin(async move {
            let state = self.state.lock().clone();
            let folder = self.folder.join(format!("outgoing-{}", uuid::Uuid::now_v7()));
            fs::create_dir_all(&folder)?;
            write_state(&folder, &state)?;
            Ok(Snapshot::new(state.last, state.membership.into(), folder))
        })
    }

    fn install(&self, snapshot: Snapshot) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let mut installed = read_state(&fs::read(snapshot.folder().join(STATE_FILE))?)?;
            installed.last = snapshot.last;
            installed.membership = snapshot.membership.to_vec();
            write_state(&self.folder, &installed)?;
            let mut state = self.state.lock();
            *state = installed;
            publish(&self.published, &state.meta);
            Ok(())
        })
    }
}
