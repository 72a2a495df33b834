//! Clients that write all the time, repeat themselves as if replies were lost, and remember what
//! they were promised.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use raftduck_wire::client::{Client, ClientError, RowsOptions};
use raftduck_wire::http::RowsAnswer;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;

use crate::content::{Batch, mix};

/// What a load does.
#[derive(Clone, Copy, Debug)]
pub struct LoadConfig {
    /// What rows and choices follow from.
    pub seed: u64,
    /// How many write at once.
    pub clients: u32,
    /// The most rows of a batch; sizes are spread evenly from 1.
    pub most_rows: u32,
    /// How long one batch is sent again before its outcome counts as unknown.
    pub patience: Duration,
}

impl Default for LoadConfig {
    fn default() -> Self {
        Self { seed: 1, clients: 4, most_rows: 1_000, patience: Duration::from_secs(90) }
    }
}

/// What a client knows of a batch at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It must be there, once.
    Acknowledged,
    /// It may be there, whole or in part, but nothing of it twice.
    Unknown,
}

/// How a batch is sent. Anything but `Plainly` is a request that is repeated under its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    Plainly,
    /// The first attempt is dropped half-way: its reply is truly lost.
    Lost,
    /// Twice at the same time.
    Twins,
    /// Again as soon as it is acknowledged.
    Again,
    /// Again after later batches, so perhaps after a fault and to other processes.
    Later,
}

fn manner(draw: f64) -> Manner {
    match draw {
        ..0.12 => Manner::Lost,
        ..0.24 => Manner::Twins,
        ..0.34 => Manner::Again,
        ..0.46 => Manner::Later,
        _ => Manner::Plainly,
    }
}

/// Rows counted two ways, so that one lost and one doubled do not hide each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Totals {
    /// How many.
    pub rows: u64,
    /// Their ordinals' sum.
    pub ordinals: u64,
}

/// A load under way; clones are of the same.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Shared>);

/// A load under way.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<(Batch, Outcome)>>>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    config: LoadConfig,
    stopped: AtomicBool,
    rows: AtomicU64,
    ordinals: AtomicU64,
    sent: AtomicU64,
    sent_ordinals: AtomicU64,
    batches: AtomicU64,
    repeated: AtomicU64,
    next: AtomicU64,
    /// When each request was begun, and when it ended, however it ended.
    requests: Mutex<BTreeMap<u64, (Instant, Option<Instant>)>>,
    violations: Mutex<Vec<String>>,
}

/// What a load came to.
#[derive(Debug)]
pub struct Written {
    /// Every batch that was ever sent.
    pub batches: Vec<(Batch, Outcome)>,
    /// Batches that were sent more than once on purpose.
    pub repeated: u64,
    /// Replies that must not be: a refusal of good rows, a repetition that is no duplicate.
    pub violations: Vec<String>,
}

impl Load {
    /// Starts the clients. The table must be there ([`crate::content::CREATE`]).
    pub fn start(client: Client, config: LoadConfig) -> Self {
        let shared = Arc::new(Shared {
            client,
            config,
            stopped: AtomicBool::new(false),
            rows: AtomicU64::new(0),
            ordinals: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            sent_ordinals: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            next: AtomicU64::new(0),
            requests: Mutex::default(),
            violations: Mutex::default(),
        });
        let clients = (0..config.clients).map(|number| tokio::spawn(writer(shared.clone(), number))).collect();
        Self { shared, clients }
    }

    /// Rows acknowledged so far, each batch once.
    pub fn rows(&self) -> u64 {
        self.shared.rows.load(Ordering::Relaxed)
    }

    /// What the load has come to, for those who watch it from beside.
    pub fn progress(&self) -> Progress {
        Progress(self.shared.clone())
    }

    /// Requests that were on their way at `moment`: what a fault at that moment met. Some are answered well all
    /// the same, where the answer had left already or the fault was elsewhere.
    pub fn met(&self, moment: Instant) -> usize {
        let met = |(begun, ended): &&(Instant, Option<Instant>)| *begun < moment && ended.is_none_or(|e| e >= moment);
        self.shared.requests.lock().values().filter(met).count()
    }

    /// Ends the load: each client brings its current batch to an outcome first.
    ///
    /// # Errors
    /// Where a client panicked.
    pub async fn stop(self) -> Result<Written> {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let mut batches = Vec::new();
        for client in self.clients {
            batches.extend(client.await.context("a client of the load ended badly")?);
        }
        let violations = std::mem::take(&mut *self.shared.violations.lock());
        Ok(Written { batches, repeated: self.shared.repeated.load(Ordering::Relaxed), violations })
    }
}

impl Progress {
    /// At least what a question that is asked from now on must find.
    pub fn acknowledged(&self) -> Totals {
        totals(&self.0.rows, &self.0.ordinals)
    }

    /// At least what a question that has been answered by now may have found.
    pub fn sent(&self) -> Totals {
        totals(&self.0.sent, &self.0.sent_ordinals)
    }
}

fn totals(rows: &AtomicU64, ordinals: &AtomicU64) -> Totals {
    Totals { rows: rows.load(Ordering::Relaxed), ordinals: ordinals.load(Ordering::Relaxed) }
}

async fn writer(shared: Arc<Shared>, client: u32) -> Vec<(Batch, Outcome)> {
    let seed = shared.config.seed;
    let mut random = StdRng::seed_from_u64(mix(seed ^ u64::from(client)));
    let mut written = Vec::new();
    let mut later: VecDeque<(u64, Batch)> = VecDeque::new();
    for number in 0.. {
        if shared.stopped.load(Ordering::Relaxed) {
            break;
        }
        let batch = Batch { seed, client, number, rows: random.random_range(1..=shared.config.most_rows) };
        let manner = manner(random.random());
        shared.batches.fetch_add(1, Ordering::Relaxed);
        if manner != Manner::Plainly {
            shared.repeated.fetch_add(1, Ordering::Relaxed);
        }
        shared.sent.fetch_add(batch.rows.into(), Ordering::Relaxed);
        shared.sent_ordinals.fetch_add(batch.ordinals(), Ordering::Relaxed);
        if manner == Manner::Lost {
            let patience = Duration::from_millis(random.random_range(0..30));
            let _ = tokio::time::timeout(patience, shared.attempt(batch)).await;
        }
        let outcome = match manner {
            Manner::Twins => {
                let (one, other) = tokio::join!(shared.deliver(batch), shared.deliver(batch));
                if one == Outcome::Acknowledged { one } else { other }
            }
            _ => shared.deliver(batch).await,
        };
        written.push((batch, outcome));
        if outcome != Outcome::Acknowledged {
            continue;
        }
        shared.rows.fetch_add(batch.rows.into(), Ordering::Relaxed);
        shared.ordinals.fetch_add(batch.ordinals(), Ordering::Relaxed);
        match manner {
            Manner::Again => shared.repeat(batch).await,
            Manner::Later => later.push_back((number + random.random_range(1..40), batch)),
            _ => {}
        }
        while later.front().is_some_and(|(due, _)| *due <= number) {
            if let Some((_, batch)) = later.pop_front() {
                shared.repeat(batch).await;
            }
        }
    }
    for (_, batch) in later {
        shared.repeat(batch).await;
    }
    written
}

impl Shared {
    /// One request, counted as in flight even where its future is dropped.
    async fn attempt(&self, batch: Batch) -> Result<RowsAnswer, ClientError> {
        struct InFlight<'a>(&'a Shared, u64);
        impl Drop for InFlight<'_> {
            fn drop(&mut self) {
                if let Some((_, ended)) = self.0.requests.lock().get_mut(&self.1) {
                    *ended = Some(Instant::now());
                }
            }
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let _in_flight = InFlight(self, number);
        let (body, options) = (batch.body(), RowsOptions { key: Some(batch.key()), ..RowsOptions::default() });
        self.requests.lock().insert(number, (Instant::now(), None));
        self.client.insert("load", &body, &options).await
    }

    /// The batch under its key until it is acknowledged or patience ends.
    async fn deliver(&self, batch: Batch) -> Outcome {
        let end = Instant::now() + self.config.patience;
        while Instant::now() < end {
            match self.attempt(batch).await {
                Ok(answer) if answer.rows == u64::from(batch.rows) => return Outcome::Acknowledged,
                Ok(answer) => {
                    self.violation(batch, &format!("{} rows of {} acknowledged", answer.rows, batch.rows));
                    return Outcome::Unknown;
                }
                Err(ClientError::Problem(problem)) if problem.status < 500 && problem.status != 429 => {
                    self.violation(batch, &format!("refused: {problem}"));
                    return Outcome::Unknown;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        Outcome::Unknown
    }

    /// An acknowledged batch again: whoever answers must say that it is there already. A failure
    /// says nothing, the first promise stands.
    async fn repeat(&self, batch: Batch) {
        match self.attempt(batch).await {
            Ok(answer) if answer.duplicate && answer.rows == u64::from(batch.rows) => {}
            Ok(answer) => self.violation(batch, &format!("a repetition was answered with {answer:?}")),
            Err(ClientError::Problem(problem)) if problem.status < 500 && problem.status != 429 => {
                self.violation(batch, &format!("a repetition was refused: {problem}"));
            }
            Err(_) => {}
        }
    }

    fn violation(&self, batch: Batch, what: &str) {
        self.violations.lock().push(format!("client {}, batch {}: {what}", batch.client, batch.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_over_three_requests_of_ten_are_repeated() {
        let repeated = (0..1_000).filter(|draw| manner(f64::from(*draw) / 1_000.0) != Manner::Plainly).count();
        assert!(repeated >= 400, "{repeated}");
    }
}
