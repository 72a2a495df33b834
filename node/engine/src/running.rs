//! The queries that run now, their deadlines, and the thread that ends those that are past them.
//!
//! Only that thread interrupts, and holds no lock meanwhile: an interrupt waits for as long as its connection is being
//! closed, which takes a heavy query's memory with it and hundreds of milliseconds. Whoever ends a query from outside,
//! on a thread that heartbeats need, only says so.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use duckdb::InterruptHandle;
use parking_lot::{Condvar, Mutex};

/// How long the watching thread waits before it interrupts a query again: an interrupt that comes
/// between two statements of a query is lost on DuckDB.
const AGAIN: Duration = Duration::from_millis(20);

/// Why a query was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Deadline,
    Dropped,
    Memory,
}

/// One query, as others see it.
pub(crate) struct Query {
    begun: Instant,
    deadline: Instant,
    interrupt: Arc<InterruptHandle>,
    ended: Mutex<Option<Ended>>,
    ending: AtomicBool,
    leaving: AtomicBool,
}

impl Query {
    /// Why the query must end, if it must.
    pub fn ended(&self) -> Option<Ended> {
        self.ended.lock().or_else(|| (Instant::now() >= self.deadline).then_some(Ended::Deadline))
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    fn end(&self, why: Ended) {
        self.ended.lock().get_or_insert(why);
        self.ending.store(true, Ordering::Release);
    }

    /// Its thread has no more use for an interrupt, and closes the connection.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Whether it is to be interrupted, as it was ended from outside or is past its deadline.
    fn is_due(&self, now: Instant) -> bool {
        let ends = self.ending.load(Ordering::Acquire) || now >= self.deadline;
        ends && !self.leaving.load(Ordering::Acquire)
    }
}

/// All queries of a store.
#[derive(Default)]
pub(crate) struct Running {
    queries: Mutex<HashMap<u64, Arc<Query>>>,
    changed: Condvar,
    next: AtomicU64,
}

/// A query's entry among the running ones; it leaves them when dropped.
pub(crate) struct Registered {
    running: Arc<Running>,
    id: u64,
    pub query: Arc<Query>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.running.queries.lock().remove(&self.id);
    }
}

impl Running {
    /// The queries, watched by a thread that ends with them.
    pub fn start() -> io::Result<Arc<Self>> {
        let running = Arc::new(Self::default());
        let watched = Arc::downgrade(&running);
        std::thread::Builder::new().name("query-watch".into()).spawn(move || watch(&watched))?;
        Ok(running)
    }

    pub fn register(self: &Arc<Self>, interrupt: Arc<InterruptHandle>, deadline: Instant) -> Registered {
        let query = Arc::new(Query {
            begun: Instant::now(),
            deadline,
            interrupt,
            ended: Mutex::new(None),
            ending: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.queries.lock().insert(id, Arc::clone(&query));
        self.changed.notify_one();
        Registered { running: Arc::clone(self), id, query }
    }

    pub fn count(&self) -> usize {
        self.queries.lock().len()
    }

    /// Has the watching thread end it; does not wait.
    pub fn end(&self, query: &Query, why: Ended) {
        query.end(why);
        // The watching thread looks at the queries under this lock, so it has not yet, or waits already.
        drop(self.queries.lock());
        self.changed.notify_one();
    }

    /// Ends the query that has run longest, which stands for the one that holds most: DuckDB does
    /// not say how much each holds. Returns whether there was one.
    pub fn interrupt_longest(&self) -> bool {
        let longest = self
            .queries
            .lock()
            .values()
            .filter(|query| !query.ending.load(Ordering::Acquire))
            .min_by_key(|query| query.begun)
            .cloned();
        longest.inspect(|query| self.end(query, Ended::Memory)).is_some()
    }

    /// Ends every query.
    pub fn end_all(&self) {
        let queries: Vec<_> = self.queries.lock().values().cloned().collect();
        queries.iter().for_each(|query| self.end(query, Ended::Dropped));
    }
}

fn watch(running: &Weak<Running>) {
    // The store's last handle may go while this waits, so it waits a bounded time.
    const LONGEST: Duration = Duration::from_secs(1);
    while let Some(running) = running.upgrade() {
        let mut queries = running.queries.lock();
        let now = Instant::now();
        let (due, others): (Vec<_>, Vec<_>) = queries.values().cloned().partition(|query| query.is_due(now));
        let mut next = now + LONGEST;
        if due.is_empty() {
            let waited = others.iter().filter(|query| now < query.deadline).map(|query| query.deadline);
            next = waited.fold(next, Instant::min);
        } else {
            drop(queries);
            for query in due {
                query.end(Ended::Deadline);
                query.interrupt.interrupt();
            }
            next = Instant::now() + AGAIN;
            queries = running.queries.lock();
        }
        running.changed.wait_until(&mut queries, next);
    }
}
