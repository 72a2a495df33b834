//! Decisions about where replicas and leaders should be, as pure functions of what is known.

mod leaders;
mod plan;

pub use leaders::{Leadership, MAX_TRANSFERS, Transfer, spread_leaders};
pub use plan::{Observed, depends_on, plan};
