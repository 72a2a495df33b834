//! Histories with power cuts, kills, failing disks and reopenings, against a plain model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use common::{FOLDER, entry, log_id, reporting};
use proptest::prelude::*;
use raftduck_model::{GroupId, LogId};
use raftduck_wal::testing::MemDisk;
use raftduck_wal::{Disk, Done, Entry, Fatal, GroupState, Options, Wal};

/// The least there is, so that segments begin, empty and go all the time.
const TINY: Options =
    Options { segment_bytes: 16 << 10, batch_bytes: 4 << 10, cache_bytes: 2 << 10, queue_bytes: 64 << 10 };

#[derive(Clone, Debug)]
enum Ask {
    Append {
        group: u32,
        count: u64,
        bytes: usize,
        filler: u8,
    },
    /// Back from the end by so many entries.
    Truncate {
        group: u32,
        back: u64,
    },
    /// Forth from the front by so many; perhaps beyond the end.
    Purge {
        group: u32,
        forth: u64,
    },
    Vote {
        group: u32,
    },
    Committed {
        group: u32,
    },
    Remove {
        group: u32,
    },
    Wait,
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Close,
    Kill,
    PowerCut,
    FailedSync(u64),
    FailedWrite(u64),
    /// No more space than for so many segments.
    FullDisk(u64),
}

#[derive(Clone, Default, PartialEq, Debug)]
struct Group {
    vote: Option<Bytes>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    entries: Vec<Entry>,
}

impl Group {
    fn last(&self) -> Option<LogId> {
        self.entries.last().map(|entry| entry.id).or(self.purged)
    }

    /// Everything but the committed position, which is written when something else is.
    fn found(&self) -> (Option<Bytes>, Option<LogId>, Option<LogId>, Vec<Entry>) {
        (self.vote.clone(), self.purged, self.last(), self.entries.clone())
    }
}

type Model = BTreeMap<u32, Group>;

fn ask(groups: u32) -> impl Strategy<Value = Ask> {
    let group = 0..groups;
    prop_oneof![
        8 => (group.clone(), 1..4_u64, prop_oneof![0..200_usize, 0..3000_usize], prop_oneof![Just(0), any::<u8>()])
            .prop_map(|(group, count, bytes, filler)| Ask::Append { group, count, bytes, filler }),
        1 => (group.clone(), 0..6_u64).prop_map(|(group, back)| Ask::Truncate { group, back }),
        2 => (group.clone(), 0..30_u64).prop_map(|(group, forth)| Ask::Purge { group, forth }),
        1 => group.clone().prop_map(|group| Ask::Vote { group }),
        2 => group.clone().prop_map(|group| Ask::Committed { group }),
        1 => (group, 0..20).prop_map(|(group, dice)| if dice == 0 { Ask::Remove { group } } else { Ask::Wait }),
        2 => Just(Ask::Wait),
    ]
}

fn ends() -> impl Strategy<Value = Ends> {
    prop_oneof![
        Just(Ends::Close),
        Just(Ends::Kill),
        Just(Ends::PowerCut),
        (0..25_u64).prop_map(Ends::FailedSync),
        (0..25_u64).prop_map(Ends::FailedWrite),
        (0..4_u64).prop_map(Ends::FullDisk),
    ]
}

/// Changes the model as the log is asked to; the call is for what can be waited for.
fn perform(ask: &Ask, term: u64, model: &mut Model, wal: &Wal, done: Done) {
    match ask {
        Ask::Append { group, count, bytes, filler } => {
            let state = model.entry(*group).or_default();
            let first = state.last().map_or(1, |last| last.index + 1);
            let payload = |at| vec![filler.wrapping_mul(at as u8); *bytes];
            let entries: Vec<Entry> = (first..first + count).map(|at| entry(term, at, payload(at))).collect();
            state.entries.extend(entries.clone());
            wal.group(GroupId(*group)).append(entries, done);
        }
        Ask::Truncate { group, back } => {
            let Some(state) = model.get_mut(group) else { return };
            // Raft never takes back what is committed.
            let committed = state.committed.map_or(0, |id| id.index);
            let fixed = state.entries.iter().filter(|entry| entry.id.index <= committed).count();
            let kept = state.entries.len().saturating_sub(*back as usize);
            state.entries.truncate(kept.max(fixed));
            wal.group(GroupId(*group)).truncate_after(state.last());
        }
        Ask::Purge { group, forth } => {
            let state = model.entry(*group).or_default();
            let front = state.entries.first().map(|entry| entry.id.index).or(state.purged.map(|id| id.index + 1));
            let upto = front.unwrap_or(1) + forth;
            let id = state.entries.iter().find(|entry| entry.id.index == upto).map_or(log_id(term, upto), |e| e.id);
            state.entries.retain(|entry| entry.id.index > upto);
            state.purged = Some(id);
            wal.group(GroupId(*group)).purge(id);
        }
        Ask::Vote { group } => {
            let vote = Bytes::from(format!("vote {term}"));
            model.entry(*group).or_default().vote = Some(vote.clone());
            wal.group(GroupId(*group)).save_vote(vote, done);
        }
        Ask::Committed { group } => {
            let Some(state) = model.get_mut(group) else { return };
            let Some(last) = state.last() else { return };
            state.committed = Some(last);
            wal.group(GroupId(*group)).save_committed(last);
        }
        Ask::Remove { group } => {
            model.remove(group);
            wal.remove_group(GroupId(*group));
        }
        Ask::Wait => {}
    }
}

fn found(wal: &Wal) -> Model {
    let group = |id: u32| {
        let log = wal.group(GroupId(id));
        let GroupState { vote, committed, purged, last, bytes } = log.state();
        let entries = log.read(0, u64::MAX, usize::MAX).unwrap();
        assert_eq!(bytes, entries.iter().map(|entry| entry.payload.len() as u64).sum::<u64>());
        let group = Group { vote, committed, purged, entries };
        assert_eq!(group.last(), last);
        group
    };
    wal.groups().into_iter().map(|id| (id.0, group(id.0))).collect()
}

fn same(a: &Model, b: &Model) -> bool {
    let nothing = Group::default();
    let of = |model: &Model, id| model.get(id).unwrap_or(&nothing).found();
    a.keys().chain(b.keys()).all(|id| of(a, id) == of(b, id))
}

/// A model without its payloads.
fn brief(model: &Model) -> String {
    let entry = |entry: &Entry| format!("{}+{}x{:?}", entry.id, entry.payload.len(), entry.payload.first());
    let group = |(id, group): (&u32, &Group)| {
        let entries: Vec<String> = group.entries.iter().map(entry).collect();
        format!("{id}: vote {:?} committed {:?} purged {:?} {entries:?}; ", group.vote, group.committed, group.purged)
    };
    model.iter().map(group).collect()
}

fn open(disk: &MemDisk) -> (Wal, mpsc::Receiver<Fatal>) {
    let (hook, fatals) = reporting();
    (Wal::open(Arc::new(disk.clone()), Path::new(FOLDER), TINY, hook).unwrap(), fatals)
}

/// One life of a process: what the disk holds after it, the model at each step, and up to which
/// step everything was acknowledged.
fn live(
    disk: &MemDisk,
    term: u64,
    start: &Model,
    asks: &[Ask],
    ends: Ends,
    coin: &mut impl FnMut() -> bool,
) -> (MemDisk, usize, Vec<Model>) {
    let (wal, fatals) = open(disk);
    match ends {
        Ends::FailedSync(nth) => disk.fail_sync(nth),
        Ends::FailedWrite(nth) => disk.fail_write(nth),
        Ends::FullDisk(segments) => {
            let used = u64::MAX - disk.free_bytes(Path::new(FOLDER)).unwrap();
            disk.set_capacity(used + segments * TINY.segment_bytes);
        }
        _ => {}
    }
    let mut history = vec![start.clone()];
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut newest: Option<mpsc::Receiver<()>> = None;
    for ask in asks {
        let mut model = history.last().unwrap().clone();
        // An append that is more than a frame may end after any of its entries.
        if let Ask::Append { group, count, bytes, filler } = ask {
            let payload = |at| vec![filler.wrapping_mul(at as u8); *bytes];
            for _ in 1..*count {
                let state = model.entry(*group).or_default();
                let at = state.last().map_or(1, |last| last.index + 1);
                state.entries.push(entry(term, at, payload(at)));
                history.push(model.clone());
            }
            model = history[history.len() - *count as usize].clone();
        }
        let (sender, receiver) = mpsc::channel();
        let count = acknowledged.clone();
        let position = history.len();
        let done = move || {
            // Everything up to this one is durable, in order.
            assert!(count.swap(position, Ordering::SeqCst) < position);
            let _ = sender.send(());
        };
        match ask {
            // Until everything before is durable, or never will be.
            Ask::Wait => drop(newest.take().map(|receiver| receiver.recv())),
            Ask::Append { .. } | Ask::Vote { .. } => newest = Some(receiver),
            _ => {}
        }
        perform(ask, term, &mut model, &wal, Box::new(done));
        history.push(model);
    }
    // Callers see everything that was asked for, durable or not.
    let after = match ends {
        Ends::Close => {
            assert_eq!(&found(&wal), history.last().unwrap());
            wal.close();
            acknowledged.store(history.len() - 1, Ordering::SeqCst);
            disk.copy()
        }
        Ends::Kill | Ends::PowerCut => {
            // What is acknowledged while it happens is not looked at.
            let count = acknowledged.load(Ordering::SeqCst);
            let after = if matches!(ends, Ends::Kill) { disk.copy() } else { disk.crash(coin) };
            return (after, count, history);
        }
        Ends::FailedSync(_) | Ends::FailedWrite(_) | Ends::FullDisk(_) => {
            wal.close();
            let met: Vec<Fatal> = fatals.try_iter().collect();
            assert!(met.len() <= 1, "{met:?}");
            if met.is_empty() {
                acknowledged.store(history.len() - 1, Ordering::SeqCst);
            }
            disk.crash(coin)
        }
    };
    let count = acknowledged.load(Ordering::SeqCst);
    (after, count, history)
}

/// Lives one after the other on one disk, each of which finds what the one before left.
fn check(lives: &[(Vec<Ask>, Ends)], seed: u64) -> Result<(), TestCaseError> {
    let mut state = seed | 1;
    let mut coin = move || {
        // xorshift64, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state & 1 == 0
    };
    let mut disk = MemDisk::new();
    let mut model = Model::new();
    for (life, (asks, ends)) in lives.iter().enumerate() {
        let (after, acknowledged, history) = live(&disk, life as u64 + 1, &model, asks, *ends, &mut coin);
        // Still full, where it was: opening takes no space.
        let (wal, _fatals) = open(&after);
        let read = found(&wal);
        wal.close();
        let matching = (acknowledged..history.len()).find(|at| same(&history[*at], &read));
        prop_assert!(
            matching.is_some(),
            "after {ends:?}: {acknowledged} of {} acknowledged\nfound {}\nasked {:#?}",
            asks.len(),
            brief(&read),
            history.iter().map(brief).collect::<Vec<_>>()
        );
        for (id, group) in &read {
            let saved = history.iter().any(|model| model.get(id).is_some_and(|old| old.committed == group.committed));
            prop_assert!(group.committed.is_none() || saved);
            prop_assert!(group.committed <= group.last(), "committed without the entries");
        }
        model = read;
        disk = after.copy();
        disk.set_capacity(u64::MAX);
    }
    // However long the history: three times what is live, five segments, and the spare one.
    let (wal, _fatals) = open(&disk);
    let stats = wal.stats();
    prop_assert!(stats.disk_bytes <= 3 * stats.live_bytes + 14 * TINY.segment_bytes, "{stats:?}");
    Ok(())
}

fn lives(groups: u32) -> impl Strategy<Value = Vec<(Vec<Ask>, Ends)>> {
    prop::collection::vec((prop::collection::vec(ask(groups), 0..60), ends()), 1..6)
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(400))]
    #[test]
    fn whatever_happens_all_that_was_acknowledged_is_found_and_nothing_else(lives in lives(4), seed in any::<u64>()) {
        check(&lives, seed)?;
    }
}

proptest! {
    #![proptest_config(cases(60))]
    #[test]
    fn the_same_is_so_for_sixty_four_groups(lives in lives(64), seed in any::<u64>()) {
        check(&lives, seed)?;
    }
}
