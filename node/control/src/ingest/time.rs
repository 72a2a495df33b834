//! Dates, times and intervals from their text.

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, Timestamp};
use raftduck_model::calendar::CivilDate;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What to do about a number where a point in time is wanted: seconds and milliseconds look alike.
pub const EPOCH_ADVICE: &str = "a number is not taken for a time: send text such as \"2026-01-31T12:00:00Z\"";

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Microseconds since 1970-01-01 00:00:00 UTC: RFC 3339 with any offset, or `2026-01-31 12:00:00` and
/// `2026-01-31`, which are UTC. Digits below a microsecond are cut off, as DuckDB does.
pub fn timestamp(text: &str) -> Option<i64> {
    if is_number(text) {
        return None;
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_nanosecond().div_euclid(1_000) as i64);
    }
    let local: DateTime = text.parse().ok()?;
    let micros = time_micros(local.time());
    days(local.date()).checked_mul(MICROS_PER_DAY)?.checked_add(micros)
}

/// Days since 1970-01-01.
pub fn date(text: &str) -> Option<i32> {
    match is_number(text) || text.contains([':', 'T', 't']) {
        true => None,
        false => i32::try_from(days(text.parse().ok()?)).ok(),
    }
}

/// Microseconds since midnight.
pub fn time(text: &str) -> Option<i64> {
    match is_number(text) {
        true => None,
        false => text.parse().ok().map(time_micros),
    }
}

/// (months, days, nanoseconds): `3 days 2 hours`, or ISO 8601's `P3DT2H`.
pub fn interval(text: &str) -> Option<(i32, i32, i64)> {
    let span: Span = text.parse().ok()?;
    let months = i32::from(span.get_years()).checked_mul(12)?.checked_add(span.get_months())?;
    let days = span.get_weeks().checked_mul(7)?.checked_add(span.get_days())?;
    let seconds = i64::from(span.get_hours())
        .checked_mul(3_600)?
        .checked_add(span.get_minutes().checked_mul(60)?)?
        .checked_add(span.get_seconds())?;
    let nanos = seconds
        .checked_mul(1_000_000_000)?
        .checked_add(span.get_milliseconds().checked_mul(1_000_000)?)?
        .checked_add(span.get_microseconds().checked_mul(1_000)?)?
        .checked_add(span.get_nanoseconds() / 1_000 * 1_000)?;
    Some((months, days, nanos))
}

fn days(date: Date) -> i64 {
    CivilDate { year: date.year().into(), month: date.month() as u8, day: date.day() as u8 }.days()
}

fn time_micros(time: Time) -> i64 {
    let seconds = i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds * 1_000_000 + i64::from(time.subsec_nanosecond() / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_converted_to_utc() {
        let noon = Some(1_704_110_400_000_000); // 2024-01-01 12:00:00
        for text in [
            "2024-01-01T12:00:00Z",
            "2024-01-01 12:00:00",
            "2024-01-01T14:00:00+02:00",
            "2024-01-01T06:30:00.000000-05:30",
            "2024-01-01T12:00:00.0000009Z",
        ] {
            assert_eq!(timestamp(text), noon, "{text}");
        }
        assert_eq!(timestamp("2024-01-01"), Some(1_704_067_200_000_000));
        assert_eq!(timestamp("1969-12-31T23:59:59.999999Z"), Some(-1));
    }

    #[test]
    fn numbers_and_nonsense_are_no_times() {
        for text in ["1704110400", "1704110400.5", "20240101", "", "yesterday", "2024-02-30", "2024-01-01T25:00:00Z"] {
            assert_eq!(timestamp(text), None, "{text}");
        }
        for text in ["20240101", "2024-13-01", "2024-01-01T00:00:00"] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn dates_count_from_1970() {
        for (text, days) in [("1970-01-01", 0), ("1969-12-31", -1), ("2000-02-29", 11_016), ("0001-01-01", -719_162)] {
            assert_eq!(date(text), Some(days), "{text}");
        }
        assert_eq!(time("23:59:59.999999"), Some(MICROS_PER_DAY - 1));
        assert_eq!(interval("P1Y2M3DT4H"), Some((14, 3, 14_400_000_000_000)));
    }
}
