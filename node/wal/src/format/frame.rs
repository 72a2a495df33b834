//! A frame: everything that one sync makes durable.
//!
//! ```text
//! offset 0   magic "RDF", version 1
//!        4   u32 bytes of the record section
//!        8   u32 bytes of the payload section
//!       12   u32 all-zero sectors among those the frame touches
//!       16   u64 sequence number, one more than the frame before
//!       24   u32 CRC-32 of (salt, bytes 0..24)
//!       28   mark
//!       32   records, payloads, zeros up to a multiple of 32, less 8
//!  end - 8   u32 CRC-32 of (header CRC, records); payloads have theirs in their records
//!  end - 4   mark
//! ```
//!
//! Frames start at multiples of 32, so a header never straddles two sectors. The salt is a
//! secret of the folder: without it a user's row could hold bytes that pass for a frame, and
//! after a power cut those would look like proof that something acknowledged is gone.

use bytes::Bytes;

use super::record::{self, Record};
use super::sectors::ZeroSectors;

/// A frame's header.
pub const HEADER_BYTES: usize = 32;
/// The frame's last bytes: a CRC and a mark.
pub const TRAILER_BYTES: usize = 8;
/// Frames start at multiples of this.
pub const ALIGN: usize = 32;

const MAGIC: [u8; 3] = *b"RDF";
/// The version this build writes and reads.
pub const VERSION: u8 = 1;
/// Ends a header and a frame. No byte of it is zero, so that zeros there mean bytes missing.
const MARK: [u8; 4] = [0xd1, 0xce, 0xa5, 0x5a];

/// A frame's header, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Bytes of the record section.
    pub records: u32,
    /// Bytes of the payload section.
    pub payloads: u32,
    /// How many of the sectors the frame touches are zero wherever the frame is.
    pub zero_sectors: u32,
    /// The frame's place in the log.
    pub sequence: u64,
}

/// One entry's payload inside a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PayloadAt {
    /// The payload's first byte, from the segment's start.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u32,
}

/// A frame that is whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Each record, and where its payload stands if it has one.
    pub records: Vec<(Record, Option<PayloadAt>)>,
    /// The first byte behind the frame, from the segment's start.
    pub end: u64,
}

/// Why there is no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// Bytes never reached the device: what a power cut leaves of a frame, or of none.
    #[error("bytes are missing: {0}")]
    Missing(&'static str),
    /// All bytes are there and they are not what was written.
    #[error("{0}")]
    Damaged(&'static str),
}

/// How many bytes a frame with these sections takes.
pub fn total_bytes(records: u64, payloads: u64) -> u64 {
    (HEADER_BYTES as u64 + records + payloads + TRAILER_BYTES as u64).next_multiple_of(ALIGN as u64)
}

/// A header's bytes, and the CRC that [`encode_trailer`] wants.
pub fn encode_header(header: &Header, salt: u64) -> ([u8; HEADER_BYTES], u32) {
    let mut out = [0; HEADER_BYTES];
    out[..3].copy_from_slice(&MAGIC);
    out[3] = VERSION;
    out[4..8].copy_from_slice(&header.records.to_le_bytes());
    out[8..12].copy_from_slice(&header.payloads.to_le_bytes());
    out[12..16].copy_from_slice(&header.zero_sectors.to_le_bytes());
    out[16..24].copy_from_slice(&header.sequence.to_le_bytes());
    let crc = header_crc(&out[..24], salt);
    out[24..28].copy_from_slice(&crc.to_le_bytes());
    out[28..].copy_from_slice(&MARK);
    (out, crc)
}

/// A frame's last bytes.
pub fn encode_trailer(header_crc: u32, records: &[u8]) -> [u8; TRAILER_BYTES] {
    let mut out = [0; TRAILER_BYTES];
    out[..4].copy_from_slice(&records_crc(header_crc, records).to_le_bytes());
    out[4..].copy_from_slice(&MARK);
    out
}

fn header_crc(bytes: &[u8], salt: u64) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt.to_le_bytes());
    crc.update(bytes);
    crc.finalize()
}

fn records_crc(header_crc: u32, records: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header_crc.to_le_bytes());
    crc.update(records);
    crc.finalize()
}

/// Reads the header at the front of `bytes`, and its CRC.
pub fn decode_header(bytes: &[u8], salt: u64) -> Result<(Header, u32), FrameError> {
    let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(FrameError::Missing("the segment ends here"));
    };
    let [m0, m1, m2, version, a, b, c, d, e, f, g, h, i, j, k, l, sequence @ .., c0, c1, c2, c3, e0, e1, e2, e3] =
        *bytes;
    let sequence: [u8; 8] = sequence;
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    if e3 == 0 {
        return Err(FrameError::Missing("the header is zero"));
    }
    if [m0, m1, m2] != MAGIC || [e0, e1, e2, e3] != MARK || header_crc(&bytes[..24], salt) != crc {
        return Err(FrameError::Damaged("the frame's header fails its checksum"));
    }
    if version != VERSION {
        return Err(FrameError::Damaged("the frame was written by a newer version"));
    }
    let header = Header {
        records: u32::from_le_bytes([a, b, c, d]),
        payloads: u32::from_le_bytes([e, f, g, h]),
        zero_sectors: u32::from_le_bytes([i, j, k, l]),
        sequence: u64::from_le_bytes(sequence),
    };
    Ok((header, crc))
}

/// Reads the frame at `offset` of a segment, which must be the one with this sequence number.
pub fn decode(segment: &Bytes, offset: usize, sequence: u64, salt: u64) -> Result<Frame, FrameError> {
    let (header, crc) = decode_header(segment.get(offset..).unwrap_or_default(), salt)?;
    if header.sequence != sequence {
        return Err(FrameError::Damaged("the frame is not the one that follows"));
    }
    let total = total_bytes(header.records.into(), header.payloads.into());
    let end = (offset as u64).saturating_add(total);
    let Some(bytes) = usize::try_from(end).ok().and_then(|end| segment.get(offset..end)) else {
        return Err(FrameError::Damaged("the frame reaches beyond its segment"));
    };
    match contents(segment, offset, bytes, &header, crc) {
        Ok(records) => Ok(Frame { records, end }),
        Err(why) => {
            let mut zeros = ZeroSectors::new(offset as u64);
            zeros.feed(bytes);
            let missing = zeros.finish() > header.zero_sectors || bytes.last() == Some(&0);
            Err(if missing { FrameError::Missing("parts of the frame are zero") } else { FrameError::Damaged(why) })
        }
    }
}

type Located = Vec<(Record, Option<PayloadAt>)>;

fn contents(
    segment: &Bytes,
    offset: usize,
    frame: &[u8],
    header: &Header,
    header_crc: u32,
) -> Result<Located, &'static str> {
    let (records_at, payloads_at) = (HEADER_BYTES, HEADER_BYTES + header.records as usize);
    let padding_at = payloads_at + header.payloads as usize;
    let trailer_at = frame.len() - TRAILER_BYTES;
    let section = frame.get(records_at..payloads_at).ok_or("the record section is cut short")?;
    if frame.get(trailer_at..) != Some(encode_trailer(header_crc, section).as_slice()) {
        return Err("the frame's records fail their checksum");
    }
    if frame.get(padding_at..trailer_at).is_none_or(|padding| padding.iter().any(|byte| *byte != 0)) {
        return Err("the frame's padding is not zero");
    }
    let section = segment.slice(offset + records_at..offset + payloads_at);
    let records = record::decode(section).map_err(|_| "the frame holds a record that this version does not know")?;
    let mut at = payloads_at;
    let mut located = Vec::with_capacity(records.len());
    for record in records {
        let place = match record.change.stored() {
            None => None,
            Some(stored) => {
                let end = at + stored.length as usize;
                let payload =
                    frame.get(at..end.min(padding_at)).filter(|payload| payload.len() == stored.length as usize);
                if payload.map(crc32fast::hash) != Some(stored.crc) {
                    return Err("an entry's payload fails its checksum");
                }
                let place = PayloadAt { offset: (offset + at) as u64, length: stored.length };
                at = end;
                Some(place)
            }
        };
        located.push((record, place));
    }
    if at != padding_at {
        return Err("the frame holds bytes that belong to no entry");
    }
    Ok(located)
}

/// Where behind `from` a frame's header stands with a sequence number above `sequence`: proof
/// that everything up to `sequence` was synced once.
pub fn find_later(segment: &[u8], from: usize, sequence: u64, salt: u64) -> Option<usize> {
    let mut at = from.next_multiple_of(ALIGN);
    while let Some(bytes) = segment.get(at..) {
        if bytes.len() < HEADER_BYTES {
            return None;
        }
        if bytes.starts_with(&MAGIC) && decode_header(bytes, salt).is_ok_and(|(header, _)| header.sequence > sequence) {
            return Some(at);
        }
        at += ALIGN;
    }
    None
}
