//! Reading a volume whose worker does not run.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use raftduck_consensus::machine::{AppliedState, Committed, Payload};
use raftduck_consensus::recover::{self, Standing};
use raftduck_engine::{Inspected, inspect};
use raftduck_model::meta::Meta;
use raftduck_model::{Command, CommandBody, GroupId, PartitionId, ReplicaId, StoreId, Table, TableId};
use raftduck_wal::{GroupLog, Options, RealDisk, Wal, abort_process};
use tokio::sync::watch;

use crate::metamachine::MetaMachine;
use crate::recover::report::{ReplicaReport, Report};
use crate::replicas::META_FOLDER;
use crate::volume::{Volume, VolumeError};

/// Why a volume could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// Its records.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// It is an empty store's.
    #[error("this store belongs to no cluster yet: there is nothing to recover on it")]
    NoCluster,
    /// A plan was begun here and not finished.
    #[error("recovery {0} was begun here and not finished: finish it with `--apply {0}`")]
    Begun(String),
    /// Its log.
    #[error("the log cannot be opened")]
    Log(#[from] raftduck_wal::OpenError),
    /// Its rows.
    #[error("the rows cannot be read")]
    Rows(#[from] raftduck_engine::OpenError),
    /// One group's log or state.
    #[error("group {group} cannot be read")]
    Group {
        /// The group.
        group: GroupId,
        /// Why.
        source: io::Error,
    },
}

/// The volume's log.
pub fn open_log(volume: &Volume) -> Result<Wal, LogError> {
    let folder = volume.subfolder("log")?;
    Ok(Wal::open(Arc::new(RealDisk), &folder, Options::default(), abort_process())?)
}

/// Why a volume's log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Its folder.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The log.
    #[error("the log cannot be opened")]
    Log(#[from] raftduck_wal::OpenError),
}

impl From<LogError> for SurveyError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Volume(error) => Self::Volume(error),
            LogError::Log(error) => Self::Log(error),
        }
    }
}

/// See the module.
pub fn survey(volume: &Volume) -> Result<Report, SurveyError> {
    let membership = volume.membership()?.ok_or(SurveyError::NoCluster)?;
    if let Some(begun) = volume.records().recovery()? {
        return Err(SurveyError::Begun(begun.id));
    }
    let wal = open_log(volume)?;
    let rows = inspect(&volume.subfolder("rows")?)?;
    let mut report = Report::new(membership.cluster, membership.level, volume.store());
    let mut tables = Tables::of(&rows);
    let recorded = volume.records().replicas()?.map(|recorded| recorded.replicas);
    for group in wal.groups() {
        if recorded.as_ref().is_some_and(|recorded| !recorded.contains_key(&group)) {
            // What is left of a replica that is being deleted.
            continue;
        }
        let damaged = |source| SurveyError::Group { group, source };
        let log = wal.group(group);
        let (standing, applied) = match group.partition() {
            None => {
                let (standing, state) = read_meta(volume, &log).map_err(damaged)?;
                report.meta = Some(state);
                let applied = standing.last;
                (standing, applied)
            }
            Some(partition) => {
                let applied = rows.applied.get(&partition).cloned().unwrap_or_default();
                let applied = AppliedState { last: applied.last, membership: applied.membership };
                let standing = recover::read(&log, &applied, |entry| tables.learn(partition, entry));
                (standing.map_err(damaged)?, applied.last)
            }
        };
        let known = recorded.as_ref().and_then(|recorded| recorded.get(&group).copied());
        let Some(replica) = known.or_else(|| named(&standing, volume.store())) else { continue };
        let Standing { term, last, committed, voters, learners } = standing;
        report.replicas.push(ReplicaReport { group, replica, term, last, committed, applied, voters, learners });
    }
    wal.close();
    report.tables = tables.newest();
    Ok(report)
}

/// The store's replica by the group's own membership, for volumes from before there was a record of it.
fn named(standing: &Standing, store: StoreId) -> Option<ReplicaId> {
    let members = standing.voters.iter().flatten().chain(&standing.learners);
    members.filter(|member| member.store == store).map(|member| member.id).max()
}

/// The cluster's state once all of the log is applied. Writes nothing.
fn read_meta(volume: &Volume, log: &GroupLog) -> io::Result<(Standing, Meta)> {
    let folder = volume.subfolder(META_FOLDER).map_err(io::Error::other)?;
    let (machine, standing) = replay(&folder, log)?;
    Ok((standing, machine.state()))
}

/// The meta group's state machine with all of the log applied, in memory.
pub fn replay(folder: &std::path::Path, log: &GroupLog) -> io::Result<(MetaMachine, Standing)> {
    let machine = MetaMachine::open(folder, watch::Sender::default())?;
    let standing = recover::read(log, &machine.applied_now(), |entry| machine.apply_now(vec![entry]))?;
    Ok((machine, standing))
}

/// The tables that partitions know, from the rows' file and then from their logs.
struct Tables {
    known: BTreeMap<(PartitionId, TableId), Table>,
    dropped: BTreeSet<TableId>,
}

impl Tables {
    fn of(rows: &Inspected) -> Self {
        // Older versions come first.
        let known = rows.schemas.iter().map(|(partition, table)| ((*partition, table.id), table.clone()));
        Self { known: known.collect(), dropped: BTreeSet::new() }
    }

    fn learn(&mut self, partition: PartitionId, entry: Committed) -> io::Result<()> {
        let Payload::Command(bytes) = entry.payload else { return Ok(()) };
        match Command::decode(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?.body {
            CommandBody::SetSchema(table) => {
                self.known.insert((partition, table.id), table);
            }
            CommandBody::DropTable(table) => {
                self.dropped.insert(table);
            }
            CommandBody::Append(_) => {}
        }
        Ok(())
    }

    fn newest(self) -> Vec<Table> {
        let mut newest: BTreeMap<TableId, Table> = BTreeMap::new();
        for ((_, id), table) in self.known {
            let newer = newest.get(&id).is_none_or(|known| known.version < table.version);
            if newer && !self.dropped.contains(&id) {
                newest.insert(id, table);
            }
        }
        newest.into_values().collect()
    }
}
