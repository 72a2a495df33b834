//! What the machine itself does meanwhile. One that is shared stands still now and then, for everybody on it: what
//! happens then says nothing about the product.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Watches whether a thread that wants next to nothing gets it at once: processor time, and one sector on the disk of
/// the temporary folder.
pub struct Watch {
    stop: Arc<AtomicBool>,
    processor: Arc<AtomicU64>,
    disk: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Begins.
    ///
    /// # Errors
    /// Where there is no temporary file.
    pub fn begin() -> Result<Self> {
        let file = tempfile::tempfile().context("a file to sync")?;
        let stop = Arc::new(AtomicBool::new(false));
        let (processor, disk) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let sleeper = repeat(stop.clone(), processor.clone(), || ());
        let writer = repeat(stop.clone(), disk.clone(), move || sync(&file));
        Ok(Self { stop, processor, disk, threads: vec![sleeper, writer] })
    }

    /// Ends it: the longest that the processor and the disk kept it waiting.
    pub fn end(self) -> (Duration, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
        let worst = |worst: &AtomicU64| Duration::from_micros(worst.load(Ordering::Relaxed));
        (worst(&self.processor), worst(&self.disk))
    }
}

fn sync(file: &File) {
    // A disk that is full or fails is another test's.
    let _ = file.write_all_at(&[1; 512], 0).and_then(|()| file.sync_data());
}

/// Does it again and again, and keeps how much longer than a pause the longest took.
fn repeat(stop: Arc<AtomicBool>, worst: Arc<AtomicU64>, what: impl Fn() + Send + 'static) -> JoinHandle<()> {
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            thread::sleep(PAUSE);
            what();
            let late = begun.elapsed().saturating_sub(PAUSE).as_micros();
            worst.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    })
}
