//! The driver: parts to leaders in short attempts, each unresolved part again, elsewhere, until the deadline.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use raftduck_model::{PartitionId, StoreId, Table};
use raftduck_wire::proto::store::part_outcome::Outcome;
use raftduck_wire::proto::store::{AppendRequest, RowsPart};
use raftduck_wire::rpc;
use rand::RngExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::outcome::{Final, Next, Waiting, judge};
use super::split::Part;
use crate::metrics::Metrics;
use crate::view::{ClusterView, Stores};

/// The first attempt's time without its bytes: a frozen leader sends no reset, and a live one commits in a fraction.
const FIRST_ATTEMPT: Duration = Duration::from_millis(200);
/// What each MiB adds to an attempt's time: encoding, loopback or gigabit, two disks.
const ATTEMPT_PER_MIB: Duration = Duration::from_millis(150);
/// Waits between a part's attempts: doubling, with jitter, between these.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// How long a store is passed over after it did not answer in time, and after its connection broke; both double.
const SILENT_AFTER_TIMEOUT: Duration = Duration::from_millis(400);
const SILENT_AFTER_ERROR: Duration = Duration::from_millis(50);
/// One call's rows, below what a store's server takes in one message.
const CALL_BYTES: usize = rpc::MESSAGE_BYTES / 4;

/// Sends parts to stores.
#[derive(Clone)]
pub struct Router {
    view: watch::Receiver<Arc<ClusterView>>,
    stores: Arc<Stores>,
    metrics: Arc<Metrics>,
}

/// All rows of a request are durable on a quorum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// How many.
    pub rows: u64,
    /// Some part was written by an earlier attempt or request.
    pub duplicate: bool,
}

/// Why not all rows are known to be in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} of {} partitions are in", written.len(), written.len() + failed.len())]
pub struct AppendError {
    /// Partitions all of whose rows are in.
    pub written: Vec<PartitionId>,
    /// The others.
    pub failed: BTreeMap<PartitionId, Failure>,
}

/// Why one partition's rows are not known to be in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// They are not in, and repeating the request changes nothing.
    Final(Final),
    /// They are not in; the time was up.
    NotWritten(Waiting),
    /// They may be in; the time was up.
    Unknown,
}

struct Track {
    part: Part,
    state: State,
    attempts: u32,
    uncertain: bool,
    hint: Option<StoreId>,
    /// Stores that did not answer for this part, and until when a hint to one of them is ignored: the followers of a
    /// frozen leader name it until they elect another, but a leader whose reply was lost is to be asked again.
    silent: HashMap<StoreId, Instant>,
    why: Waiting,
}

#[derive(Clone, PartialEq)]
enum State {
    Due(Instant),
    InFlight,
    Written { duplicate: bool },
    Failed(Final),
}

struct Reply {
    store: StoreId,
    tracks: Vec<usize>,
    outcomes: Result<Vec<Option<Outcome>>, NoAnswer>,
}

/// Why a call has no outcome for each of its parts.
#[derive(Clone, Copy, PartialEq)]
enum NoAnswer {
    /// It never left, so nothing can have been written.
    Unsent,
    Broken,
    TimedOut,
}

impl Router {
    /// A router over what the view says.
    pub fn new(view: watch::Receiver<Arc<ClusterView>>, stores: Arc<Stores>, metrics: Arc<Metrics>) -> Self {
        Self { view, stores, metrics }
    }

    /// Writes all parts, or says which are in.
    pub async fn append(&self, table: &Table, parts: Vec<Part>, deadline: Instant) -> Result<Appended, AppendError> {
        let mut tracks: Vec<Track> = parts
            .into_iter()
            .map(|part| Track {
                part,
                state: State::Due(Instant::now()),
                attempts: 0,
                uncertain: false,
                hint: None,
                silent: HashMap::new(),
                why: Waiting::NoLeader,
            })
            .collect();
        let mut calls = FuturesUnordered::new();
        let mut view = self.view.clone();
        loop {
            let now = Instant::now();
            let current = view.borrow_and_update().clone();
            for (store, members) in due(&mut tracks, &current, now) {
                calls.push(self.call(store, members, table, &tracks, deadline));
            }
            let next = tracks.iter().filter_map(|track| match track.state {
                State::Due(at) => Some(at),
                _ => None,
            });
            let next = next.min();
            if next.is_none() && calls.is_empty() {
                break;
            }
            tokio::select! {
                Some(reply) = calls.next(), if !calls.is_empty() => settle(&mut tracks, reply),
                () = sleep_until(next.unwrap_or(deadline).min(deadline)), if next.is_some() => {}
                // A new leader is news for everyone who waits.
                Ok(()) = view.changed(), if next.is_some() => wake(&mut tracks),
                () = sleep_until(deadline) => break,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        summary(tracks)
    }

    /// One call with the parts of `members` to one store; borrows nothing, so that many run at once.
    fn call(
        &self,
        store: StoreId,
        members: Vec<usize>,
        table: &Table,
        tracks: &[Track],
        deadline: Instant,
    ) -> impl Future<Output = Reply> + use<> {
        let sent: Vec<&Track> = members.iter().filter_map(|track| tracks.get(*track)).collect();
        let attempts = sent.iter().map(|track| track.attempts).max().unwrap_or(1);
        let bytes: usize = sent.iter().map(|track| track.part.data.len()).sum();
        let allowed = attempt_time(attempts, bytes).min(deadline.saturating_duration_since(Instant::now()));
        let request = AppendRequest {
            parts: sent.iter().map(|track| on_wire(&track.part, table)).collect(),
            timeout_ms: allowed.as_millis() as u32,
        };
        let client = self.stores.client(store);
        let metrics = self.metrics.clone();
        async move {
            let began = Instant::now();
            let outcomes = match client {
                None => Err(NoAnswer::Unsent),
                Some(mut client) => match timeout(allowed, client.append(request)).await {
                    Ok(Ok(response)) => Ok(response.into_inner().outcomes),
                    Ok(Err(_)) => Err(NoAnswer::Broken),
                    Err(_) => Err(NoAnswer::TimedOut),
                },
            };
            let word = match &outcomes {
                Ok(_) => "ok",
                Err(NoAnswer::TimedOut) => "timeout",
                Err(NoAnswer::Broken | NoAnswer::Unsent) => "broken",
            };
            metrics.store_call("append", word, began.elapsed());
            let outcomes = outcomes.and_then(|outcomes| match outcomes.len() == members.len() {
                true => Ok(outcomes.into_iter().map(|outcome| outcome.outcome).collect()),
                // An answer that does not fit the question says nothing about any part.
                false => Err(NoAnswer::Broken),
            });
            Reply { store, tracks: members, outcomes }
        }
    }
}

/// The parts whose time has come, by the store to ask, no group beyond [`CALL_BYTES`]; they count as in flight.
fn due(tracks: &mut [Track], view: &ClusterView, now: Instant) -> Vec<(StoreId, Vec<usize>)> {
    let mut groups: Vec<(StoreId, Vec<usize>, usize)> = Vec::new();
    for (place, track) in tracks.iter_mut().enumerate() {
        if !matches!(track.state, State::Due(at) if at <= now) {
            continue;
        }
        let Some(store) = target(track, view, now) else {
            track.why = Waiting::NoLeader;
            track.state = State::Due(now + wait(track.attempts));
            track.attempts += 1;
            continue;
        };
        track.state = State::InFlight;
        track.attempts += 1;
        let bytes = track.part.data.len();
        match groups.iter_mut().rev().find(|(other, ..)| *other == store) {
            Some((_, members, total)) if *total + bytes <= CALL_BYTES => {
                members.push(place);
                *total += bytes;
            }
            _ => groups.push((store, vec![place], bytes)),
        }
    }
    groups.into_iter().map(|(store, members, _)| (store, members)).collect()
}

/// Whom to ask: who was named last, who leads as far as we know, and then the other replicas in turn. A store that just
/// did not answer for this part is asked only when nobody else is left.
fn target(track: &mut Track, view: &ClusterView, now: Instant) -> Option<StoreId> {
    let hint = track.hint.take();
    let leader = view.leader(track.part.partition.group()).map(|leader| leader.store);
    let answering = |store: &StoreId| track.silent.get(store).is_none_or(|until| *until <= now);
    if let Some(store) = hint.into_iter().chain(leader).find(answering) {
        return Some(store);
    }
    let replicas: Vec<StoreId> = view
        .meta
        .partition(track.part.partition)
        .map(|partition| partition.replicas.iter().map(|replica| replica.store).collect())
        .unwrap_or_default();
    let turn = track.attempts as usize;
    let others: Vec<StoreId> = replicas.iter().copied().filter(answering).collect();
    if let Some(store) = others.get(turn.checked_rem(others.len()).unwrap_or(0)) {
        return Some(*store);
    }
    leader.or_else(|| replicas.get(turn.checked_rem(replicas.len()).unwrap_or(0)).copied())
}

fn settle(tracks: &mut [Track], reply: Reply) {
    let Reply { store, tracks: members, outcomes } = reply;
    let now = Instant::now();
    let failure = outcomes.as_ref().err().copied();
    let mut outcomes = outcomes.unwrap_or_default().into_iter();
    for member in members {
        let outcome = outcomes.next().flatten();
        let Some(track) = tracks.get_mut(member) else { continue };
        if let Some(failure) = failure {
            let silence = if failure == NoAnswer::TimedOut { SILENT_AFTER_TIMEOUT } else { SILENT_AFTER_ERROR };
            let doubled = silence * 2_u32.saturating_pow(track.attempts.saturating_sub(1).min(3));
            track.silent.insert(store, now + doubled);
        }
        match judge(outcome) {
            Next::Written { duplicate } => track.state = State::Written { duplicate },
            Next::Failed(reason) => track.state = State::Failed(reason),
            Next::Again { why, hint, uncertain } => {
                track.uncertain |= uncertain && failure != Some(NoAnswer::Unsent);
                track.hint = hint.filter(|hint| *hint != store);
                let wait = match (&why, track.hint) {
                    (_, Some(_)) => Duration::ZERO,
                    (Waiting::Busy { retry_after_ms }, _) => {
                        wait(track.attempts).max(Duration::from_millis((*retry_after_ms).into()))
                    }
                    _ => wait(track.attempts),
                };
                track.why = why;
                track.state = State::Due(now + wait);
            }
        }
    }
}

/// Parts that wait for a leader need not sit their wait out.
fn wake(tracks: &mut [Track]) {
    let now = Instant::now();
    for track in tracks {
        if matches!(track.state, State::Due(_)) && matches!(track.why, Waiting::NoLeader | Waiting::Unanswered) {
            track.state = State::Due(now);
        }
    }
}

fn summary(tracks: Vec<Track>) -> Result<Appended, AppendError> {
    let mut appended = Appended { rows: 0, duplicate: false };
    let (mut touched, mut failed) = (std::collections::BTreeSet::new(), BTreeMap::new());
    for track in tracks {
        touched.insert(track.part.partition);
        let failure = match track.state {
            State::Written { duplicate } => {
                appended.rows += u64::from(track.part.rows);
                appended.duplicate |= duplicate;
                continue;
            }
            State::Failed(reason) => Failure::Final(reason),
            State::InFlight => Failure::Unknown,
            State::Due(_) if track.uncertain => Failure::Unknown,
            State::Due(_) => Failure::NotWritten(track.why),
        };
        // Of a partition's parts the one that cannot be healed says most.
        let entry = failed.entry(track.part.partition).or_insert_with(|| failure.clone());
        if matches!(failure, Failure::Final(_)) {
            *entry = failure;
        }
    }
    match failed.is_empty() {
        true => Ok(appended),
        false => {
            touched.retain(|partition| !failed.contains_key(partition));
            Err(AppendError { written: touched.into_iter().collect(), failed })
        }
    }
}

/// Grows with each attempt, so that a cluster that is slow but alive is not asked in vain for ever.
fn attempt_time(attempts: u32, bytes: usize) -> Duration {
    let base = FIRST_ATTEMPT + ATTEMPT_PER_MIB.mul_f64(bytes as f64 / f64::from(1 << 20));
    base * 2_u32.saturating_pow(attempts.saturating_sub(1).min(5))
}

fn wait(attempts: u32) -> Duration {
    let longest = (FIRST_WAIT * 2_u32.saturating_pow(attempts.saturating_sub(1).min(10))).min(LONGEST_WAIT);
    longest.mul_f64(rand::rng().random_range(0.5..=1.0))
}

fn on_wire(part: &Part, table: &Table) -> RowsPart {
    RowsPart {
        partition: part.partition.0,
        table: table.id.0,
        schema_version: table.version.0,
        key: part.key.0.to_le_bytes().to_vec().into(),
        body_digest: part.digest.0,
        rows: part.rows,
        data: part.data.clone(),
    }
}

#[cfg(test)]
mod tests;
