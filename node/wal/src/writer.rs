//! The log thread: whatever waits becomes one frame, one sync, and a call to everyone. In a simulation
//! there is no thread: a [`Driver`] does the same rounds when it is told to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::batch::{Batch, Placed};
use crate::disk::{Disk, DiskFile};
use crate::fatal::{Fatal, FatalHook};
use crate::format::frame;
use crate::queue::{Item, Stamp};
use crate::recover::Replay;
use crate::state::Phase;
use crate::table::Table;
use crate::upkeep::Upkeep;
use crate::wal::Shared;

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
    /// Being written. Kept here so that, if that fails, nobody who waits learns of it before the
    /// hook does: the process ends with the outcome unknown, as it is.
    batch: Batch,
    buffer: Vec<u8>,
    _lock: Box<dyn Send>,
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
            batch: Batch::default(),
            buffer: Vec::new(),
            _lock: lock,
        }
    }

    /// Runs until the log is closed or cannot go on.
    pub fn run(self) {
        let mut ending = Ending(self);
        while ending.round(Idle::Wait) != Round::Over {}
    }

    /// Does what there is to do.
    fn round(&mut self, idle: Idle) -> Result<Round, Fatal> {
        let Some((items, closing)) = self.next_items(idle)? else { return Ok(Round::Idle) };
        if items.is_empty() && closing {
            return Ok(Round::Over);
        }
        let taken: u64 = items.iter().map(Item::bytes).sum();
        let moved = self.next_moves(self.current.room().saturating_sub(taken));
        let fits = !moved.is_empty();
        self.write(Batch { items, moved })?;
        // What did not fit gets a frame of its own, or it would wait for as long as others write.
        if !fits && self.prepare_moves()? {
            let moved = self.next_moves(self.current.room());
            self.write(Batch { items: Vec::new(), moved })?;
        }
        self.upkeep()?;
        Ok(Round::Done)
    }

    /// Takes what waits if it needs a sync, and says whether the log closes. None where there is nothing
    /// to do and that is not to be waited for.
    fn next_items(&mut self, idle: Idle) -> Result<Option<(Vec<Item>, bool)>, Fatal> {
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
                    return Ok(Some((items, closing)));
                }
                drop(state);
                self.begin_segment()?;
                state = shared.state.lock();
            } else if closing {
                return Ok(Some((Vec::new(), true)));
            } else if self.upkeep.has_moves() || std::mem::take(&mut state.look_again) {
                return Ok(Some((Vec::new(), false)));
            } else if idle == Idle::Return {
                return Ok(None);
            } else {
                shared.wake.wait(&mut state);
            }
        }
    }

    /// Writes and syncs the batch, if there is anything in it, as one frame and tells everyone who
    /// waited for it.
    fn write(&mut self, batch: Batch) -> Result<(), Fatal> {
        if batch.items.is_empty() && batch.moved.is_empty() {
            return Ok(());
        }
        self.batch = batch;
        let Current { number: segment, ref file, offset, .. } = self.current;
        let encoded = self.batch.encode(offset, self.sequence, self.salt, &mut self.buffer);
        file.write(offset, &encoded.slices()).map_err(|source| Fatal::Write { segment, source })?;
        let total = encoded.bytes;
        let started = Instant::now();
        file.sync().map_err(|source| Fatal::Sync { segment, source })?;
        let took = started.elapsed();
        let written = self.batch.placed(offset, segment);
        self.current.offset += total;
        self.sequence += 1;
        for item in &self.batch.items {
            if let Some(record) = &item.record {
                let group = record.group;
                self.table.apply(record).map_err(|why| Fatal::Misused { group, why })?;
            }
            self.durable = item.stamp;
        }
        let batch = std::mem::take(&mut self.batch);
        let mut state = self.shared.state.lock();
        for Placed { entry, length, place } in written {
            state.placed(entry, length, place);
        }
        state.queue.bytes -= batch.items.iter().map(Item::bytes).sum::<u64>();
        state.stats.synced(took);
        state.stats.written_bytes += total;
        state.stats.relocated += batch.moved.len() as u64;
        state.reserve_bytes = (self.current.bytes - self.current.offset) + state.spare_bytes;
        state.trim_cache();
        drop(state);
        batch.items.into_iter().filter_map(|item| item.done).for_each(|done| done());
        Ok(())
    }

    fn end(&mut self, fatal: Option<Fatal>) {
        self.shared.state.lock().phase = Phase::Ended;
        if let (Some(fatal), Some(hook)) = (fatal, self.fatal.take()) {
            hook(fatal);
        }
        // Whoever waits still is never called; that they are dropped ends the waiting.
        let waiting = std::mem::take(&mut self.batch).items;
        let behind = self.shared.state.lock().queue.clear();
        drop((waiting, behind));
    }
}

/// What a round does where there is nothing to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Idle {
    Wait,
    Return,
}

/// What a round came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Round {
    /// Something was written and synced, or looked after.
    Done,
    /// There is nothing to do.
    Idle,
    /// The log has ended: it was closed, or cannot go on.
    Over,
}

/// The log thread's work without the thread, for simulations: there, nothing may depend on when the
/// system lets a thread run. Made by [`crate::Wal::open_driven`].
pub struct Driver {
    /// None once the log has ended.
    writer: Option<Ending>,
}

impl Driver {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { writer: Some(Ending(writer)) }
    }

    /// Writes and syncs what waits, as much as goes with one sync, and calls whoever waited for it.
    pub fn round(&mut self) -> Round {
        let round = self.writer.as_mut().map_or(Round::Over, |writer| writer.round(Idle::Return));
        if round == Round::Over {
            self.writer = None;
        }
        round
    }
}

/// Ends the log with the last round. Reports a panic of the log thread: without it, everyone would wait
/// for ever.
struct Ending(Writer);

impl Ending {
    fn round(&mut self, idle: Idle) -> Round {
        let fatal = match self.0.round(idle) {
            Ok(Round::Over) => None,
            Ok(round) => return round,
            Err(fatal) => Some(fatal),
        };
        self.0.end(fatal);
        Round::Over
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end(Some(Fatal::Panicked));
        }
    }
}
