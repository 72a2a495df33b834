//! Reading a folder back: which segments were begun, what their frames say, where they end.
//!
//! The rule that tells a torn end from damage. A frame is written only after the one before it
//! was synced, so whatever a later frame stands behind was acknowledged. A frame that does not
//! read back as written is *torn*, and dropped, only if bytes of it are missing (a device writes
//! sectors whole or not at all, and they were zero before) and no later frame exists. A flipped
//! bit misses no bytes; a short file misses too many, for a segment has its length before its
//! header is written. Both are damage.
//!
//! What this cannot tell apart: in the very last frame, a sector that was lost, and one that held a
//! single set bit which then flipped. Nor can anything tell a torn frame from one that a device
//! said to have synced and had not.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use raftduck_model::GroupId;

use crate::disk::DiskFile;
use crate::format::frame::{self, FrameError};
use crate::format::record::{Change, Record};
use crate::format::sectors::{is_zero, length_without_trailing_zeros};
use crate::format::segment::Header;
use crate::group::Slot;
use crate::open::OpenError;
use crate::queue::Stamp;
use crate::segments::Place;
use crate::table::Table;

/// A segment, all of it.
pub struct Loaded {
    pub number: u32,
    pub file: Arc<dyn DiskFile>,
    pub bytes: Bytes,
}

impl Loaded {
    pub fn read(number: u32, file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let mut bytes = vec![0; file.length()? as usize];
        file.read(0, &mut bytes)?;
        Ok(Self { number, file, bytes: bytes.into() })
    }

    pub fn damaged(&self, offset: u64, why: impl Into<String>) -> OpenError {
        OpenError::Damaged { segment: self.number, offset, why: why.into() }
    }
}

/// The log's state as far as it was read.
#[derive(Default)]
pub struct Replay {
    pub table: Table,
    pub entries: BTreeMap<GroupId, BTreeMap<u64, Slot>>,
    pub sequence: u64,
    pub salt: u64,
    pub next: Stamp,
}

/// Where a segment's frames end.
pub struct End {
    pub offset: u64,
    /// The last frame's bytes, or the header's if there is no frame.
    pub last: (u64, u64),
    /// Why no further frame follows; none if the segment is used up.
    pub why: Option<FrameError>,
}

impl Replay {
    /// Takes in a segment's header: the oldest one's is where the state comes from, every other
    /// one's has to agree with what was read so far.
    pub fn begin(&mut self, segment: &Loaded, header: &Header, oldest: bool) -> Result<(), OpenError> {
        if header.segment_bytes != segment.bytes.len() as u64 {
            let why = format!(
                "the file has {} bytes and was made with {}: it was cut short, and what it held may have been acknowledged",
                segment.bytes.len(),
                header.segment_bytes
            );
            return Err(segment.damaged(segment.bytes.len() as u64, why));
        }
        if oldest {
            self.table = header.table.clone();
            self.sequence = header.first_sequence;
            self.salt = header.salt;
        } else if header.salt != self.salt || header.first_sequence != self.sequence || header.table != self.table {
            return Err(segment.damaged(0, "the segment does not go on where the one before it ends"));
        }
        Ok(())
    }

    /// Takes in all frames of a segment.
    pub fn frames(&mut self, segment: &Loaded, header: &Header) -> Result<End, OpenError> {
        let mut end = End { offset: header.frames_at(), last: (0, header.frames_at()), why: None };
        while end.offset + (frame::HEADER_BYTES as u64) < segment.bytes.len() as u64 {
            match frame::decode(&segment.bytes, end.offset as usize, self.sequence, self.salt) {
                Ok(frame) => {
                    for (record, payload) in frame.records {
                        let place = payload.map(|at| Place { segment: segment.number, offset: at.offset });
                        self.take(&record, place).map_err(|why| segment.damaged(end.offset, why))?;
                    }
                    end.last = (end.offset, frame.end);
                    end.offset = frame.end;
                    self.sequence += 1;
                }
                Err(why) => {
                    end.why = Some(why);
                    break;
                }
            }
        }
        Ok(end)
    }

    fn take(&mut self, record: &Record, place: Option<Place>) -> Result<(), &'static str> {
        self.table.apply(record)?;
        let group = self.entries.entry(record.group).or_default();
        match &record.change {
            Change::Entry(stored) | Change::Relocated(stored) => {
                let (id, length, crc) = (stored.id, stored.length, stored.crc);
                let before = group.get(&id.index);
                if before.is_some_and(|slot| (slot.id, slot.length, slot.crc) != (id, length, crc)) {
                    return Err("an entry was moved and changed with it");
                }
                group.insert(id.index, Slot { id, length, crc, stamp: self.next, place, payload: None });
                self.next.0 += 1;
            }
            Change::Truncated(None) => group.clear(),
            Change::Truncated(Some(last)) => {
                if let Some(after) = last.index.checked_add(1) {
                    group.split_off(&after);
                }
            }
            Change::Purged(upto) => *group = upto.index.checked_add(1).map(|n| group.split_off(&n)).unwrap_or_default(),
            Change::Removed => {
                self.entries.remove(&record.group);
            }
            Change::Vote(_) | Change::Committed(_) => {}
        }
        Ok(())
    }

    /// Whether every entry is there that the groups' states speak of, and no other.
    pub fn check_complete(&self) -> Result<(), OpenError> {
        let none = BTreeMap::new();
        for (group, row) in &self.table.rows {
            let entries = self.entries.get(group).unwrap_or(&none);
            let found = entries.len() as u64;
            let is_complete = match row.span() {
                None => entries.is_empty(),
                Some((first, last)) => {
                    found == last - first + 1
                        && entries.keys().next() == Some(&first)
                        && entries.values().next_back().map(|slot| slot.id) == row.last
                }
            };
            if !is_complete {
                let (first, last) = row.span().unwrap_or_default();
                return Err(OpenError::EntriesMissing { group: *group, first, last, found });
            }
        }
        Ok(())
    }
}

/// Whether the newest segment's frames end the way a crash may leave them.
pub fn check_end(segment: &Loaded, end: &End, replay: &Replay) -> Result<(), OpenError> {
    match end.why {
        None => Ok(()),
        Some(FrameError::Damaged(why)) => Err(segment.damaged(end.offset, why)),
        Some(FrameError::Missing(why)) => {
            let from = end.offset as usize + frame::ALIGN;
            match frame::find_later(&segment.bytes, from, replay.sequence, replay.salt) {
                None => Ok(()),
                Some(later) => {
                    let why =
                        format!("{why}, and the later frame at byte {later} proves that it was once acknowledged");
                    Err(segment.damaged(end.offset, why))
                }
            }
        }
    }
}

/// Makes a segment zero from `from` on and says whether that took anything. A crash half-way
/// leaves more zeros than before, so what was torn stays torn.
pub fn wipe(segment: &Loaded, from: u64) -> io::Result<bool> {
    const STEP: usize = 1 << 16;
    let end = length_without_trailing_zeros(&segment.bytes);
    let torn = segment.bytes.get(from as usize..end).unwrap_or_default();
    let zeros = [0; STEP];
    let mut wiped = false;
    for (step, part) in torn.chunks(STEP).enumerate() {
        if !is_zero(part) {
            let zeros = zeros.get(..part.len()).unwrap_or_default();
            segment.file.write(from + (step * STEP) as u64, &[IoSlice::new(zeros)])?;
            wiped = true;
        }
    }
    if wiped {
        segment.file.sync()?;
    }
    Ok(wiped)
}

/// Writes the log's last bytes once more and syncs them. The process before this one may have
/// died between writing and syncing, or of a failed sync: then the kernel shows bytes that no
/// disk has, and believes them clean. Every earlier frame is known to be durable.
pub fn write_again(segment: &Loaded, last: (u64, u64)) -> io::Result<()> {
    let bytes = segment.bytes.get(last.0 as usize..last.1 as usize).unwrap_or_default();
    segment.file.write(last.0, &[IoSlice::new(bytes)])?;
    segment.file.sync()
}
