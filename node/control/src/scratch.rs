//! A few DuckDBs without data, each for one caller at a time.

use std::sync::Arc;

use parking_lot::Mutex;
use raftduck_engine::Scratch;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

pub use raftduck_engine::ScratchError;

/// How many there are at the most: parsing takes well under a millisecond.
const MOST: usize = 4;

/// Callers wait in turn for one that is free.
#[derive(Clone)]
pub struct ScratchPool {
    free: Arc<Mutex<Vec<Scratch>>>,
    turns: Arc<Semaphore>,
}

/// None was free in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many statements are being parsed")]
pub struct NoTurn;

impl ScratchPool {
    /// Opens as many as there are `threads`, within reason.
    ///
    /// # Errors
    /// Where DuckDB cannot start.
    pub fn open(threads: usize) -> Result<Self, ScratchError> {
        let count = threads.clamp(1, MOST);
        let all = (0..count).map(|_| Scratch::open()).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { free: Arc::new(Mutex::new(all)), turns: Arc::new(Semaphore::new(count)) })
    }

    /// Runs `work` on one of them, on a thread that may block.
    ///
    /// # Errors
    /// Where none is free before `deadline`, or where the work panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce(&Scratch) -> T + Send + 'static,
    ) -> Result<T, NoTurn> {
        let turn = timeout_at(deadline, self.turns.clone().acquire_owned()).await.map_err(|_| NoTurn)?;
        let turn = turn.map_err(|_| NoTurn)?;
        let free = self.free.clone();
        let work = move || {
            let scratch = free.lock().pop();
            let mut lent = Lent { scratch, free };
            let done = lent.scratch.as_mut().map(|scratch| work(scratch));
            drop(lent);
            // The caller may have gone: only who works gives the turn back.
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.ok().flatten().ok_or(NoTurn)
    }
}

/// Comes back even where the work panics.
struct Lent {
    scratch: Option<Scratch>,
    free: Arc<Mutex<Vec<Scratch>>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.free.lock().extend(self.scratch.take());
    }
}
