//! The bytes on volumes and on the wire, as they were when they were first written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, TransferLeaderError, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use openraft::{EntryPayload, StoredMembership, Vote};
use raftduck_consensus::codec::*;
use raftduck_consensus::types::{Command, Entry, Membership, Node, RaftLogId, to_raft};
use raftduck_consensus::{Class, Kind};
use raftduck_model::{LogId, ReplicaId, StoreId};
use uuid::Uuid;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn id(term: u64, leader: u64, index: u64) -> LogId {
    LogId { term, leader: ReplicaId(leader), index }
}

fn raft(term: u64, leader: u64, index: u64) -> RaftLogId {
    to_raft(id(term, leader, index))
}

fn membership() -> Membership {
    let node = |number: u128| Node { store: StoreId(Uuid::from_u128(number)) };
    let nodes = BTreeMap::from([(1, node(0x11)), (2, node(0x22)), (9, node(0x99))]);
    Membership::new(vec![BTreeSet::from([1]), BTreeSet::from([1, 2])], nodes).unwrap()
}

const MEMBERSHIP: &str = "02000000010000000100000000000000020000000100000000000000020000000000000003000000\
    010000000000000011000000000000000000000000000000020000000000000022000000000000000000000000000000\
    090000000000000099000000000000000000000000000000";
const VOTE: &str = "0700000000000000020000000000000001";
const ID: &str = "050000000000000003000000000000000900000000000000";

#[test]
fn payloads_votes_and_memberships_keep_their_bytes() {
    assert_eq!(hex(&encode_payload(&EntryPayload::Blank)), "0100");
    assert_eq!(hex(&encode_payload(&EntryPayload::Normal(Command::new(b"abc")))), "0101616263");
    assert_eq!(hex(&encode_payload(&EntryPayload::Membership(membership()))), format!("0102{MEMBERSHIP}"));
    assert_eq!(hex(&encode_vote(&Vote::new_committed(7, 2))), format!("01{VOTE}"));
    let stored = StoredMembership::new(Some(raft(5, 3, 9)), membership());
    let bytes = encode_stored_membership(&stored);
    assert_eq!(hex(&bytes), format!("0101{ID}{MEMBERSHIP}"));
    assert_eq!(decode_stored_membership(bytes).unwrap(), stored);
    assert_eq!(decode_stored_membership(Bytes::new()).unwrap(), StoredMembership::default());
}

#[test]
fn append_requests_and_their_answers_keep_their_bytes() {
    let request = AppendEntriesRequest {
        vote: Vote::new_committed(7, 2),
        prev_log_id: Some(raft(5, 3, 9)),
        leader_commit: None,
        entries: vec![Entry { log_id: raft(7, 2, 10), payload: EntryPayload::Normal(Command::new(b"x")) }],
    };
    let bytes = encode_append(&request);
    let entry = "070000000000000002000000000000000a0000000000000003000000010178";
    assert_eq!(hex(&bytes), format!("01{VOTE}01{ID}0001000000{entry}"));
    assert_eq!(encode_append(&decode_append(bytes.clone()).unwrap()), bytes);

    assert_eq!(hex(&encode_append_answer(&Ok(None))), "010000");
    assert_eq!(hex(&encode_append_answer(&Ok(Some(raft(5, 3, 9))))), format!("010001{ID}"));
    assert_eq!(hex(&encode_append_answer(&Err(StreamAppendError::Conflict(raft(5, 3, 9))))), format!("0101{ID}"));
    let higher = Err(StreamAppendError::HigherVote(Vote::new_committed(7, 2)));
    assert_eq!(hex(&encode_append_answer(&higher)), format!("0102{VOTE}"));
}

#[test]
fn votes_and_transfers_keep_their_bytes() {
    let request =
        VoteRequest { vote: Vote::new_committed(7, 2), last_log_id: Some(raft(5, 3, 9)), leadership_transfer: true };
    assert_eq!(hex(&encode_vote_request(&request)), format!("01{VOTE}01{ID}01"));
    let answer = VoteResponse { vote: Vote::new_committed(7, 2), vote_granted: false, last_log_id: None };
    assert_eq!(hex(&encode_vote_answer(&answer)), format!("01{VOTE}0000"));
    let transfer = TransferLeaderRequest::new(Vote::new_committed(7, 2), 4, Some(raft(5, 3, 9)));
    assert_eq!(hex(&encode_transfer(&transfer)), format!("01{VOTE}040000000000000001{ID}"));
    assert_eq!(hex(&encode_transfer_answer(&Ok(()))), "0100");
    let vote = Vote::new_committed(7, 2);
    let changed = Err(TransferLeaderError::VoteChanged { expected: vote, actual: vote });
    assert_eq!(hex(&encode_transfer_answer(&changed)), format!("0101{VOTE}{VOTE}"));
    let behind = Err(TransferLeaderError::LogNotFlushed { expected: Some(raft(5, 3, 9)), actual: None });
    assert_eq!(hex(&encode_transfer_answer(&behind)), format!("010201{ID}00"));
}

#[test]
fn snapshots_keep_their_bytes() {
    let head = SnapshotHead {
        vote: Vote::new_committed(7, 2),
        last: id(5, 3, 9),
        membership: StoredMembership::new(None, membership()),
        files: vec![FileHead { name: "f".into(), size: 258 }],
    };
    let bytes = encode_snapshot_head(&head);
    assert_eq!(hex(&bytes), format!("01{VOTE}{ID}00{MEMBERSHIP}0100000001000000660201000000000000"));
    assert_eq!(decode_snapshot_head(bytes).unwrap(), head);
    let chunk = SnapshotChunk { file: 1, offset: 2, data: Bytes::from_static(b"yz") };
    assert_eq!(hex(&encode_snapshot_chunk(&chunk)), "01010000000200000000000000797a");
    assert_eq!(hex(&encode_snapshot_end(&[3])), "01010000000300000000000000");
    assert_eq!(hex(&encode_snapshot_ack(4)), "01000400000000000000");
    assert_eq!(hex(&encode_snapshot_answer(&Vote::new_committed(7, 2))), format!("0101{VOTE}"));
}

#[test]
fn refusals_kinds_and_classes_keep_their_numbers_and_names() {
    assert_eq!(hex(&encode_refusal(&Refusal::new(RefusalCode::Damaged, "no"))), "0107020000006e6f");
    let kinds = [
        (Kind::Append, 1),
        (Kind::End, 2),
        (Kind::Heartbeat, 3),
        (Kind::Vote, 4),
        (Kind::PreVote, 5),
        (Kind::Transfer, 6),
        (Kind::SnapshotHead, 7),
        (Kind::SnapshotChunk, 8),
        (Kind::SnapshotEnd, 9),
        (Kind::Answer, 64),
        (Kind::Refusal, 65),
    ];
    for (kind, number) in kinds {
        assert_eq!(kind as u32, number);
        assert_eq!(Kind::from_number(number), Some(kind));
    }
    assert_eq!([Class::Control, Class::Log, Class::Snapshot].map(Class::name), ["control", "log", "snapshot"]);
}

#[test]
fn what_no_leader_sends_is_refused() {
    let request = |prev, indexes: &[(u64, u64)], vote| AppendEntriesRequest {
        vote,
        prev_log_id: prev,
        leader_commit: None,
        entries: indexes
            .iter()
            .map(|(term, index)| Entry { log_id: raft(*term, 1, *index), payload: EntryPayload::Blank })
            .collect(),
    };
    let leader = Vote::new_committed(7, 2);
    let sent = |request| decode_append(encode_append(&request)).map(drop);
    assert_eq!(sent(request(Some(raft(3, 1, 4)), &[(3, 5), (4, 6)], leader)), Ok(()));
    assert_eq!(sent(request(None, &[(3, 0)], leader)), Ok(()));
    assert!(sent(request(Some(raft(3, 1, 4)), &[(3, 6)], leader)).is_err(), "a gap");
    assert!(sent(request(None, &[(3, 1)], leader)).is_err(), "no first entry");
    assert!(sent(request(Some(raft(3, 1, 4)), &[(2, 5)], leader)).is_err(), "an older term after a newer");
    assert!(sent(request(Some(raft(3, 1, u64::MAX)), &[(3, 0)], leader)).is_err(), "an index beyond all");
    assert!(sent(request(None, &[(8, 0)], leader)).is_err(), "a later term than the leader's");
    assert!(sent(request(None, &[], Vote::new(7, 2))).is_err(), "a vote that nobody granted");
}

#[test]
fn a_file_name_that_leads_out_of_the_folder_is_refused() {
    for name in ["../state", "a/b", "..", ".", "", "a\\b", "a\0b"] {
        let head = SnapshotHead {
            vote: Vote::new_committed(7, 2),
            last: id(5, 3, 9),
            membership: StoredMembership::default(),
            files: vec![FileHead { name: name.into(), size: 1 }],
        };
        assert!(decode_snapshot_head(encode_snapshot_head(&head)).is_err(), "{name:?}");
    }
}
