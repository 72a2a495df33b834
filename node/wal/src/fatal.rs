//! The end of the process.

use std::io;

use raftduck_model::GroupId;

/// Why the log cannot go on. Nothing that was waiting is acknowledged after it.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Writing failed.
    #[error("writing segment {segment} of the log failed")]
    Write {
        /// The segment's number.
        segment: u32,
        /// What the disk said.
        source: io::Error,
    },
    /// Syncing failed; what is on the disk is not known until the log is opened again.
    #[error("syncing segment {segment} of the log failed")]
    Sync {
        /// The segment's number.
        segment: u32,
        /// What the disk said.
        source: io::Error,
    },
    /// The volume is full, and so is the reserve.
    #[error("no room for a new segment of the log, and the reserve is used up: add space to the volume")]
    NoRoom {
        /// What the disk said.
        source: io::Error,
    },
    /// More groups than a segment's header can describe.
    #[error("the states of {groups} groups do not fit a segment's header")]
    TooManyGroups {
        /// How many groups there are.
        groups: usize,
    },
    /// Consensus asked for something that would make the log a lie.
    #[error("group {group}: {why}")]
    Misused {
        /// The group.
        group: GroupId,
        /// The rule that was broken.
        why: &'static str,
    },
    /// The log thread panicked.
    #[error("the log thread panicked")]
    Panicked,
}

/// Called once, by the log thread, when the log cannot go on. If it returns, the log stays
/// readable and nothing is ever acknowledged again.
pub type FatalHook = Box<dyn FnOnce(Fatal) + Send>;

/// Logs the reason and ends the process without unwinding: the only right answer in production.
pub fn abort_process() -> FatalHook {
    Box::new(|fatal| {
        let cause = std::error::Error::source(&fatal).map(ToString::to_string).unwrap_or_default();
        tracing::error!(%fatal, cause, "the log cannot go on, ending the process");
        std::process::abort()
    })
}
