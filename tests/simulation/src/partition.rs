//! One partition's state machine: consensus on one side, the rows in memory on the other.

use std::fs;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use raftduck_consensus::StateMachine;
use raftduck_consensus::machine::{AppliedState, Committed, Payload, Snapshot};
use raftduck_model::{BodyDigest, KeyDigest, LogTime, PartitionId, SchemaVersion, TableId};

use crate::leadership::{Applied, AppliedKey};
use crate::rows::{Partition, Rows};

/// The only file of a snapshot.
const FILE: &str = "rows.json";
/// The longest that applying takes.
const APPLY: Duration = Duration::from_millis(4);

/// As the worker's.
pub struct PartitionMachine {
    rows: Rows,
    partition: PartitionId,
}

impl PartitionMachine {
    pub fn new(rows: Rows, partition: PartitionId) -> Self {
        Self { rows, partition }
    }

    fn apply_now(&self, entries: Vec<Committed>) -> io::Result<()> {
        let group = self.partition.group();
        self.rows.change(self.partition, |state| {
            for Committed { id, payload, done } in entries {
                let next = state.last.map_or(0, |last| last.index + 1);
                if id.index != next {
                    return Err(io::Error::other(format!("entry {} comes where {next} belongs", id.index)));
                }
                state.last = Some(id);
                self.rows.applied(group, id, &payload);
                match payload {
                    Payload::Blank => {}
                    Payload::Membership(membership) => state.membership = membership.to_vec(),
                    Payload::Command(bytes) => self.rows.command(state, id.index, bytes)?,
                }
                if let Some(done) = done {
                    done(Bytes::new());
                }
            }
            Ok(())
        })
    }
}

impl StateMachine for PartitionMachine {
    fn applied(&self) -> BoxFuture<'_, io::Result<AppliedState>> {
        let (last, membership) = self.rows.look(self.partition, |state| (state.last, state.membership.clone().into()));
        Box::pin(async move { Ok(AppliedState { last, membership }) })
    }

    fn apply(&self, entries: Vec<Committed>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            tokio::time::sleep(self.rows.pause(APPLY)).await;
            self.apply_now(entries)
        })
    }

    fn snapshot(&self) -> BoxFuture<'_, io::Result<Snapshot>> {
        Box::pin(async move {
            let folder = self.rows.new_folder()?;
            let state = self.rows.look(self.partition, Partition::clone);
            fs::write(folder.join(FILE), serde_json::to_vec(&state)?)?;
            Ok(Snapshot::new(state.last, state.membership.into(), folder))
        })
    }

    fn install(&self, snapshot: Snapshot) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let read: Partition = serde_json::from_slice(&fs::read(snapshot.folder().join(FILE))?)?;
            self.rows.change(self.partition, |state| {
                *state = read;
                // What the sender had applied beyond the snapshot's announced end comes again from its log:
                // the rows would be doubled.
                if state.last != snapshot.last {
                    return Err(io::Error::other("the snapshot is not what its sender announced"));
                }
                state.membership = snapshot.membership.to_vec();
                Ok(())
            })?;
            self.rows.checkpoint();
            Ok(())
        })
    }
}

impl Applied for PartitionMachine {
    fn key(&self, key: KeyDigest) -> Option<AppliedKey> {
        let found = self.rows.look(self.partition, |state| state.key(key))?;
        Some(AppliedKey { body: BodyDigest(found.body), index: found.index })
    }

    fn knows(&self, table: TableId, version: SchemaVersion) -> bool {
        self.rows.look(self.partition, |state| state.knows(table, version))
    }

    fn time(&self) -> LogTime {
        self.rows.look(self.partition, |state| state.time)
    }
}
