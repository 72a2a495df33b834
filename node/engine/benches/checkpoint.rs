//! What a checkpoint costs the writers of one store: their waits while one is under way beside
//! their waits while none is, in one run.
//!
//! `cargo bench --workspace --bench checkpoint -- [SECONDS [ROWS-PER-ENTRY [HEAVY-QUERIES]]]`
//!
//! Twelve writers, one for each partition, go through the log and the store as a worker of one
//! replica does: an entry is answered once the log has it on the disk, and applied after that. So
//! "answered" is what a client waits for, less the network; "applied" is what a read waits for. The
//! log and the store share the disk, as they do on a worker's volume.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raftduck_engine::{ApplyBatch, EngineEntry, EntryKind, QuerySpec, Store, StoreOptions};
use raftduck_model::{LogId, PartitionId, ReplicaId};
use raftduck_wal::{Entry, GroupLog, Options, RealDisk, Wal};
use support::{entry, table};
use tokio::sync::{mpsc, oneshot};

const PARTITIONS: u32 = 12;
/// Between two entries of one writer: 12 writers of 100 rows send 60,000 rows a second.
const PACE: Duration = Duration::from_millis(20);
/// Between the end of a checkpoint and the next: as long as a store's own rows take to be due.
const PAUSE: Duration = Duration::from_millis(1_500);
/// Entries of one writer that are answered and not applied yet.
const UNAPPLIED: usize = 64;

/// Whether a checkpoint is under way, and how many have been: odd while one is.
type Phase = Arc<AtomicU64>;

/// Waits in microseconds, of entries that met no checkpoint and of those that did.
#[derive(Default)]
struct Waits([Vec<u64>; 2]);

impl Waits {
    fn add(&mut self, began: Instant, before: u64, phase: &AtomicU64) {
        let met = before % 2 == 1 || phase.load(Ordering::Acquire) != before;
        self.0[usize::from(met)].push(began.elapsed().as_micros() as u64);
    }
}

fn percentile(sorted: &[u64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).map_or(f64::NAN, |micros| *micros as f64 / 1e3)
}

fn print(name: &str, waits: &mut [u64]) {
    waits.sort_unstable();
    let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| percentile(waits, share));
    println!("{name:<34}{:>9}{p50:>10.2}{p99:>10.2}{p999:>10.2}{max:>10.2}", waits.len());
}

struct Sent {
    id: LogId,
    bytes: bytes::Bytes,
    began: Instant,
    phase: u64,
}

async fn write(
    log: GroupLog,
    partition: u32,
    end: Instant,
    count: i64,
    phase: Phase,
    applier: mpsc::Sender<Sent>,
) -> Waits {
    let mut waits = Waits::default();
    let mut next = tokio::time::interval(PACE);
    next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for index in 1.. {
        if Instant::now() >= end {
            break;
        }
        next.tick().await;
        let bytes = entry(partition, index, count);
        let id = LogId { term: 1, leader: ReplicaId(1), index };
        let (began, before) = (Instant::now(), phase.load(Ordering::Acquire));
        let (done, answered) = oneshot::channel();
        log.append(
            vec![Entry { id, payload: bytes.clone() }],
            Box::new(move || {
                let _ = done.send(());
            }),
        );
        answered.await.unwrap();
        waits.add(began, before, &phase);
        applier.send(Sent { id, bytes, began, phase: before }).await.unwrap();
    }
    waits
}

async fn apply(store: Store, partition: u32, phase: Phase, mut sent: mpsc::Receiver<Sent>) -> Waits {
    let mut waits = Waits::default();
    let mut some = Vec::new();
    while sent.recv_many(&mut some, UNAPPLIED).await > 0 {
        let entries = some.iter().map(|sent: &Sent| EngineEntry {
            id: sent.id,
            kind: EntryKind::Command(sent.bytes.clone()),
            done: None,
        });
        let batch = ApplyBatch { partition: PartitionId(partition), entries: entries.collect() };
        store.apply(batch).await.unwrap();
        for sent in some.drain(..) {
            waits.add(sent.began, sent.phase, &phase);
        }
    }
    waits
}

/// Asks what takes long, again and again.
async fn ask(store: Store) {
    let sql = "SELECT count(*) FROM bench a, bench b WHERE hash(a.id, b.id) = 0";
    loop {
        let timeout = Duration::from_secs(20);
        let spec = QuerySpec { sql: sql.into(), tables: vec![table()], partitions: None, max_rows: None, timeout };
        if let Ok(mut answer) = store.query(spec).await {
            while let Ok(Some(_)) = answer.next().await {}
        }
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = support::arguments();
    let seconds = arguments.next().unwrap_or(30);
    let count = arguments.next().unwrap_or(100) as i64;
    let heavy = arguments.next().unwrap_or(0);
    let folder = tempfile::tempdir().unwrap();
    let halt = Arc::new(|reason: &str| panic!("the store halted: {reason}"));
    let mut options = StoreOptions::new(512 << 20, 2, folder.path().join("spill"), halt);
    // Only the loop below asks for checkpoints.
    (options.checkpoint_bytes, options.checkpoint_rows) = (u64::MAX, u64::MAX);
    options.checkpoint_age = Duration::from_secs(3_600);
    let store = Store::open(&folder.path().join("rows"), options).unwrap();
    let fatal = Box::new(|fatal: raftduck_wal::Fatal| panic!("the log failed: {fatal:?}"));
    let wal = Wal::open(Arc::new(RealDisk), &folder.path().join("log"), Options::default(), fatal).unwrap();

    let phase = Phase::default();
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut writers, mut appliers) = (Vec::new(), Vec::new());
    for partition in 1..=PARTITIONS {
        let (applier, sent) = mpsc::channel(UNAPPLIED);
        let log = wal.group(PartitionId(partition).group());
        writers.push(tokio::spawn(write(log, partition, end, count, Arc::clone(&phase), applier)));
        appliers.push(tokio::spawn(apply(store.clone(), partition, Arc::clone(&phase), sent)));
    }
    let mut queries = tokio::task::JoinSet::new();
    for _ in 0..heavy {
        queries.spawn(ask(store.clone()));
    }
    let took = Arc::new(Mutex::new(Vec::new()));
    while Instant::now() + PAUSE < end {
        tokio::time::sleep(PAUSE).await;
        phase.fetch_add(1, Ordering::AcqRel);
        let began = Instant::now();
        store.checkpoint().await.unwrap();
        took.lock().push(began.elapsed().as_micros() as u64);
        phase.fetch_add(1, Ordering::AcqRel);
    }

    queries.abort_all();
    let (mut answered, mut applied) = (Waits::default(), Waits::default());
    for (tasks, waits) in [(writers, &mut answered), (appliers, &mut applied)] {
        for task in tasks {
            let [without, with] = task.await.unwrap().0;
            waits.0[0].extend(without);
            waits.0[1].extend(with);
        }
    }
    let stats = store.stats();
    println!(
        "{PARTITIONS} writers, {count} rows every {PACE:?} each, {seconds} s, {} rows in {} transactions",
        stats.rows, stats.transactions
    );
    println!("{:<34}{:>9}{:>10}{:>10}{:>10}{:>10}", "milliseconds", "entries", "p50", "p99", "p99.9", "max");
    print("answered, no checkpoint", &mut answered.0[0]);
    print("answered, a checkpoint under way", &mut answered.0[1]);
    print("applied, no checkpoint", &mut applied.0[0]);
    print("applied, a checkpoint under way", &mut applied.0[1]);
    print("checkpoints", &mut took.lock());
    store.close();
    wal.close();
}
