//! The queries that run now, their deadlines, and the thread that ends those that are past them.
//!
//! Only that thread interrupts, and holds no lock meanwhile: an interrupt waits for as long as its connection is being
//! closed, which takes a heavy query's memory with it and hundreds of milliseconds. Whoever ends a query from outside,
//! on a thread that heartbeats need, only says so. A query's own thread, which has the lowest priority and may be put
//! aside anywhere, takes none of the locks here.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use duckdb::{Connection, InterruptHandle};
use parking_lot::{Condvar, Mutex};

/// How long the watching thread waits before it interrupts a query again: an interrupt that comes
/// between two statements of a query is lost on DuckDB.
const AGAIN: Duration = Duration::from_millis(20);

/// Why a query was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ended {
    Deadline = 1,
    Dropped = 2,
    Memory = 3,
}

impl Ended {
    /// The one of this number, none for 0.
    fn of(number: u8) -> Option<Self> {
        [Self::Deadline, Self::Dropped, Self::Memory].into_iter().find(|why| *why as u8 == number)
    }
}

/// One query, as others see it.
pub(crate) struct Query {
    begun: Instant,
    deadline: Instant,
    interrupt: OnceLock<Arc<InterruptHandle>>,
    /// An [`Ended`], or 0.
    ended: AtomicU8,
    leaving: AtomicBool,
    gone: AtomicBool,
}

impl Query {
    /// Why the query must end, if it must.
    pub fn ended(&self) -> Option<Ended> {
        let ended = Ended::of(self.ended.load(Ordering::Acquire));
        ended.or_else(|| (Instant::now() >= self.deadline).then_some(Ended::Deadline))
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// From now on it can be interrupted, by this.
    pub fn runs_on(&self, connection: &Connection) {
        self.interrupt.get_or_init(|| connection.interrupt_handle());
    }

    /// Its thread has no more use for an interrupt, and closes the connection.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    fn end(&self, why: Ended) {
        // The first reason stays.
        let _ = self.ended.compare_exchange(0, why as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    fn is_ending(&self) -> bool {
        self.ended.load(Ordering::Acquire) != 0
    }

    fn is_there(&self) -> bool {
        !self.gone.load(Ordering::Acquire)
    }

    /// Whether it is to be interrupted, as it was ended from outside or is past its deadline.
    fn is_due(&self, now: Instant) -> bool {
        (self.is_ending() || now >= self.deadline) && !self.leaving.load(Ordering::Acquire)
    }
}

/// All queries of a store.
#[derive(Default)]
pub(crate) struct Running {
    /// Those that have gone among them, until the watching thread looks.
    queries: Mutex<Vec<Arc<Query>>>,
    changed: Condvar,
}

/// A query's entry among the running ones; it is none of them any more when dropped.
pub(crate) struct Registered(pub Arc<Query>);

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.leave();
        // The watching thread takes it out.
        self.0.gone.store(true, Ordering::Release);
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

    pub fn register(&self, deadline: Instant) -> Registered {
        let query = Arc::new(Query {
            begun: Instant::now(),
            deadline,
            interrupt: OnceLock::new(),
            ended: AtomicU8::new(0),
            leaving: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        });
        self.queries.lock().push(Arc::clone(&query));
        self.changed.notify_one();
        Registered(query)
    }

    pub fn count(&self) -> usize {
        self.queries.lock().iter().filter(|query| query.is_there()).count()
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
            .iter()
            .filter(|query| query.is_there() && !query.is_ending())
            .min_by_key(|query| query.begun)
            .cloned();
        longest.inspect(|query| self.end(query, Ended::Memory)).is_some()
    }

    /// Ends every query.
    pub fn end_all(&self) {
        let queries = self.queries.lock().clone();
        queries.iter().for_each(|query| self.end(query, Ended::Dropped));
    }
}

fn watch(running: &Weak<Running>) {
    // The store's last handle may go while this waits, so it waits a bounded time.
    const LONGEST: Duration = Duration::from_secs(1);
    while let Some(running) = running.upgrade() {
        let mut queries = running.queries.lock();
        queries.retain(|query| query.is_there());
        let now = Instant::now();
        let (due, others): (Vec<_>, Vec<_>) = queries.iter().cloned().partition(|query| query.is_due(now));
        let mut next = now + LONGEST;
        if due.is_empty() {
            let waited = others.iter().filter(|query| now < query.deadline).map(|query| query.deadline);
            next = waited.fold(next, Instant::min);
        } else {
            drop(queries);
            for query in due {
                query.end(Ended::Deadline);
                if let Some(interrupt) = query.interrupt.get() {
                    interrupt.interrupt();
                }
            }
            next = Instant::now() + AGAIN;
            queries = running.queries.lock();
        }
        running.changed.wait_until(&mut queries, next);
    }
}
