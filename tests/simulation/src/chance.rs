//! What may happen, drawn from the seed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A stream of choices; clones share it.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    /// The stream of one part of a simulation: parts do not disturb each other's.
    pub fn new(seed: u64, part: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ part))))
    }

    pub fn number(&self) -> u64 {
        self.0.lock().random()
    }

    /// One of the numbers below `bound`, or 0.
    pub fn below(&self, bound: usize) -> usize {
        self.0.lock().random_range(0..bound.max(1))
    }

    /// True in so many of a hundred cases.
    pub fn percent(&self, percent: u32) -> bool {
        self.0.lock().random_range(0..100) < percent
    }

    pub fn between(&self, least: Duration, most: Duration) -> Duration {
        self.0.lock().random_range(least..=most)
    }

    pub fn up_to(&self, most: Duration) -> Duration {
        self.between(Duration::ZERO, most)
    }
}
