//! Decoders take any bytes: what is written reads back, and what is not comes back as an error.

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use openraft::{EntryPayload, Vote};
use proptest::collection::vec;
use proptest::prelude::*;
use raftduck_consensus::codec::*;
use raftduck_consensus::types::{Command, Entry, to_raft};
use raftduck_model::{LogId, ReplicaId};

/// Every decoder, and what it read written again.
fn again(decoder: usize, bytes: Bytes) -> Option<Bytes> {
    match decoder {
        0 => decode_payload(bytes).ok().map(|value| encode_payload(&value)),
        1 => decode_vote(bytes).ok().map(|value| encode_vote(&value)),
        2 => decode_stored_membership(bytes).ok().map(|value| encode_stored_membership(&value)),
        3 => decode_append(bytes).ok().map(|value| encode_append(&value)),
        4 => decode_append_answer(bytes).ok().map(|value| encode_append_answer(&value)),
        5 => decode_vote_request(bytes).ok().map(|value| encode_vote_request(&value)),
        6 => decode_vote_answer(bytes).ok().map(|value| encode_vote_answer(&value)),
        7 => decode_transfer(bytes).ok().map(|value| encode_transfer(&value)),
        8 => decode_transfer_answer(bytes).ok().map(|value| encode_transfer_answer(&value)),
        9 => decode_snapshot_head(bytes).ok().map(|value| encode_snapshot_head(&value)),
        10 => decode_snapshot_chunk(bytes).ok().map(|value| encode_snapshot_chunk(&value)),
        11 => decode_snapshot_end(bytes).ok().map(|value| encode_snapshot_end(&value)),
        12 => decode_snapshot_ack(bytes).ok().map(encode_snapshot_ack),
        13 => decode_snapshot_answer(bytes).ok().map(|value| encode_snapshot_answer(&value)),
        _ => decode_refusal(bytes).ok().map(|value| encode_refusal(&value)),
    }
}

const DECODERS: usize = 15;

fn request(first: u64, commands: Vec<Vec<u8>>) -> AppendEntriesRequest<raftduck_consensus::types::Types> {
    let id = |index| to_raft(LogId { term: 4, leader: ReplicaId(2), index });
    let entries = (first..).zip(commands).map(|(index, command)| Entry {
        log_id: id(index),
        payload: match command.is_empty() {
            true => EntryPayload::Blank,
            false => EntryPayload::Normal(Command::new(&command)),
        },
    });
    AppendEntriesRequest {
        vote: Vote::new_committed(4, 2),
        prev_log_id: first.checked_sub(1).map(id),
        leader_commit: None,
        entries: entries.collect(),
    }
}

proptest! {
    #[test]
    fn entries_read_back_as_written(first in 0u64..1000, commands in vec(vec(any::<u8>(), 0..200), 0..20)) {
        let request = request(first, commands);
        let bytes = encode_append(&request);
        let read = decode_append(bytes.clone()).unwrap();
        prop_assert_eq!(&read.entries, &request.entries);
        prop_assert_eq!(read.prev_log_id, request.prev_log_id);
        prop_assert_eq!(encode_append(&read), bytes);
    }

    #[test]
    fn a_prefix_of_a_message_is_no_message(cut in 0usize..1000, commands in vec(vec(any::<u8>(), 0..50), 1..5)) {
        let bytes = encode_append(&request(1, commands));
        let cut = cut % bytes.len();
        prop_assert!(decode_append(bytes.slice(..cut)).is_err());
        let vote = VoteRequest::new(Vote::new(4, 2), None);
        let bytes = encode_vote_request(&vote);
        prop_assert!(decode_vote_request(bytes.slice(..cut % bytes.len())).is_err());
    }

    #[test]
    fn garbage_is_an_error_or_reads_back_as_itself(decoder in 0..DECODERS, version in prop::bool::weighted(0.9), mut bytes in vec(any::<u8>(), 0..400)) {
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = VERSION;
        }
        let bytes = Bytes::from(bytes);
        if let Some(again_bytes) = again(decoder, bytes.clone()) && !bytes.is_empty() {
            // Only sets and maps may come back in another order, or shorter.
            if ![0, 2, 9].contains(&decoder) {
                prop_assert_eq!(again_bytes, bytes);
            }
        }
    }

    #[test]
    fn a_flipped_bit_never_panics(bit in 0usize..4000, decoder in 0..DECODERS, commands in vec(vec(any::<u8>(), 0..50), 0..5)) {
        let mut bytes = encode_append(&request(1, commands)).to_vec();
        let at = bit % (bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        again(decoder, Bytes::from(bytes));
    }
}
