//! What a frame says, one record after another.

use bytes::Bytes;
use raftduck_model::codec::{DecodeError, Reader, Write};
use raftduck_model::{GroupId, LogId};

/// A saved vote's length at most; it is opaque to the log.
pub const VOTE_BYTES: usize = 256;

/// How many bytes of a frame's record section an entry takes, besides its payload.
pub const ENTRY_RECORD_BYTES: usize = 1 + 4 + 24 + 4 + 4;

const TAG_ENTRY: u8 = 1;
const TAG_RELOCATED: u8 = 2;
const TAG_VOTE: u8 = 3;
const TAG_COMMITTED: u8 = 4;
const TAG_TRUNCATED: u8 = 5;
const TAG_PURGED: u8 = 6;
const TAG_REMOVED: u8 = 7;

/// One change of one group's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The group whose log changes.
    pub group: GroupId,
    /// How it changes.
    pub change: Change,
}

/// What a [`Record`] does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// An entry joins the log's end. Its payload stands in the frame's payload section, after
    /// those of the records before.
    Entry(Stored),
    /// An entry that the log holds already, written again so that an old segment can go.
    Relocated(Stored),
    /// The vote is saved; at most [`VOTE_BYTES`].
    Vote(Bytes),
    /// The committed position is saved.
    Committed(LogId),
    /// Everything after this position leaves the log's end.
    Truncated(Option<LogId>),
    /// Everything up to and with this position leaves the log's front.
    Purged(LogId),
    /// The group leaves the store.
    Removed,
}

/// An entry as its record describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Its position in the group's log.
    pub id: LogId,
    /// Its payload's length.
    pub length: u32,
    /// Its payload's CRC-32.
    pub crc: u32,
}

impl Change {
    /// The entry whose payload the frame carries for this record, if any.
    pub fn stored(&self) -> Option<Stored> {
        match self {
            Self::Entry(stored) | Self::Relocated(stored) => Some(*stored),
            _ => None,
        }
    }
}

impl Record {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let tag = match &self.change {
            Change::Entry(_) => TAG_ENTRY,
            Change::Relocated(_) => TAG_RELOCATED,
            Change::Vote(_) => TAG_VOTE,
            Change::Committed(_) => TAG_COMMITTED,
            Change::Truncated(_) => TAG_TRUNCATED,
            Change::Purged(_) => TAG_PURGED,
            Change::Removed => TAG_REMOVED,
        };
        out.push(tag);
        out.extend_from_slice(&self.group.0.to_le_bytes());
        match &self.change {
            Change::Entry(stored) | Change::Relocated(stored) => {
                out.put_log_id(stored.id);
                out.extend_from_slice(&stored.length.to_le_bytes());
                out.extend_from_slice(&stored.crc.to_le_bytes());
            }
            Change::Vote(vote) => out.put_bytes_with_length(vote),
            Change::Committed(id) | Change::Purged(id) => out.put_log_id(*id),
            Change::Truncated(last) => out.put_option(*last, |out, id| out.put_log_id(id)),
            Change::Removed => {}
        }
    }

    /// How many bytes [`Record::encode`] appends.
    pub fn encoded_bytes(&self) -> usize {
        match &self.change {
            Change::Entry(_) | Change::Relocated(_) => ENTRY_RECORD_BYTES,
            Change::Vote(vote) => 5 + 4 + vote.len(),
            Change::Committed(_) | Change::Purged(_) => 5 + 24,
            Change::Truncated(last) => 5 + if last.is_some() { 25 } else { 1 },
            Change::Removed => 5,
        }
    }

    /// Reads the record at the front.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let tag = reader.u8("record kind")?;
        let group = GroupId(reader.u32("group")?);
        let change = match tag {
            TAG_ENTRY => Change::Entry(stored(reader)?),
            TAG_RELOCATED => Change::Relocated(stored(reader)?),
            TAG_VOTE => Change::Vote(vote(reader)?),
            TAG_COMMITTED => Change::Committed(reader.log_id()?),
            TAG_TRUNCATED => Change::Truncated(reader.option("truncated position", Reader::log_id)?),
            TAG_PURGED => Change::Purged(reader.log_id()?),
            TAG_REMOVED => Change::Removed,
            other => return Err(DecodeError::Unknown { what: "record kind", value: other.into() }),
        };
        Ok(Self { group, change })
    }
}

fn stored(reader: &mut Reader) -> Result<Stored, DecodeError> {
    Ok(Stored { id: reader.log_id()?, length: reader.u32("payload length")?, crc: reader.u32("payload CRC")? })
}

/// Reads a vote, copied so that it does not keep the buffer it was read from.
pub(super) fn vote(reader: &mut Reader) -> Result<Bytes, DecodeError> {
    let vote = reader.bytes("vote")?;
    match vote.len() <= VOTE_BYTES {
        true => Ok(Bytes::copy_from_slice(&vote)),
        false => Err(DecodeError::Invalid("a vote is longer than any that is written")),
    }
}

/// Reads all records of a frame's record section.
pub fn decode(section: Bytes) -> Result<Vec<Record>, DecodeError> {
    let mut reader = Reader::new(section);
    let mut records = Vec::new();
    while reader.remaining() > 0 {
        records.push(Record::decode(&mut reader)?);
    }
    Ok(records)
}
