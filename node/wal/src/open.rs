//! Opening a folder: from files to a running log.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use raftduck_model::GroupId;

use crate::cache::Cache;
use crate::disk::{Disk, DiskFile};
use crate::fatal::FatalHook;
use crate::format::frame;
use crate::format::sectors::is_zero;
use crate::format::segment::{self, FRAMES_ALIGN, Header, HeaderError};
use crate::group::Group;
use crate::options::Options;
use crate::queue::{Queue, Stamp};
use crate::recover::{self, Loaded, Replay};
use crate::segments::Segments;
use crate::state::{Phase, State};
use crate::stats::Stats;
use crate::table::Table;
use crate::wal::Shared;
use crate::writer::{Current, Writer};

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options contradict themselves.
    #[error("{0}")]
    Options(&'static str),
    /// Another process has the folder.
    #[error("the log in {} is in use by another process: end that one first", .0.display())]
    InUse(PathBuf),
    /// The disk said no.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the disk said.
        source: io::Error,
    },
    /// Bytes that were written do not read back.
    #[error(
        "segment {segment:08} of the log is damaged at byte {offset}: {why}. Nothing was changed. \
         Keep a copy of the folder, then empty this store's volume and let the other replicas fill it again"
    )]
    Damaged {
        /// The segment's number, which is its file's name.
        segment: u32,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// A segment that is still needed is gone.
    #[error(
        "segment {0:08} of the log is missing while older and newer ones are there. Nothing was changed. Put it back, \
         or empty this store's volume and let the other replicas fill it again"
    )]
    SegmentMissing(u32),
    /// The log does not hold what it says it does.
    #[error(
        "group {group} should have entries {first} to {last} and the log holds {found} of them: a segment is missing. \
         Nothing was changed. Put it back, or empty this store's volume and let the other replicas fill it again"
    )]
    EntriesMissing {
        /// The group.
        group: GroupId,
        /// The first entry's index.
        first: u64,
        /// The last entry's index.
        last: u64,
        /// How many entries there are.
        found: u64,
    },
}

/// Turns a disk's error into one that says what was being done.
fn io<T>(what: &'static str, result: io::Result<T>) -> Result<T, OpenError> {
    result.map_err(|source| OpenError::Io { what, source })
}

/// A segment's file.
pub fn segment_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.wal"))
}

fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".wal").filter(|digits| digits.len() == 8)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// What [`open`] finds out from the files.
struct Found {
    replay: Replay,
    segments: Segments,
    current: Current,
    spare: Option<Arc<dyn DiskFile>>,
}

/// Opens the log; the log thread is still to be started.
pub fn open(
    disk: Arc<dyn Disk>,
    folder: &Path,
    options: Options,
    fatal: FatalHook,
) -> Result<(Arc<Shared>, Writer), OpenError> {
    options.check().map_err(OpenError::Options)?;
    io("making the log's folder", disk.create_folder(folder))?;
    let lock = disk.lock(folder).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse(folder.to_owned()),
        _ => OpenError::Io { what: "locking the log's folder", source },
    })?;
    // Files that the process before made may not be durable yet, only visible.
    io("syncing the log's folder", disk.sync_folder(folder))?;
    let names = io("listing the log's folder", disk.list(folder))?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    if let Some(missing) = numbers.windows(2).find_map(|pair| match pair {
        [a, b] if a + 1 != *b => Some(a + 1),
        _ => None,
    }) {
        return Err(OpenError::SegmentMissing(missing));
    }
    let mut found = match begun(&*disk, folder, &numbers)? {
        Some((begun, spare)) => read(&*disk, folder, begun, spare)?,
        None => begin(&*disk, folder, &options, &numbers)?,
    };
    let state = state(&mut found, options);
    let Found { replay, current, spare, .. } = found;
    let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
    let mut writer = Writer::new(shared.clone(), disk, folder, options, fatal, lock, current, replay);
    writer.set_spare(spare);
    writer.look_for_space();
    Ok((shared, writer))
}

type Begun = (Vec<u32>, Loaded);

/// Tells the begun segments from the spare one at the end. None if no segment was ever begun;
/// otherwise the older ones' numbers and the newest, read, and the spare one if it is usable.
fn begun(disk: &dyn Disk, folder: &Path, numbers: &[u32]) -> Result<Option<(Begun, Option<Loaded>)>, OpenError> {
    let Some((last, before)) = numbers.split_last() else { return Ok(None) };
    let newest = load(disk, folder, *last)?;
    match segment::decode(&newest.bytes) {
        Ok(_) => Ok(Some(((before.to_vec(), newest), None))),
        Err(HeaderError::Damaged(why)) => Err(newest.damaged(0, why)),
        Err(HeaderError::Missing) => match before.split_last() {
            None => {
                let frames = newest.bytes.get(FRAMES_ALIGN as usize..).unwrap_or_default();
                match *last == 1 && is_zero(frames) {
                    true => Ok(None),
                    false => Err(newest.damaged(0, "the oldest segment has lost its header")),
                }
            }
            Some((current, older)) => {
                let spare = newest;
                let current = load(disk, folder, *current)?;
                let salt = segment::decode(&current.bytes).map_err(|why| current.damaged(0, why.to_string()))?.salt;
                if let Some(later) = frame::find_later(&spare.bytes, 0, 0, salt) {
                    return Err(spare.damaged(0, format!("its header is gone and there is a frame at byte {later}")));
                }
                Ok(Some(((older.to_vec(), current), Some(spare))))
            }
        },
    }
}

fn load(disk: &dyn Disk, folder: &Path, number: u32) -> Result<Loaded, OpenError> {
    let file = io("opening a segment", disk.open(&segment_path(folder, number)))?;
    io("reading a segment", Loaded::read(number, file))
}

/// Reads a log that exists.
fn read(disk: &dyn Disk, folder: &Path, begun: Begun, spare: Option<Loaded>) -> Result<Found, OpenError> {
    let (older, newest) = begun;
    let mut replay = Replay { next: Stamp(1), ..Replay::default() };
    let mut segments = Segments::default();
    let mut why_before = None;
    for number in &older {
        let segment = load(disk, folder, *number)?;
        take(&mut replay, &segment, &mut segments, &mut why_before)?;
    }
    let end = take(&mut replay, &newest, &mut segments, &mut why_before)?;
    recover::check_end(&newest, &end, &replay)?;
    replay.check_complete()?;
    if io("wiping a torn frame", recover::wipe(&newest, end.offset))? {
        tracing::info!(segment = newest.number, offset = end.offset, "dropped a frame that was never acknowledged");
    }
    io("syncing the log's end", recover::write_again(&newest, end.last))?;
    let length = newest.bytes.len() as u64;
    let spare = match spare {
        Some(spare) if spare.bytes.len() as u64 == length => {
            io("wiping the spare segment", recover::wipe(&spare, 0))?;
            io("syncing the spare segment", spare.file.sync())?;
            Some(spare.file)
        }
        Some(spare) => {
            io("removing a spare segment of another size", disk.remove(&segment_path(folder, spare.number)))?;
            io("syncing the log's folder", disk.sync_folder(folder))?;
            None
        }
        None => None,
    };
    let current = Current { number: newest.number, file: newest.file, offset: end.offset, bytes: length };
    Ok(Found { replay, segments, current, spare })
}

/// Takes in one segment, and reports why the one before it ended early if this one shows that it
/// did.
fn take(
    replay: &mut Replay,
    segment: &Loaded,
    segments: &mut Segments,
    why_before: &mut Option<OpenError>,
) -> Result<recover::End, OpenError> {
    let header = segment::decode(&segment.bytes).map_err(|why| segment.damaged(0, why.to_string()))?;
    if header.number != segment.number {
        return Err(segment.damaged(0, "the segment's header has another number than its name"));
    }
    let oldest = segments.count() == 0;
    if !oldest
        && header.first_sequence > replay.sequence
        && let Some(why) = why_before.take()
    {
        return Err(why);
    }
    replay.begin(segment, &header, oldest)?;
    let end = replay.frames(segment, &header)?;
    segments.push(segment.number, segment.file.clone(), segment.bytes.len() as u64);
    *why_before = end.why.map(|why| segment.damaged(end.offset, why.to_string()));
    Ok(end)
}

/// Begins a log where there is none.
fn begin(disk: &dyn Disk, folder: &Path, options: &Options, numbers: &[u32]) -> Result<Found, OpenError> {
    let path = segment_path(folder, 1);
    if !numbers.is_empty() {
        // The process before this one ended while it was just here.
        io("removing a segment that was never begun", disk.remove(&path))?;
        io("syncing the log's folder", disk.sync_folder(folder))?;
    }
    let file = io("making the log's first segment", disk.create(&path, options.segment_bytes))?;
    let salt = RandomState::new().build_hasher().finish();
    let header =
        Header { number: 1, first_sequence: 1, salt, segment_bytes: options.segment_bytes, table: Table::default() };
    io("writing the log's first segment", file.write(0, &[IoSlice::new(&header.encode())]))?;
    io("syncing the log's first segment", file.sync())?;
    io("syncing the log's folder", disk.sync_folder(folder))?;
    let mut segments = Segments::default();
    segments.push(1, file.clone(), options.segment_bytes);
    let replay = Replay { sequence: 1, salt, next: Stamp(1), ..Replay::default() };
    let current = Current { number: 1, file, offset: header.frames_at(), bytes: options.segment_bytes };
    Ok(Found { replay, segments, current, spare: None })
}

/// The state callers see.
fn state(found: &mut Found, options: Options) -> State {
    let mut entries = std::mem::take(&mut found.replay.entries);
    let mut segments = std::mem::take(&mut found.segments);
    let mut groups = BTreeMap::new();
    for (id, row) in &found.replay.table.rows {
        let mut group = Group { row: row.clone(), ..Group::default() };
        for slot in entries.remove(id).unwrap_or_default().into_values() {
            if let Some(place) = slot.place {
                segments.hold(place.segment, slot.length);
            }
            group.bytes += u64::from(slot.length);
            group.slots.push_back(slot);
        }
        groups.insert(*id, group);
    }
    State {
        options,
        groups,
        queue: Queue::starting_at(found.replay.next),
        segments,
        cache: Cache::default(),
        phase: Phase::Open,
        full: false,
        look_again: false,
        reserve_bytes: 0,
        spare_bytes: 0,
        stats: Stats::default(),
    }
}
