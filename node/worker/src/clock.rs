//! The one place where this crate reads a clock, and log time made from it.

use std::time::{SystemTime, UNIX_EPOCH};

use raftduck_model::{LogTime, limits};

/// Microseconds since the Unix epoch by this machine's clock; 0 on a clock set before it.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
}

/// The time of the entry after one of time `last`, by a leader whose clock says `now`.
///
/// It never goes back, and one entry carries it forward by a bounded jump at most: a leader whose
/// clock is far ahead must not expire every key at once.
pub fn advance(last: LogTime, now: u64) -> LogTime {
    let jump = u64::try_from(limits::LOG_TIME_JUMP.as_micros()).unwrap_or(u64::MAX);
    match last.0 {
        0 => LogTime(now),
        last => LogTime(now.clamp(last, last.saturating_add(jump))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_time_never_goes_back_and_jumps_a_bounded_way() {
        let hour = 60 * 60 * 1_000_000;
        assert_eq!(advance(LogTime(0), 7), LogTime(7));
        assert_eq!(advance(LogTime(100), 50), LogTime(100));
        assert_eq!(advance(LogTime(100), 200), LogTime(200));
        assert_eq!(advance(LogTime(100), 100 * hour), LogTime(100 + hour));
    }
}
