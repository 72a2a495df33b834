//! A log whose group lost its majority begins again with one replica.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use raftduck_consensus::codec::decode_vote;
use raftduck_consensus::machine::{AppliedState, Committed, Payload};
use raftduck_consensus::recover::{BeginError, Standing, begin_again, forget, read};
use raftduck_model::meta::Replica;
use raftduck_model::{GroupId, LogId, ReplicaId, StoreId};
use raftduck_wal::{GroupLog, Options, RealDisk, Wal, abort_process};
use uuid::Uuid;

const GROUP: GroupId = GroupId(3);

fn open(folder: &Path) -> Wal {
    Wal::open(Arc::new(RealDisk), folder, Options::default(), abort_process()).unwrap()
}

fn replica(id: u64) -> Replica {
    Replica { id: ReplicaId(id), store: StoreId(Uuid::from_u128(id.into())) }
}

fn at(term: u64, leader: u64, index: u64) -> LogId {
    LogId { term, leader: ReplicaId(leader), index }
}

/// What the log holds behind `applied`, and how the replica stands.
fn look(log: &GroupLog, applied: &AppliedState) -> (Vec<(LogId, Payload)>, Standing) {
    let mut entries = Vec::new();
    let standing = read(log, applied, |Committed { id, payload, .. }| {
        entries.push((id, payload));
        Ok(())
    });
    (entries, standing.unwrap())
}

/// A replica 7 that led term 5 with two commands, and was the only one.
fn begun(log: &GroupLog) -> LogId {
    begin_again(log, None, replica(7), 5, &[Bytes::from_static(b"one"), Bytes::from_static(b"two")]).unwrap()
}

#[test]
fn what_was_there_stays_before_a_membership_of_the_new_replica_alone() {
    let folder = tempfile::tempdir().unwrap();
    let wal = open(folder.path());
    let base = begun(&wal.group(GROUP));
    assert_eq!(base, at(5, 7, 2));
    let last = begin_again(&wal.group(GROUP), Some(base), replica(40), 9, &[Bytes::from_static(b"three")]).unwrap();
    wal.close();

    let wal = open(folder.path());
    let (entries, standing) = look(&wal.group(GROUP), &AppliedState::default());
    let commands = entries.iter().filter_map(|(_, payload)| match payload {
        Payload::Command(command) => Some(command.clone()),
        _ => None,
    });
    assert_eq!(commands.collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);
    assert_eq!(entries.iter().map(|(id, _)| *id).collect::<Vec<_>>()[2..], [base, at(9, 40, 3), last]);
    let expected =
        Standing { term: 9, last: Some(last), committed: None, voters: vec![vec![replica(40)]], learners: vec![] };
    assert_eq!(standing, expected);
    // Byte for byte, since a volume keeps it: a committed vote of term 9 by replica 40.
    let vote = wal.group(GROUP).state().vote.unwrap();
    assert_eq!(vote.as_ref(), [&[1][..], &9_u64.to_le_bytes(), &40_u64.to_le_bytes(), &[1]].concat());
    assert!(decode_vote(vote).unwrap().committed);
}

#[test]
fn begun_again_after_a_crash_anywhere_within_it_comes_to_the_same() {
    let commands = [Bytes::from_static(b"three"), Bytes::from_static(b"four")];
    let folder = tempfile::tempdir().unwrap();
    let wal = open(folder.path());
    let log = wal.group(GROUP);
    let base = begun(&log);
    let whole = begin_again(&log, Some(base), replica(40), 9, &commands).unwrap();
    let (expected, standing) = look(&log, &AppliedState::default());
    for kept in 0..=3 {
        // As many of the three entries as a crash left; at none of them, the vote.
        let (group, log) = (10 + kept, wal.group(GroupId(10 + kept)));
        begun(&log);
        if kept > 0 {
            let before = &commands[..kept as usize - 1];
            begin_again(&log, Some(base), replica(40), 9, before).unwrap();
        }
        for _ in 0..2 {
            let last = begin_again(&log, Some(base), replica(40), 9, &commands).unwrap();
            assert_eq!(last, whole, "group {group}");
            assert_eq!(look(&log, &AppliedState::default()), (expected.clone(), standing.clone()), "group {group}");
        }
    }
}

#[test]
fn a_log_that_moved_since_it_was_looked_at_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).group(GROUP);
    let base = begun(&log);
    for other in [None, Some(at(5, 7, 1)), Some(at(4, 7, 2))] {
        let error = begin_again(&log, other, replica(40), 9, &[]).unwrap_err();
        assert!(matches!(error, BeginError::Moved { .. }), "{error}");
        assert_eq!(log.state().last, Some(base));
    }
}

#[test]
fn a_log_that_ends_before_its_state_does_goes_on_behind_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let wal = open(folder.path());
    let log = wal.group(GROUP);
    begun(&log);
    let applied = AppliedState { last: Some(at(6, 8, 100)), membership: Bytes::new() };
    let (entries, standing) = look(&log, &applied);
    assert_eq!((entries.len(), standing.last), (0, applied.last));
    let last = begin_again(&log, standing.last, replica(40), 9, &[]).unwrap();
    assert_eq!(last, at(9, 40, 101));
    let (entries, standing) = look(&log, &applied);
    assert_eq!(entries.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [last]);
    assert_eq!(standing.voters, [vec![replica(40)]]);
}

#[test]
fn entries_that_are_gone_before_they_were_applied_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).group(GROUP);
    begun(&log);
    log.purge(at(5, 7, 1));
    assert!(read(&log, &AppliedState::default(), |_| Ok(())).is_err());
    let applied = AppliedState { last: Some(at(5, 7, 1)), membership: Bytes::new() };
    assert!(read(&log, &applied, |_| Ok(())).is_ok());
}

#[test]
fn a_forgotten_log_is_empty_and_may_be_forgotten_again() {
    let folder = tempfile::tempdir().unwrap();
    let wal = open(folder.path());
    begun(&wal.group(GROUP));
    forget(&wal.group(GROUP)).unwrap();
    forget(&wal.group(GROUP)).unwrap();
    wal.close();
    assert!(open(folder.path()).group(GROUP).state().is_empty());
}
