//! The bytes of everything this crate writes to the log and to its peers.
//!
//! The first byte of every value is its version; a number that was ever written is never given
//! another meaning, and `tests/golden.rs` holds the bytes. Decoders take any input: they never
//! panic, and never allocate more than a small multiple of the input's own length.

mod rpc;
mod snapshot;
mod state;

pub use rpc::{
    Refusal, RefusalCode, decode_append, decode_append_answer, decode_refusal, decode_transfer, decode_transfer_answer,
    decode_vote_answer, decode_vote_request, encode_append, encode_append_answer, encode_refusal, encode_transfer,
    encode_transfer_answer, encode_vote_answer, encode_vote_request,
};
pub use snapshot::{
    FileHead, SnapshotChunk, SnapshotHead, decode_snapshot_ack, decode_snapshot_answer, decode_snapshot_chunk,
    decode_snapshot_end, decode_snapshot_head, encode_snapshot_ack, encode_snapshot_answer, encode_snapshot_chunk,
    encode_snapshot_end, encode_snapshot_head,
};
pub(crate) use state::{
    PAYLOAD_COMMAND, read_log_id, read_stored_membership, read_vote, write_stored_membership, write_vote,
};
pub use state::{
    decode_payload, decode_stored_membership, decode_vote, encode_payload, encode_stored_membership, encode_vote,
};

use bytes::{BufMut, Bytes, BytesMut};
use raftduck_model::codec::{DecodeError, Reader};

/// The first byte of every value.
pub const VERSION: u8 = 1;

/// A buffer with the version in it.
fn start(capacity: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(capacity + 1);
    out.put_u8(VERSION);
    out
}

/// A reader behind the version.
fn open(bytes: Bytes, what: &'static str) -> Result<Reader, DecodeError> {
    let mut input = Reader::new(bytes);
    match input.u8(what)? {
        VERSION => Ok(input),
        other => Err(DecodeError::Unknown { what, value: other.into() }),
    }
}

/// A byte that is 0 or 1.
fn read_flag(input: &mut Reader, what: &'static str) -> Result<bool, DecodeError> {
    match input.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(DecodeError::Unknown { what, value: other.into() }),
    }
}
