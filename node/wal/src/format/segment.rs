//! A segment's header: which segment this is, and the state of every group when it began.
//!
//! ```text
//! offset 0   magic "RDS", version 1
//!        4   u32 segment number
//!        8   u64 sequence number of the segment's first frame
//!       16   u64 the folder's salt
//!       24   u64 the segment's length in bytes
//!       32   u32 bytes of the table
//!       36   u32 CRC-32 of bytes 0..36 and the table
//!       40   the table: for each group a byte 1, u32 group, optional vote, optional log
//!            positions committed, purged, last, optional u64 first index
//!            mark; the first frame starts at the next multiple of 4096
//! ```
//!
//! With the table, older segments can go as soon as no entry in them is needed.

use bytes::Bytes;
use raftduck_model::GroupId;
use raftduck_model::codec::{DecodeError, Reader, Write};

use super::record;
use super::sectors::{SECTOR, is_zero};
use crate::table::{Row, Table};

/// The first frame starts at a multiple of this.
pub const FRAMES_ALIGN: u64 = 4096;
/// The header without its table.
const FIXED_BYTES: usize = 40;
const MAGIC: [u8; 3] = *b"RDS";
/// The version this build writes and reads.
pub const VERSION: u8 = 1;
const MARK: [u8; 4] = [0xd1, 0xce, 0x5e, 0x67];
const ROW_TAG: u8 = 1;
/// A row's least size; the greatest is below a sector, so that no sector of a table is all zero.
const ROW_LEAST_BYTES: u64 = 10;
/// A row's greatest size.
pub const ROW_MOST_BYTES: u64 = ROW_LEAST_BYTES + 4 + record::VOTE_BYTES as u64 + 3 * 24 + 8;
const _: () = assert!(ROW_MOST_BYTES < SECTOR);

/// A segment's header, decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The segment's number, also in its name.
    pub number: u32,
    /// The sequence number of its first frame.
    pub first_sequence: u64,
    /// What makes this folder's frames its own.
    pub salt: u64,
    /// The file's length.
    pub segment_bytes: u64,
    /// Every group's state before the first frame.
    pub table: Table,
}

/// Why a header could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// Bytes never reached the device: the segment was never begun.
    #[error("the header was never written whole")]
    Missing,
    /// All bytes are there and they are not what was written.
    #[error("{0}")]
    Damaged(&'static str),
}

impl Header {
    /// The header's bytes, without the zeros up to the first frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut table = Vec::new();
        for (group, row) in &self.table.rows {
            table.push(ROW_TAG);
            table.extend_from_slice(&group.0.to_le_bytes());
            table.put_option(row.vote.as_ref(), |out, vote| out.put_bytes_with_length(vote));
            for id in [row.committed, row.purged, row.last] {
                table.put_option(id, |out, id| out.put_log_id(id));
            }
            table.put_option(row.first, |out, first| out.extend_from_slice(&first.to_le_bytes()));
        }
        let mut out = Vec::with_capacity(FIXED_BYTES + table.len() + MARK.len());
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.segment_bytes.to_le_bytes());
        out.extend_from_slice(&(table.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc(&out, &table).to_le_bytes());
        out.extend_from_slice(&table);
        out.extend_from_slice(&MARK);
        out
    }

    /// Where the first frame starts.
    pub fn frames_at(&self) -> u64 {
        (self.encode().len() as u64).next_multiple_of(FRAMES_ALIGN)
    }
}

fn crc(fixed: &[u8], table: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(fixed);
    crc.update(table);
    crc.finalize()
}

/// Reads the header of a segment.
pub fn decode(segment: &Bytes) -> Result<Header, HeaderError> {
    match segment.get(..SECTOR as usize) {
        Some(front) if is_zero(front) => return Err(HeaderError::Missing),
        None if is_zero(segment) => return Err(HeaderError::Missing),
        None => return Err(HeaderError::Damaged("the file was cut short")),
        Some(_) => {}
    }
    let mut reader = Reader::new(segment.clone());
    match fields(segment, &mut reader) {
        Ok(header) => Ok(header),
        Err(why) => Err(if is_cut_short(segment) { HeaderError::Missing } else { HeaderError::Damaged(why) }),
    }
}

fn fields(segment: &Bytes, reader: &mut Reader) -> Result<Header, &'static str> {
    const SHORT: &str = "the segment's header is cut short";
    let short = |_: DecodeError| SHORT;
    let start = reader.u32("magic").map_err(short)?.to_le_bytes();
    let number = reader.u32("segment number").map_err(short)?;
    let first_sequence = reader.u64("sequence").map_err(short)?;
    let salt = reader.u64("salt").map_err(short)?;
    let segment_bytes = reader.u64("segment length").map_err(short)?;
    let length = reader.u32("table length").map_err(short)? as usize;
    let found = reader.u32("checksum").map_err(short)?;
    let fixed = segment.get(..FIXED_BYTES - 4).ok_or(SHORT)?;
    let table = segment.get(FIXED_BYTES..).and_then(|rest| rest.get(..length)).ok_or(SHORT)?;
    let mark = segment.get(FIXED_BYTES + length..).and_then(|rest| rest.get(..MARK.len())).ok_or(SHORT)?;
    if start[..3] != MAGIC || mark != MARK || crc(fixed, table) != found {
        return Err("the segment's header fails its checksum");
    }
    if start[3] != VERSION {
        return Err("the segment was written by a newer version");
    }
    let table = rows(Reader::new(segment.slice(FIXED_BYTES..FIXED_BYTES + length)))
        .map_err(|_| "the segment's header holds a state that this version does not know")?;
    Ok(Header { number, first_sequence, salt, segment_bytes, table })
}

fn rows(mut reader: Reader) -> Result<Table, DecodeError> {
    let mut table = Table::default();
    while reader.remaining() > 0 {
        match reader.u8("row")? {
            ROW_TAG => {}
            other => return Err(DecodeError::Unknown { what: "row", value: other.into() }),
        }
        let group = GroupId(reader.u32("group")?);
        let row = Row {
            vote: reader.option("vote", record::vote)?,
            committed: reader.option("committed", Reader::log_id)?,
            purged: reader.option("purged", Reader::log_id)?,
            last: reader.option("last", Reader::log_id)?,
            first: reader.option("first", |reader| reader.u64("first"))?,
        };
        table.rows.insert(group, row);
    }
    Ok(table)
}

/// Whether a sector of what the header claims to be is zero, or its end is.
fn is_cut_short(segment: &[u8]) -> bool {
    let length = segment.get(32..36).and_then(|bytes| bytes.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes));
    let end = (FIXED_BYTES + MARK.len()).saturating_add(length.unwrap_or(0) as usize).min(segment.len());
    let header = segment.get(..end).unwrap_or_default();
    header.last() == Some(&0) || header.chunks(SECTOR as usize).any(is_zero)
}
