//! What replicas say to each other and keep in their logs; the first byte chooses the message.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use raftduck_consensus::codec;
use raftduck_fuzz::write_seeds;

/// Decodes, and what decodes must come back as the same bytes: every value has one encoding.
macro_rules! one_encoding {
    ($bytes:expr, $decode:path, $encode:path) => {
        if let Ok(value) = $decode($bytes.clone()) {
            assert_eq!($encode(&value), $bytes);
        }
    };
}

fuzz_target!(init: write_seeds(seeds()), |input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let bytes = Bytes::copy_from_slice(rest);
    match kind % 15 {
        0 => one_encoding!(bytes, codec::decode_append, codec::encode_append),
        1 => one_encoding!(bytes, codec::decode_append_answer, codec::encode_append_answer),
        2 => one_encoding!(bytes, codec::decode_vote_request, codec::encode_vote_request),
        3 => one_encoding!(bytes, codec::decode_vote_answer, codec::encode_vote_answer),
        4 => one_encoding!(bytes, codec::decode_transfer, codec::encode_transfer),
        5 => one_encoding!(bytes, codec::decode_transfer_answer, codec::encode_transfer_answer),
        6 => drop(codec::decode_refusal(bytes)),
        7 => drop(codec::decode_snapshot_head(bytes)),
        8 => one_encoding!(bytes, codec::decode_snapshot_chunk, codec::encode_snapshot_chunk),
        9 => drop(codec::decode_snapshot_end(bytes)),
        10 => drop(codec::decode_snapshot_ack(bytes)),
        11 => one_encoding!(bytes, codec::decode_snapshot_answer, codec::encode_snapshot_answer),
        12 => drop(codec::decode_payload(bytes)),
        13 => one_encoding!(bytes, codec::decode_vote, codec::encode_vote),
        _ => drop(codec::decode_stored_membership(bytes)),
    }
});

/// Version 1 and zeros: most messages' shortest form is among them, and its lengths lead on.
fn seeds() -> Vec<Vec<u8>> {
    let lengths = [8, 16, 17, 18, 19, 24, 32, 40, 48, 56, 64, 80];
    let shapes = (0..15).flat_map(|kind| lengths.map(|length| (kind, length)));
    shapes.map(|(kind, length)| [vec![kind, 1], vec![0; length]].concat()).collect()
}
