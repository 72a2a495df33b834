//! One volume's part of a plan, in steps that may each be done again.
//!
//! The plan is written down first. From then on no worker opens the volume until all of it is done,
//! so that nobody ever sees half of it; whoever is interrupted does all of it again.

use std::fs;
use std::io;

use raftduck_consensus::recover::{BeginError, begin_again, forget};
use raftduck_model::meta::{MetaCommand, Replica};
use raftduck_model::{ClusterId, GroupId};
use raftduck_wal::Wal;

use crate::metamachine::encode_command;
use crate::recover::plan::Plan;
use crate::recover::survey::{LogError, open_log, replay};
use crate::replicas::META_FOLDER;
use crate::volume::{Membership, Volume, VolumeError};

/// Why a volume's part of a plan was not done, or not wholly. Done again, it goes on.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The volume is of another cluster, or of none.
    #[error("this volume is not of cluster {0}")]
    OtherCluster(ClusterId),
    /// The plan gives the volume's store up.
    #[error("the plan does not keep this store: start its worker, and it sets its data aside and joins empty")]
    NotKept,
    /// Another plan was begun here.
    #[error("recovery {0} was begun here and not finished: finish it with `--apply {0}`")]
    Other(String),
    /// Its records.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Its log could not be opened.
    #[error(transparent)]
    Open(#[from] LogError),
    /// Its log could not be written.
    #[error(transparent)]
    Log(#[from] BeginError),
    /// The cluster's state.
    #[error("the cluster's state cannot be written")]
    Meta(#[from] io::Error),
    /// The cluster's state did not become what was planned.
    #[error("the cluster's state refuses the plan: look at the volume again, and make another")]
    Refused,
}

/// What is done, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The plan is on the volume: from here on only its end is accepted.
    Record,
    /// The logs of the groups that begin again here.
    Logs,
    /// The cluster's state, or the end of an older copy of it.
    Meta,
    /// Whose data the volume has.
    Replicas,
    /// Where the cluster is.
    Cluster,
    /// The plan is history.
    Finish,
}

/// All of them.
pub const STEPS: [Step; 6] = [Step::Record, Step::Logs, Step::Meta, Step::Replicas, Step::Cluster, Step::Finish];

/// See the module.
pub fn apply(volume: &Volume, plan: &Plan) -> Result<(), ApplyError> {
    if volume.membership()?.is_none_or(|found| found.cluster != plan.cluster) {
        return Err(ApplyError::OtherCluster(plan.cluster));
    }
    if !plan.recovery.stores.contains(&volume.store()) {
        return Err(ApplyError::NotKept);
    }
    if let Some(begun) = volume.records().recovery()?.filter(|begun| begun.id != plan.id) {
        return Err(ApplyError::Other(begun.id));
    }
    // Before anything is written: a log that cannot be opened is none that could be finished.
    let wal = open_log(volume)?;
    let done = STEPS.into_iter().try_for_each(|step| take(step, volume, &wal, plan));
    wal.close();
    done
}

/// One step.
pub fn take(step: Step, volume: &Volume, wal: &Wal, plan: &Plan) -> Result<(), ApplyError> {
    let records = volume.records();
    match step {
        Step::Record => records.begin_recovery(plan)?,
        Step::Logs => write_logs(volume, wal, plan)?,
        Step::Meta => write_meta(volume, wal, plan)?,
        Step::Replicas => {
            let mut replicas = records.replicas()?.unwrap_or_default();
            replicas.replicas.remove(&GroupId::META);
            // Those that are not taken from here stay named until the map, which names them no more, is
            // known: then their data goes as that of any replica that was moved away.
            replicas.replicas.extend(mine(volume, plan).map(|(group, replica)| (group, replica.id)));
            records.set_replicas(&replicas)?;
        }
        Step::Cluster => records.update_membership(&Membership {
            cluster: plan.cluster,
            level: plan.level,
            meta: vec![plan.recovery.meta],
            seeds: plan.seeds.clone(),
        })?,
        Step::Finish => records.end_recovery(plan)?,
    }
    Ok(())
}

/// The replicas that begin here with what the volume holds. One that begins empty is opened as any new
/// one is.
fn mine<'a>(volume: &Volume, plan: &'a Plan) -> impl Iterator<Item = (GroupId, Replica)> + use<'a> {
    let store = volume.store();
    let here = plan.groups.iter().filter(move |group| group.replica.store == store && group.last.is_some());
    here.map(|group| (group.group, group.replica))
}

fn write_logs(volume: &Volume, wal: &Wal, plan: &Plan) -> Result<(), ApplyError> {
    let command = encode_command(&MetaCommand::Recover(plan.recovery.clone()))?;
    for group in plan.groups.iter().filter(|group| group.replica.store == volume.store()) {
        let commands = if group.group == GroupId::META { std::slice::from_ref(&command) } else { &[] };
        if group.last.is_some() {
            begin_again(&wal.group(group.group), group.last, group.replica, group.term, commands)?;
        }
    }
    Ok(())
}

/// Applies the log to the state, as a worker would, and writes it down: so the first map that a worker
/// sees here is the new one. The old one would have it delete replicas that it does not know.
fn write_meta(volume: &Volume, wal: &Wal, plan: &Plan) -> Result<(), ApplyError> {
    let log = wal.group(GroupId::META);
    let folder = volume.subfolder(META_FOLDER)?;
    if plan.recovery.meta.store == volume.store() {
        let (machine, _) = replay(&folder, &log)?;
        if machine.state().epoch != plan.recovery.epoch {
            return Err(ApplyError::Refused);
        }
        machine.checkpoint()?;
        return Ok(());
    }
    // An older copy of the state: its replica could still vote with others of its kind.
    forget(&log)?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

#[cfg(test)]
#[path = "apply/tests.rs"]
mod tests;
