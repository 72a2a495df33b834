//! What the log thread does between frames: it goes over to the next segment, keeps one spare,
//! removes those nobody needs, and empties old ones that are held by little.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::disk::DiskFile;
use crate::fatal::Fatal;
use crate::format::record::ENTRY_RECORD_BYTES;
use crate::format::segment::Header;
use crate::open::segment_path;
use crate::state::{Pinned, State};
use crate::wal::{self, Entry};
use crate::writer::{Current, Writer};

/// How much is moved out of an old segment with one frame: little beside what a sync costs, so
/// that nobody's wait gets noticeably longer.
const MOVE_BYTES: u64 = 256 << 10;
/// After a failure to make or remove a file, not sooner again than this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What upkeep remembers between frames.
#[derive(Default)]
pub struct Upkeep {
    /// The next segment, allocated and zero.
    spare: Option<Arc<dyn DiskFile>>,
    moves: VecDeque<Pinned>,
    /// A segment with an entry that cannot be read back; it stays.
    unreadable: Option<u32>,
    tried_space: Option<Instant>,
    tried_removal: Option<Instant>,
}

/// An entry on its way to the current segment, and its CRC.
pub type Move = (Pinned, Entry, u32);

impl Upkeep {
    pub fn has_moves(&self) -> bool {
        !self.moves.is_empty()
    }
}

impl Writer {
    pub fn set_spare(&mut self, spare: Option<Arc<dyn DiskFile>>) {
        self.upkeep.spare = spare;
    }

    /// Goes over to the next segment.
    pub(crate) fn begin_segment(&mut self) -> Result<(), Fatal> {
        let number = self.current.number + 1;
        let file = match self.upkeep.spare.take() {
            Some(file) => file,
            None => self.make_segment(number).map_err(|source| Fatal::NoRoom { source })?,
        };
        let length = |error| Fatal::Write { segment: number, source: error };
        let bytes = file.length().map_err(length)?;
        let header = Header {
            number,
            first_sequence: self.sequence,
            salt: self.salt,
            segment_bytes: bytes,
            table: self.table.clone(),
        };
        let offset = header.frames_at();
        if offset > self.options.header_bytes() {
            return Err(Fatal::TooManyGroups { groups: self.table.rows.len() });
        }
        file.write(0, &[IoSlice::new(&header.encode())]).map_err(length)?;
        file.sync().map_err(|source| Fatal::Sync { segment: number, source })?;
        let mut state = self.shared.state.lock();
        state.segments.push(number, file.clone(), bytes);
        drop(state);
        self.current = Current { number, file, offset, bytes };
        self.upkeep.tried_space = None;
        self.show_reserve();
        Ok(())
    }

    fn make_segment(&self, number: u32) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.create(&segment_path(&self.folder, number), self.options.segment_bytes)?;
        self.disk.sync_folder(&self.folder)?;
        Ok(file)
    }

    /// Makes the spare segment if there is none and it was not just tried.
    pub(crate) fn look_for_space(&mut self) {
        let recently = self.upkeep.tried_space.is_some_and(|tried| tried.elapsed() < RETRY_AFTER);
        if self.upkeep.spare.is_none() && !recently {
            match self.make_segment(self.current.number + 1) {
                Ok(file) => self.upkeep.spare = Some(file),
                Err(error) => {
                    if self.upkeep.tried_space.is_none() {
                        tracing::warn!(%error, "no space for the log's next segment, entries are refused");
                    }
                    self.upkeep.tried_space = Some(Instant::now());
                }
            }
        }
        self.show_reserve();
    }

    fn show_reserve(&self) {
        let mut state = self.shared.state.lock();
        state.spare_bytes = if self.upkeep.spare.is_some() { self.options.segment_bytes } else { 0 };
        state.reserve_bytes = (self.current.bytes - self.current.offset) + state.spare_bytes;
        state.full = self.upkeep.spare.is_none() && self.upkeep.tried_space.is_some();
    }

    /// What there is to do after a frame, or when someone asks for it.
    pub(crate) fn upkeep(&mut self) -> Result<(), Fatal> {
        self.remove_unneeded()?;
        if self.upkeep.spare.is_none() {
            self.look_for_space();
        }
        if self.upkeep.moves.is_empty() {
            let state = self.shared.state.lock();
            if let Some(oldest) = to_empty(&state, self.current.bytes - self.current.offset)
                && self.upkeep.unreadable != Some(oldest)
            {
                self.upkeep.moves = state.pinned_to(oldest).into();
            }
        }
        Ok(())
    }

    /// Removes old segments one by one, each for good before the next: a gap in the numbers
    /// means that one was lost.
    fn remove_unneeded(&mut self) -> Result<(), Fatal> {
        if self.upkeep.tried_removal.is_some_and(|tried| tried.elapsed() < RETRY_AFTER) {
            return Ok(());
        }
        self.upkeep.tried_removal = None;
        loop {
            let unneeded = self.shared.state.lock().segments.unneeded(self.durable).map(|segment| segment.number);
            let Some(number) = unneeded else { return Ok(()) };
            if let Err(error) = self.disk.remove(&segment_path(&self.folder, number)) {
                tracing::warn!(%error, segment = number, "an old segment of the log cannot be removed");
                self.upkeep.tried_removal = Some(Instant::now());
                return Ok(());
            }
            let synced = self.disk.sync_folder(&self.folder);
            synced.map_err(|source| Fatal::Sync { segment: number, source })?;
            self.shared.state.lock().segments.remove_oldest();
            self.upkeep.tried_space = None;
        }
    }

    /// Finds room for entries that do not fit what is left here: in a new segment, but never in
    /// the last one there is. False if there is nothing to move.
    pub(crate) fn prepare_moves(&mut self) -> Result<bool, Fatal> {
        if self.upkeep.spare.is_none() {
            self.upkeep.moves.clear();
        }
        if self.upkeep.has_moves() {
            self.begin_segment()?;
        }
        Ok(self.upkeep.has_moves())
    }

    /// The next entries to write again, as far as they fit the room that a frame leaves.
    pub(crate) fn next_moves(&mut self, room: u64) -> Vec<Move> {
        let (mut moves, mut bytes) = (Vec::new(), 0);
        while bytes < MOVE_BYTES
            && let Some(pinned) = self.upkeep.moves.pop_front()
        {
            let Some(source) = self.shared.state.lock().still_pinned(pinned) else { continue };
            let crc = source.crc;
            match wal::load(source) {
                Ok(entry) if bytes + entry_bytes(&entry) <= room => {
                    bytes += entry_bytes(&entry);
                    moves.push((pinned, entry, crc));
                }
                Ok(_) => {
                    self.upkeep.moves.push_front(pinned);
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, group = %pinned.group, "an entry of the log cannot be read back");
                    self.upkeep.moves.clear();
                    self.upkeep.unreadable = self.shared.state.lock().segments.oldest().map(|oldest| oldest.number);
                }
            }
        }
        moves
    }
}

/// The oldest segment, if it is worth writing again what it is held by: it is little, or the
/// folder is three times as large as what it is for. (A segment's header and the entry that did
/// not fit its end take less than five eighths of it, so copying always gains something.)
fn to_empty(state: &State, room: u64) -> Option<u32> {
    let oldest = state.segments.oldest()?;
    let (bytes, live) =
        state.segments.iter().fold((0, 0), |(bytes, live), segment| (bytes + segment.bytes, live + segment.live_bytes));
    let spared = 4 * oldest.bytes;
    let is_little = oldest.live_bytes <= oldest.bytes / 8;
    let is_wasted = bytes > 3 * live + spared;
    let worth_it = match state.full {
        // What is left is for votes and purges first.
        true => oldest.live_bytes <= room / 4,
        false => is_wasted || is_little && bytes > spared,
    };
    worth_it.then_some(oldest.number)
}

/// What an entry adds to a frame.
fn entry_bytes(entry: &Entry) -> u64 {
    (ENTRY_RECORD_BYTES + entry.payload.len()) as u64
}
