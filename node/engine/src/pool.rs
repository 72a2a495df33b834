//! The threads that queries and exports run on: as many as may run at once, of a low priority, and
//! there for as long as the store.
//!
//! A thread that comes or goes maps and unmaps memory, under the kernel's lock of the whole address
//! space. One of a low priority can be put aside there for seconds on a busy machine, and
//! everything waits that needs that lock too, heartbeats among it.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;

use crate::nice::{self, Priority};

type Job = Box<dyn FnOnce() + Send>;

/// Threads that take jobs, and end once this is dropped and theirs is done.
pub(crate) struct Pool(mpsc::Sender<Job>);

impl Pool {
    pub fn start(name: &str, priority: Priority, threads: usize) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let receiver = Arc::clone(&receiver);
            nice::spawn(name, priority, move || work(&receiver))?;
        }
        Ok(Self(sender))
    }

    /// Has a thread run it, at once where no more jobs run than there are threads.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        // They end after this only.
        let _ = self.0.send(Box::new(job));
    }
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = jobs.lock().recv();
        let Ok(job) = job else { return };
        // The thread stays, or others would wait for it for ever.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
            tracing::error!(message = text(&*panic), "a query or an export ended by a panic, which is a bug");
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_no_thread() {
        let pool = Pool::start("one", Priority::Lowest, 1).unwrap();
        pool.run(|| panic!("on purpose"));
        let (sender, receiver) = mpsc::channel();
        pool.run(move || sender.send(7).unwrap());
        assert_eq!(receiver.recv(), Ok(7));
    }
}
