//! What this machine has, and what each process of a cluster gets of it.

use std::num::NonZeroU16;

use crate::cli::units::ByteSize;

/// Below this a process cannot do useful work with DuckDB, so no share is smaller.
const LEAST: u64 = 128 << 20;
/// More than this helps no laptop's cluster; whoever wants more says `--memory`.
const MOST_FOR_WORKER: u64 = 8 << 30;

/// The memory this process may count on, in bytes: the machine's, or its control group's limit if that is less.
pub fn memory() -> u64 {
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total(&text)).unwrap_or(4 << 30);
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    limit.map_or(total, |limit: u64| total.min(limit))
}

/// The cores this process may use.
pub fn cores() -> NonZeroU16 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    u16::try_from(cores).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
}

fn mem_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// What each process of a local cluster may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// DuckDB's memory in each worker.
    pub worker: ByteSize,
    /// DuckDB's memory in control.
    pub control: ByteSize,
    /// Query threads in each process. One store answers a whole statement, so each may use every core; the system
    /// shares them out.
    pub threads: NonZeroU16,
}

impl Shares {
    /// Control gets a fifth of `budget`, the workers share the rest, each within bounds.
    pub fn of(budget: u64, workers: u16, threads: NonZeroU16) -> Self {
        let control = (budget / 5).clamp(LEAST, MOST_FOR_WORKER);
        let worker = (budget.saturating_sub(control) / u64::from(workers.max(1))).clamp(LEAST, MOST_FOR_WORKER);
        let whole = |bytes: u64| ByteSize(bytes >> 20 << 20);
        Self { worker: whole(worker), control: whole(control), threads }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_any_sensible_budget_stay_within_it() {
        for budget in [1u64 << 30, 4 << 30, 12 << 30, 512 << 30] {
            for workers in [1, 3, 5] {
                let shares = Shares::of(budget, workers, NonZeroU16::MIN);
                assert!(shares.control.0 + u64::from(workers) * shares.worker.0 <= budget, "{budget} {workers}");
                assert!(shares.worker.0 >= LEAST);
            }
        }
    }

    #[test]
    fn a_tiny_machine_gets_the_least_shares() {
        let shares = Shares::of(1 << 20, 3, NonZeroU16::MIN);
        assert_eq!((shares.worker.0, shares.control.0), (LEAST, LEAST));
    }

    #[test]
    fn the_machines_memory_is_read_from_the_kernels_text() {
        assert_eq!(mem_total("MemTotal:       24567 kB\nMemFree: 1 kB\n"), Some(24567 << 10));
        assert_eq!(mem_total("nonsense"), None);
    }
}
