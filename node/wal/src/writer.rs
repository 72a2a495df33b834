//! The log thread: whatever waits becomes one frame, one sync, and a call to everyone.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::disk::{Disk, DiskFile};
use crate::fatal::{Fatal, FatalHook};
use crate::format::frame::{self, Header};
use crate::format::record::{Change, ENTRY_RECORD_BYTES, Record, Stored};
use crate::format::sectors::ZeroSectors;
use crate::queue::{Item, Stamp};
use crate::recover::Replay;
use crate::segments::Place;
use crate::state::{Phase, Pinned};
use crate::table::Table;
use crate::upkeep::{Move, Upkeep};
use crate::wal::{Entry, Shared};

/// Payloads below this are copied next to their records; larger ones are written from where
/// they are.
const COPY_BELOW: usize = 4096;

/// The segment being written.
pub struct Current {
    pub number: u32,
    pub file: Arc<dyn DiskFile>,
    /// Where the next frame starts.
    pub offset: u64,
    pub bytes: u64,
}

impl Current {
    /// What records and payloads of one more frame may take.
    pub fn room(&self) -> u64 {
        let overhead = (frame::HEADER_BYTES + frame::TRAILER_BYTES + frame::ALIGN) as u64;
        (self.bytes - self.offset).saturating_sub(overhead)
    }
}

/// All that the log thread has to itself.
pub struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) options: crate::Options,
    pub(crate) current: Current,
    /// The groups' states as written, behind those that callers see.
    pub(crate) table: Table,
    pub(crate) sequence: u64,
    pub(crate) salt: u64,
    /// Everything up to here is durable.
    pub(crate) durable: Stamp,
    pub(crate) upkeep: Upkeep,
    fatal: Option<FatalHook>,
    buffer: Vec<u8>,
    _lock: Box<dyn Send>,
}

/// What goes into one frame.
#[derive(Default)]
struct Batch {
    items: Vec<Item>,
    moved: Vec<Move>,
}

/// An entry that a frame holds.
struct Written {
    entry: Pinned,
    length: u32,
    place: Place,
}

impl Writer {
    #[allow(clippy::too_many_arguments)] // Called once, with everything that was found.
    pub fn new(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        folder: &Path,
        options: crate::Options,
        fatal: FatalHook,
        lock: Box<dyn Send>,
        current: Current,
        replay: Replay,
    ) -> Self {
        Self {
            shared,
            disk,
            folder: folder.to_owned(),
            options,
            current,
            table: replay.table,
            sequence: replay.sequence,
            salt: replay.salt,
            durable: Stamp(replay.next.0.saturating_sub(1)),
            upkeep: Upkeep::default(),
            fatal: Some(fatal),
            buffer: Vec::new(),
            _lock: lock,
        }
    }

    /// Runs until the log is closed or cannot go on.
    pub fn run(self) {
        let mut ending = Ending(self);
        let result = loop {
            match ending.0.round() {
                Ok(true) => {}
                Ok(false) => break None,
                Err(fatal) => break Some(fatal),
            }
        };
        ending.0.end(result);
    }

    /// Does what there is to do; false at the end.
    fn round(&mut self) -> Result<bool, Fatal> {
        let (items, closing) = self.next_items()?;
        if items.is_empty() && closing {
            return Ok(false);
        }
        let taken: u64 = items.iter().map(Item::bytes).sum();
        let mut moved = self.next_moves(self.current.room().saturating_sub(taken));
        if items.is_empty() && moved.is_empty() && self.upkeep.has_moves() {
            self.begin_segment()?;
            moved = self.next_moves(self.current.room());
        }
        if !(items.is_empty() && moved.is_empty()) {
            self.write(Batch { items, moved })?;
        }
        self.upkeep()?;
        Ok(true)
    }

    /// Waits for something to do, and takes what waits if it needs a sync.
    fn next_items(&mut self) -> Result<(Vec<Item>, bool), Fatal> {
        let shared = self.shared.clone();
        let mut state = shared.state.lock();
        loop {
            if let Some(fatal) = state.queue.fatal.take() {
                return Err(fatal);
            }
            let closing = state.phase != Phase::Open;
            if state.queue.has_urgent() || closing && !state.queue.is_empty() {
                let items = state.queue.take(self.options.frame_bytes(), self.current.room());
                if !items.is_empty() {
                    return Ok((items, closing));
                }
                drop(state);
                self.begin_segment()?;
                state = shared.state.lock();
            } else if closing {
                return Ok((Vec::new(), true));
            } else if self.upkeep.has_moves() || std::mem::take(&mut state.look_again) {
                return Ok((Vec::new(), false));
            } else {
                shared.wake.wait(&mut state);
            }
        }
    }

    /// Writes and syncs one frame and tells everyone who waited for it.
    fn write(&mut self, mut batch: Batch) -> Result<(), Fatal> {
        let segment = self.current.number;
        let (written, total) = self.write_frame(&batch).map_err(|source| Fatal::Write { segment, source })?;
        let started = Instant::now();
        self.current.file.sync().map_err(|source| Fatal::Sync { segment, source })?;
        let took = started.elapsed();
        self.current.offset += total;
        self.sequence += 1;
        for item in &batch.items {
            if let Some(record) = &item.record {
                let group = record.group;
                self.table.apply(record).map_err(|why| Fatal::Misused { group, why })?;
            }
            self.durable = item.stamp;
        }
        let mut state = self.shared.state.lock();
        for Written { entry, length, place } in written {
            state.placed(entry, length, place);
        }
        state.queue.bytes -= batch.items.iter().map(Item::bytes).sum::<u64>();
        state.stats.synced(took);
        state.stats.written_bytes += total;
        state.stats.relocated += batch.moved.len() as u64;
        state.reserve_bytes = (self.current.bytes - self.current.offset) + state.spare_bytes;
        state.trim_cache();
        drop(state);
        batch.items.iter_mut().filter_map(|item| item.done.take()).for_each(|done| done());
        Ok(())
    }

    /// Writes one frame: where its entries stand then, and how many bytes it takes.
    fn write_frame(&mut self, batch: &Batch) -> std::io::Result<(Vec<Written>, u64)> {
        let buffer = &mut self.buffer;
        buffer.clear();
        buffer.resize(frame::HEADER_BYTES, 0);
        for item in &batch.items {
            if let Some(record) = &item.record {
                record.encode(buffer);
            }
        }
        for (pinned, entry, crc) in &batch.moved {
            let stored = Stored { id: entry.id, length: entry.payload.len() as u32, crc: *crc };
            Record { group: pinned.group, change: Change::Relocated(stored) }.encode(buffer);
        }
        let records = buffer.len() - frame::HEADER_BYTES;
        let base = self.current.offset + buffer.len() as u64;
        let entries = entries(batch);
        let payloads: usize = entries.iter().map(|(_, payload)| payload.len()).sum();
        let total = frame::total_bytes(records as u64, payloads as u64);

        // Small payloads go behind the records, large ones stay where they are.
        let mut parts: Vec<(usize, &[u8])> = Vec::new();
        let mut written = Vec::with_capacity(entries.len());
        let mut at = base;
        for (entry, payload) in &entries {
            let place = Place { segment: self.current.number, offset: at };
            written.push(Written { entry: *entry, length: payload.len() as u32, place });
            at += payload.len() as u64;
            if payload.len() < COPY_BELOW {
                buffer.extend_from_slice(payload);
            } else {
                parts.push((buffer.len(), *payload));
            }
        }
        let padding = total - (at - self.current.offset) - frame::TRAILER_BYTES as u64;
        buffer.resize(buffer.len() + padding as usize, 0);

        let mut header =
            Header { records: records as u32, payloads: payloads as u32, zero_sectors: 0, sequence: self.sequence };
        // Neither the header nor the trailer is ever zero: stand-ins do for counting.
        let mut zeros = ZeroSectors::new(self.current.offset);
        zeros.feed(&[1; frame::HEADER_BYTES]);
        for part in slices(buffer, &parts, frame::HEADER_BYTES) {
            zeros.feed(&part);
        }
        zeros.feed(&[1; frame::TRAILER_BYTES]);
        header.zero_sectors = zeros.finish();

        let (head, crc) = frame::encode_header(&header, self.salt);
        let section = buffer.get(frame::HEADER_BYTES..frame::HEADER_BYTES + records).unwrap_or_default();
        let trailer = frame::encode_trailer(crc, section);
        buffer.extend_from_slice(&trailer);
        if let Some(front) = buffer.first_chunk_mut() {
            *front = head;
        }
        self.current.file.write(self.current.offset, &slices(buffer, &parts, 0))?;
        Ok((written, total))
    }

    fn end(&mut self, fatal: Option<Fatal>) {
        self.shared.state.lock().phase = Phase::Ended;
        if let (Some(fatal), Some(hook)) = (fatal, self.fatal.take()) {
            hook(fatal);
        }
    }
}

/// The pieces of a frame in order: stretches of `buffer` from `from` on, and between them the
/// payloads that stayed where they are. A part is where in the buffer a payload belongs.
fn slices<'a>(buffer: &'a [u8], parts: &[(usize, &'a [u8])], from: usize) -> Vec<IoSlice<'a>> {
    let mut out = Vec::with_capacity(2 * parts.len() + 1);
    let mut done = from;
    for (until, payload) in parts {
        out.push(IoSlice::new(buffer.get(done..*until).unwrap_or_default()));
        out.push(IoSlice::new(payload));
        done = *until;
    }
    out.push(IoSlice::new(buffer.get(done..).unwrap_or_default()));
    out.retain(|slice| !slice.is_empty());
    out
}

/// The entries of a batch in the order of their records.
fn entries(batch: &Batch) -> Vec<(Pinned, &[u8])> {
    let queued = batch.items.iter().filter_map(|item| match &item.record {
        Some(Record { group, change: Change::Entry(stored) }) => {
            let entry = Pinned { group: *group, index: stored.id.index, stamp: item.stamp };
            Some((entry, item.payload.as_ref()))
        }
        _ => None,
    });
    queued.chain(batch.moved.iter().map(|(pinned, entry, _)| (*pinned, entry.payload.as_ref()))).collect()
}

/// What an entry adds to a frame.
pub(crate) fn entry_bytes(entry: &Entry) -> u64 {
    (ENTRY_RECORD_BYTES + entry.payload.len()) as u64
}

/// Reports a panic of the log thread: without it, everyone would wait for ever.
struct Ending(Writer);

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end(Some(Fatal::Panicked));
        }
    }
}
