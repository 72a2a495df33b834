//! What goes into one frame, and its bytes.

use std::io::IoSlice;

use crate::format::frame::{self, Header};
use crate::format::record::{Change, Record, Stored};
use crate::format::sectors::ZeroSectors;
use crate::queue::Item;
use crate::segments::Place;
use crate::state::Pinned;
use crate::upkeep::Move;

/// Payloads below this are copied next to their records; larger ones are written from where
/// they are.
const COPY_BELOW: usize = 4096;

/// Requests that waited, and entries that leave an old segment.
#[derive(Default)]
pub struct Batch {
    pub items: Vec<Item>,
    pub moved: Vec<Move>,
}

/// Where an entry stands in the segment.
pub struct Placed {
    pub entry: Pinned,
    pub length: u32,
    pub place: Place,
}

/// A frame, ready to be written.
pub struct Encoded<'a> {
    buffer: &'a [u8],
    /// Payloads that stay where they are, and where in the buffer they belong.
    large: Vec<(usize, &'a [u8])>,
    /// The frame's length.
    pub bytes: u64,
}

impl Batch {
    /// The entries in the order of their records, and their payloads.
    fn entries(&self) -> impl Iterator<Item = (Pinned, &[u8])> {
        let queued = self.items.iter().filter_map(|item| match &item.record {
            Some(Record { group, change: Change::Entry(stored) }) => {
                let entry = Pinned { group: *group, index: stored.id.index, stamp: item.stamp };
                Some((entry, item.payload.as_ref()))
            }
            _ => None,
        });
        queued.chain(self.moved.iter().map(|(pinned, entry, _)| (*pinned, entry.payload.as_ref())))
    }

    fn record_bytes(&self) -> usize {
        let queued = self.items.iter().filter_map(|item| item.record.as_ref()).map(Record::encoded_bytes);
        queued.sum::<usize>() + self.moved.len() * crate::format::record::ENTRY_RECORD_BYTES
    }

    /// Where the entries stand once the frame is written at `offset`.
    pub fn placed(&self, offset: u64, segment: u32) -> Vec<Placed> {
        let mut at = offset + (frame::HEADER_BYTES + self.record_bytes()) as u64;
        let place = |(entry, payload): (Pinned, &[u8])| {
            let placed = Placed { entry, length: payload.len() as u32, place: Place { segment, offset: at } };
            at += payload.len() as u64;
            placed
        };
        self.entries().map(place).collect()
    }

    /// The frame's bytes, for this place in a segment. `buffer` is only there to be used again.
    pub fn encode<'a>(&'a self, offset: u64, sequence: u64, salt: u64, buffer: &'a mut Vec<u8>) -> Encoded<'a> {
        buffer.clear();
        buffer.resize(frame::HEADER_BYTES, 0);
        self.items.iter().filter_map(|item| item.record.as_ref()).for_each(|record| record.encode(buffer));
        for (pinned, entry, crc) in &self.moved {
            let stored = Stored { id: entry.id, length: entry.payload.len() as u32, crc: *crc };
            Record { group: pinned.group, change: Change::Relocated(stored) }.encode(buffer);
        }
        let records_end = buffer.len();
        let (mut large, mut payloads) = (Vec::new(), 0);
        for (_, payload) in self.entries() {
            payloads += payload.len();
            match payload.len() < COPY_BELOW {
                true => buffer.extend_from_slice(payload),
                false => large.push((buffer.len(), payload)),
            }
        }
        let records = records_end - frame::HEADER_BYTES;
        let bytes = frame::total_bytes(records as u64, payloads as u64);
        let padding = bytes as usize - records_end - payloads - frame::TRAILER_BYTES;
        buffer.resize(buffer.len() + padding, 0);

        // Neither the header nor the trailer is ever zero: stand-ins do for counting.
        let mut zeros = ZeroSectors::new(offset);
        zeros.feed(&[1; frame::HEADER_BYTES]);
        slices(buffer, &large, frame::HEADER_BYTES).iter().for_each(|part| zeros.feed(part));
        zeros.feed(&[1; frame::TRAILER_BYTES]);

        let header =
            Header { records: records as u32, payloads: payloads as u32, zero_sectors: zeros.finish(), sequence };
        let (head, crc) = frame::encode_header(&header, salt);
        let section = buffer.get(frame::HEADER_BYTES..records_end).unwrap_or_default();
        let trailer = frame::encode_trailer(crc, section);
        buffer.extend_from_slice(&trailer);
        if let Some(front) = buffer.first_chunk_mut() {
            *front = head;
        }
        Encoded { buffer, large, bytes }
    }
}

impl Encoded<'_> {
    /// The frame's pieces, in order.
    pub fn slices(&self) -> Vec<IoSlice<'_>> {
        slices(self.buffer, &self.large, 0)
    }
}

/// Stretches of `buffer` from `from` on, and between them what is large.
fn slices<'a>(buffer: &'a [u8], large: &[(usize, &'a [u8])], from: usize) -> Vec<IoSlice<'a>> {
    let mut out = Vec::with_capacity(2 * large.len() + 1);
    let mut done = from;
    for (until, payload) in large {
        out.push(IoSlice::new(buffer.get(done..*until).unwrap_or_default()));
        out.push(IoSlice::new(payload));
        done = *until;
    }
    out.push(IoSlice::new(buffer.get(done..).unwrap_or_default()));
    out.retain(|slice| !slice.is_empty());
    out
}
