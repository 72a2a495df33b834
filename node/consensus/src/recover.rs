//! A group's log while no replica of it runs: what recovery by hand reads of it, and how it makes one
//! replica the group's only voter.
//!
//! That replica's log is written as a leader of a new term would have written it that was alone to
//! begin with: its vote, then a membership of it alone, then commands. What the log held before stays
//! before them, entries among it that were perhaps never committed. The replica has an id that the
//! group never saw, so nothing that an old replica says or was told concerns it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc;

use bytes::Bytes;
use openraft::EntryPayload;
use raftduck_model::codec::DecodeError;
use raftduck_model::meta::Replica;
use raftduck_model::{GroupId, LogId, ReplicaId};
use raftduck_wal::{Entry, GroupLog};

use crate::codec::{
    decode_payload, decode_stored_membership, decode_vote, encode_payload, encode_stored_membership, encode_vote,
};
use crate::group::COMMAND_BYTES;
use crate::machine::{AppliedState, Committed, Payload};
use crate::types::{Command, LeaderId, Membership, Node, StoredMembership, Vote, to_raft};

/// Entries read at once, in bytes.
const READ_BYTES: usize = 8 << 20;

/// How far a replica's log and state machine are, together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// The highest term that the replica knows of.
    pub term: u64,
    /// The end of its log, or of its state machine where that is further; none for an empty replica.
    pub last: Option<LogId>,
    /// What is known here to be committed. More may be.
    pub committed: Option<LogId>,
    /// The group's sets of voters, as of the last membership here; majorities of all of them decide.
    pub voters: Vec<Vec<Replica>>,
    /// Its replicas that do not vote.
    pub learners: Vec<Replica>,
}

/// Why a log was not begun again. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// It is not as it was when that was planned.
    #[error("the log of group {group} ends at {found:?}, not at {planned:?}: something has written to it meanwhile")]
    Moved {
        /// The group.
        group: GroupId,
        /// Where it ends.
        found: Option<LogId>,
        /// Where it was to end.
        planned: Option<LogId>,
    },
    /// A command is beyond [`COMMAND_BYTES`].
    #[error("a command of {bytes} bytes does not fit an entry of group {group}")]
    TooLarge {
        /// The group.
        group: GroupId,
        /// The command's length.
        bytes: usize,
    },
    /// The log ended before what was written was on the disk.
    #[error("the log has ended: see the errors above")]
    Ended,
}

/// Reads what the log has behind `applied`, hands each entry to `each`, and says how the replica stands.
/// May read from the disk.
///
/// # Errors
/// Where the log or the applied membership does not read back, or `each` says so.
pub fn read(
    log: &GroupLog,
    applied: &AppliedState,
    mut each: impl FnMut(Committed) -> io::Result<()>,
) -> io::Result<Standing> {
    let state = log.state();
    let vote = state.vote.map(decode_vote).transpose().map_err(corrupt)?;
    let mut members = decode_stored_membership(applied.membership.clone()).map_err(corrupt)?;
    let first = state.purged.map_or(0, |id| id.index.saturating_add(1));
    let behind = |id: Option<LogId>| id.map_or(0, |id| id.index.saturating_add(1));
    if behind(applied.last) < first {
        let text =
            format!("the log begins at {first}, but its state ends at {:?}: what lies between is gone", applied.last);
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let (mut next, end) = (behind(applied.last), behind(state.last));
    while next < end {
        let entries = log.read(next, end, READ_BYTES)?;
        if entries.first().map(|entry| entry.id.index) != Some(next) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the log has no entry {next}")));
        }
        for Entry { id, payload } in entries {
            next = id.index.saturating_add(1);
            let payload = match decode_payload(payload).map_err(corrupt)? {
                EntryPayload::Blank => Payload::Blank,
                EntryPayload::Normal(command) => Payload::Command(command.data()),
                EntryPayload::Membership(membership) => {
                    members = StoredMembership::new(Some(to_raft(id)), membership);
                    Payload::Membership(encode_stored_membership(&members))
                }
            };
            each(Committed { id, payload, done: None })?;
        }
    }
    let last = further(state.last, applied.last);
    let membership = members.membership();
    let known = |id: u64| membership.get_node(&id).map(|node| Replica { id: ReplicaId(id), store: node.store });
    let voters = membership.get_joint_config().iter();
    Ok(Standing {
        term: vote.map_or(0, |vote| vote.leader_id.term).max(last.map_or(0, |last| last.term)),
        last,
        committed: further(state.committed, applied.last),
        voters: voters.map(|set| set.iter().copied().filter_map(known).collect()).collect(),
        learners: membership.learner_ids().filter_map(known).collect(),
    })
}

fn further(a: Option<LogId>, b: Option<LogId>) -> Option<LogId> {
    a.into_iter().chain(b).max_by_key(|id| id.index)
}

fn corrupt(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Makes `replica` its group's only voter, from `base` on, where its log and its state end together; it
/// has led `term` and written the commands then. Returns once that is on the disk, with the last
/// entry's position. Begun again after a crash within, it writes what is missing yet.
///
/// The caller answers for what nothing here can know: that the group's majority is gone for good, and
/// that the id and the term are above all that the group ever had.
///
/// # Errors
/// See [`BeginError`].
pub fn begin_again(
    log: &GroupLog,
    base: Option<LogId>,
    replica: Replica,
    term: u64,
    commands: &[Bytes],
) -> Result<LogId, BeginError> {
    let group = log.id();
    if let Some(bytes) = commands.iter().map(Bytes::len).find(|bytes| *bytes > COMMAND_BYTES) {
        return Err(BeginError::TooLarge { group, bytes });
    }
    let alone = EntryPayload::Membership(alone(replica));
    let payloads = commands.iter().map(|command| EntryPayload::Normal(Command::new(command)));
    let first = base.map_or(0, |base| base.index.saturating_add(1));
    let mut entries: Vec<Entry> = (first..)
        .zip([alone].into_iter().chain(payloads))
        .map(|(index, payload)| Entry {
            id: LogId { term, leader: replica.id, index },
            payload: encode_payload(&payload),
        })
        .collect();
    let last = LogId { term, leader: replica.id, index: first + commands.len() as u64 };
    let found = log.state().last;
    let written = entries.iter().position(|entry| Some(entry.id) == found);
    match written {
        Some(position) => drop(entries.drain(..=position)),
        None if found == base => {}
        // The state machine took over a snapshot, and its log did not follow: a start would purge too.
        None if found.map(|found| found.index) < base.map(|base| base.index) => {
            if let Some(base) = base {
                log.purge(base);
            }
        }
        None => return Err(BeginError::Moved { group, found, planned: base }),
    }
    let (done, durable) = mpsc::channel();
    let vote = Vote { leader_id: LeaderId { term, node_id: replica.id.0 }, committed: true };
    log.save_vote(encode_vote(&vote), Box::new(|| {}));
    // With none left to append this is called once the vote is on the disk.
    log.append(entries, Box::new(move || _ = done.send(())));
    durable.recv().map_err(|_| BeginError::Ended)?;
    Ok(last)
}

/// Forgets the log of a group of which this store has no replica any more; returns once that is on the
/// disk. One that is forgotten already stays so.
///
/// # Errors
/// Where the log ended before.
pub fn forget(log: &GroupLog) -> Result<(), BeginError> {
    log.wal().remove_group(log.id());
    let (done, durable) = mpsc::channel();
    log.append(Vec::new(), Box::new(move || _ = done.send(())));
    durable.recv().map_err(|_| BeginError::Ended)
}

fn alone(replica: Replica) -> Membership {
    let voters = vec![BTreeSet::from([replica.id.0])];
    // Cannot be refused: the only voter is among the nodes.
    Membership::new(voters, BTreeMap::from([(replica.id.0, Node { store: replica.store })])).unwrap_or_default()
}
