//! Threads that must not take processor time from the log's and the apply thread's.

use std::io;
use std::thread;

/// The lowest share a thread can have without privileges; measured to keep four times more writes
/// under eight heavy queries than none.
const LOWEST: i32 = 19;

/// Lowers the calling thread, and all threads that it starts from now on, for good.
///
/// A kernel that refuses leaves the priority as it was: slower under load, never wrong.
pub(crate) fn lower_this_thread() {
    // On Linux `setpriority` of no process means the calling thread.
    if let Err(error) = rustix::process::setpriority_process(None, LOWEST) {
        tracing::warn!(%error, "queries keep the normal priority and may delay writes");
    }
}

/// Starts a named thread of the lowest priority.
pub(crate) fn spawn_low<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(|| {
        lower_this_thread();
        body()
    })
}
