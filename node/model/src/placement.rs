//! Decisions about where replicas and leaders should be, as pure functions of what is known.

mod leaders;

pub use leaders::{Leadership, MAX_TRANSFERS, Transfer, spread_leaders};
