//! Rows to their partitions' leaders: split by key, sent, and sent again under the same keys until each part's
//! outcome is known or the time is up.

pub mod append;
mod outcome;
pub mod split;

pub use append::{AppendError, Appended, Failure, Router};
pub use outcome::{Final, Waiting};
pub use split::{Part, Request, SplitError, split};
