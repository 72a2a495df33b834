//! Threads that must not take processor time from the log's and the apply thread's.

use std::io;
use std::thread;

/// Of a thread that no writer waits for: the lowest share that there is without privileges.
const LOWEST: i32 = 19;
/// Of DuckDB's own threads, a ninth of the normal share. Writers wait for them too: DuckDB splits
/// checkpoints, and appends of more than 2048 rows, among all its threads, and whoever asked spins
/// until the others are done: at 19, on two processors that other programs kept busy, a checkpoint
/// of 90,000 rows took up to 6.2 s, at 5 up to 0.4 s. But at 5 the groups' own threads came too late
/// under eight heavy queries on two processors: five elections in 15 s; at 10, none in 50 s.
const ENGINE: i32 = 10;

/// Lowers the calling thread, and all threads that it starts from now on, for good.
///
/// A kernel that refuses leaves the priority as it was: slower under load, never wrong.
pub(crate) fn lower_this_thread() {
    lower_to(LOWEST);
}

fn lower_to(nice: i32) {
    // On Linux `setpriority` of no process means the calling thread.
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::warn!(%error, "queries keep the normal priority and may delay writes");
    }
}

/// Starts a named thread of the lowest priority.
pub(crate) fn spawn_low<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    spawn(name, LOWEST, body)
}

/// Starts a named thread that shares DuckDB's work, or opens an instance of it, whose threads
/// inherit its priority.
pub(crate) fn spawn_engine<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    spawn(name, ENGINE, body)
}

fn spawn<T: Send + 'static>(
    name: &str,
    nice: i32,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        lower_to(nice);
        body()
    })
}
