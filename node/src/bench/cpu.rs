//! Processor time, as the kernel counts it.

/// `USER_HZ`: what /proc counts in, on every architecture that Rust and DuckDB run on under Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds that the processes have used, user and system, with all their threads; those that are gone count nothing.
pub fn seconds(pids: impl IntoIterator<Item = u32>) -> f64 {
    let ticks: u64 = pids.into_iter().filter_map(|pid| ticks(&std::fs::read_to_string(stat(pid)).ok()?)).sum();
    ticks as f64 / TICKS_PER_SECOND
}

fn stat(pid: u32) -> String {
    format!("/proc/{pid}/stat")
}

/// Fields 14 and 15 of proc_pid_stat(5); the command's name before them may hold spaces and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_ticks_are_added_whatever_the_name_is() {
        let stat = "12 (a) b (c) S 1 1 1 0 -1 4194560 10 0 0 0 70 30 0 0 20 0";
        assert_eq!(ticks(stat), Some(100));
        assert_eq!(ticks("12 (a"), None);
    }
}
