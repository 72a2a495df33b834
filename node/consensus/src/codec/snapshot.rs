//! A snapshot on its way: what it is, its files in pieces, and their hashes.

use bytes::{BufMut, Bytes};
use raftduck_model::codec::{DecodeError, Write};

use super::{open, read_stored_membership, read_vote, start, write_stored_membership, write_vote};
use crate::types::{StoredMembership, Vote, from_raft, to_raft};
use raftduck_model::LogId;

/// Files of one snapshot. A state machine that needs more packs them.
pub const MAX_FILES: usize = 65_536;
/// Bytes of a file's name.
const MAX_NAME: usize = 255;

/// The first frame of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotHead {
    /// The leader's vote.
    pub vote: Vote,
    /// The last entry the snapshot contains.
    pub last: LogId,
    /// The membership at that entry.
    pub membership: StoredMembership,
    /// Its files, in the order in which they follow.
    pub files: Vec<FileHead>,
}

/// One file of a [`SnapshotHead`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileHead {
    /// A plain name: no path leads out of the snapshot's folder.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
}

/// A piece of a file; pieces follow each other without gaps, file by file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotChunk {
    /// The file's place in [`SnapshotHead::files`].
    pub file: u32,
    /// Where in the file the piece begins.
    pub offset: u64,
    /// The piece.
    pub data: Bytes,
}

/// The first frame's body.
pub fn encode_snapshot_head(head: &SnapshotHead) -> Bytes {
    let mut out = start(160 + head.files.iter().map(|file| file.name.len() + 12).sum::<usize>());
    write_vote(&mut out, &head.vote);
    out.put_log_id(head.last);
    write_stored_membership(&mut out, &head.membership);
    out.put_u32_le(head.files.len() as u32);
    for file in &head.files {
        out.put_bytes_with_length(file.name.as_bytes());
        out.put_u64_le(file.size);
    }
    out.freeze()
}

/// What [`encode_snapshot_head`] wrote. Refuses names that are paths, and snapshots that no leader
/// can have: openraft takes it for granted that they end before its own term's end.
pub fn decode_snapshot_head(bytes: Bytes) -> Result<SnapshotHead, DecodeError> {
    let mut input = open(bytes, "snapshot version")?;
    let vote = read_vote(&mut input)?;
    let last = input.log_id()?;
    let membership = read_stored_membership(&mut input)?;
    let count = input.count("files", 13)?;
    if count > MAX_FILES {
        return Err(DecodeError::Invalid("a snapshot of too many files"));
    }
    let files = (0..count)
        .map(|_| {
            let name = input.text("file's name")?;
            let plain = !name.is_empty() && name.len() <= MAX_NAME && name != "." && name != "..";
            if !plain || name.contains(['/', '\\', '\0']) {
                return Err(DecodeError::Invalid("a file's name is a path, or too long"));
            }
            Ok(FileHead { name, size: input.u64("file's size")? })
        })
        .collect::<Result<Vec<_>, DecodeError>>()?;
    input.finish()?;
    let membership_fits = membership.log_id().is_none_or(|id| from_raft(id) <= last);
    if !vote.committed || to_raft(last).leader_id > vote.leader_id || !membership_fits {
        return Err(DecodeError::Invalid("a snapshot beyond its sender's own term"));
    }
    Ok(SnapshotHead { vote, last, membership, files })
}

/// A piece's body.
pub fn encode_snapshot_chunk(chunk: &SnapshotChunk) -> Bytes {
    let mut out = start(12 + chunk.data.len());
    out.put_u32_le(chunk.file);
    out.put_u64_le(chunk.offset);
    out.put_slice(&chunk.data);
    out.freeze()
}

/// What [`encode_snapshot_chunk`] wrote; the data shares the input's memory.
pub fn decode_snapshot_chunk(bytes: Bytes) -> Result<SnapshotChunk, DecodeError> {
    let mut input = open(bytes, "chunk version")?;
    let (file, offset) = (input.u32("chunk's file")?, input.u64("chunk's offset")?);
    Ok(SnapshotChunk { file, offset, data: input.rest() })
}

/// The last frame's body: the xxh3-64 of each file, in order.
pub fn encode_snapshot_end(hashes: &[u64]) -> Bytes {
    let mut out = start(4 + 8 * hashes.len());
    out.put_u32_le(hashes.len() as u32);
    for hash in hashes {
        out.put_u64_le(*hash);
    }
    out.freeze()
}

/// What [`encode_snapshot_end`] wrote.
pub fn decode_snapshot_end(bytes: Bytes) -> Result<Vec<u64>, DecodeError> {
    let mut input = open(bytes, "snapshot end version")?;
    let hashes = (0..input.count("hashes", 8)?).map(|_| input.u64("hash")).collect::<Result<_, _>>()?;
    input.finish()?;
    Ok(hashes)
}

/// How many bytes of files a receiver has written.
pub fn encode_snapshot_ack(written: u64) -> Bytes {
    let mut out = start(9);
    out.put_u8(0);
    out.put_u64_le(written);
    out.freeze()
}

/// What [`encode_snapshot_ack`] wrote.
pub fn decode_snapshot_ack(bytes: Bytes) -> Result<u64, DecodeError> {
    let mut input = open(bytes, "snapshot ack version")?;
    match input.u8("snapshot ack")? {
        0 => {}
        other => return Err(DecodeError::Unknown { what: "snapshot ack", value: other.into() }),
    }
    let written = input.u64("bytes written")?;
    input.finish()?;
    Ok(written)
}

/// The receiver's vote once the snapshot is installed.
pub fn encode_snapshot_answer(vote: &Vote) -> Bytes {
    let mut out = start(18);
    out.put_u8(1);
    write_vote(&mut out, vote);
    out.freeze()
}

/// What [`encode_snapshot_answer`] wrote.
pub fn decode_snapshot_answer(bytes: Bytes) -> Result<Vote, DecodeError> {
    let mut input = open(bytes, "snapshot answer version")?;
    match input.u8("snapshot answer")? {
        1 => {}
        other => return Err(DecodeError::Unknown { what: "snapshot answer", value: other.into() }),
    }
    let vote = read_vote(&mut input)?;
    input.finish()?;
    Ok(vote)
}
