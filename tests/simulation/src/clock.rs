//! Every store's wall clock: the simulation's time and what the store's clock is off by.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::runtime::{Handle, Id};

#[path = "../../../node/worker/src/clock.rs"]
#[allow(dead_code)] // The product's clock.
mod real;

pub use real::advance;

/// When simulations begin: some day in 2026, in microseconds since the Unix epoch.
const EPOCH: u64 = 1_790_000_000_000_000;

thread_local! {
    /// What the clock is off by, in microseconds, by the runtime of the store's process.
    static OFFSETS: RefCell<HashMap<Id, Arc<AtomicI64>>> = RefCell::default();
    /// The time between two steps, when no host is at work.
    static BETWEEN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The process that runs on this runtime reads a clock that is off by so many microseconds.
pub fn set_off(by: Arc<AtomicI64>) {
    OFFSETS.with_borrow_mut(|offsets| offsets.insert(Handle::current().id(), by));
}

/// Microseconds since the Unix epoch by the clock of whoever asks.
pub fn now() -> u64 {
    let off =
        OFFSETS.with_borrow(|offsets| offsets.get(&Handle::current().id()).map(|off| off.load(Ordering::Relaxed)));
    (EPOCH + elapsed().as_micros() as u64).saturating_add_signed(off.unwrap_or_default())
}

/// How long the simulation has run, in its own time.
pub fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_else(|| BETWEEN.get())
}

/// A step has ended.
pub fn set(elapsed: Duration) {
    BETWEEN.set(elapsed);
}
