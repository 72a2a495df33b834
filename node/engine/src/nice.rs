//! Threads that must not take processor time from the log's and the apply thread's.

use std::io;
use std::thread;

/// How much of the processor a thread gets where others want it too.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Priority {
    /// For what no writer waits for: the lowest share that there is without privileges.
    Lowest,
    /// For DuckDB's own threads, whoever shares their work, and whoever opens an instance, whose
    /// threads inherit its priority: a ninth of the normal share. Writers wait for them too: DuckDB
    /// splits checkpoints, and appends of more than 2048 rows, among all its threads, and whoever
    /// asked spins until the others are done: at 19, on two processors that other programs kept
    /// busy, a checkpoint of 90,000 rows took up to 6.2 s, at 5 up to 0.4 s. But at 5 the groups'
    /// own threads came too late under eight heavy queries on two processors: five elections in
    /// 15 s; at 10, none in 50 s.
    Engine,
}

impl Priority {
    /// As `nice(1)` has it.
    fn nice(self) -> i32 {
        match self {
            Self::Lowest => 19,
            Self::Engine => 10,
        }
    }
}

/// Lowers the calling thread, and all threads that it starts from now on, for good.
///
/// A kernel that refuses leaves the priority as it was: slower under load, never wrong.
pub(crate) fn lower_this_thread(priority: Priority) {
    // On Linux `setpriority` of no process means the calling thread.
    if let Err(error) = rustix::process::setpriority_process(None, priority.nice()) {
        tracing::warn!(%error, "queries keep the normal priority and may delay writes");
    }
}

/// Starts a named thread of this priority.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    priority: Priority,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        lower_this_thread(priority);
        body()
    })
}
