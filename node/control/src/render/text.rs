//! Values as text.

use std::io::Write;

use arrow::datatypes::IntervalMonthDayNano;
use raftduck_model::calendar::CivilDate;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
const NANOS_PER_MICRO: i64 = 1_000;

/// Formats into memory, which cannot fail.
macro_rules! put {
    ($out:expr, $($format:tt)*) => {{
        let _ = write!($out, $($format)*);
    }};
}
pub(super) use put;

/// `2013-01-31`; ISO 8601's signed years outside of 0000 to 9999; DuckDB's `infinity`.
pub(super) fn date(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend(b"infinity"),
        -2_147_483_647 => out.extend(b"-infinity"),
        days => civil(days.into(), out),
    }
}

/// RFC 3339 in UTC with microseconds.
pub(super) fn timestamp(micros: i64, out: &mut Vec<u8>) {
    match micros {
        i64::MAX => out.extend(b"infinity"),
        -9_223_372_036_854_775_807 => out.extend(b"-infinity"),
        micros => {
            civil(micros.div_euclid(MICROS_PER_DAY), out);
            out.push(b'T');
            time(micros.rem_euclid(MICROS_PER_DAY), out);
            out.push(b'Z');
        }
    }
}

/// The same with nanoseconds.
pub(super) fn timestamp_nanos(nanos: i64, out: &mut Vec<u8>) {
    if matches!(nanos, i64::MAX | -9_223_372_036_854_775_807) {
        return timestamp(nanos, out);
    }
    timestamp(nanos.div_euclid(NANOS_PER_MICRO), out);
    out.pop();
    put!(out, "{:03}Z", nanos.rem_euclid(NANOS_PER_MICRO));
}

/// `05:00:00.000000`.
pub(super) fn time(micros: i64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (micros / MICROS_PER_SECOND, micros % MICROS_PER_SECOND);
    put!(out, "{:02}:{:02}:{:02}.{fraction:06}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
}

/// `1 year 2 months 3 days 04:05:06.000000`, a sign before each part that has one. `00:00:00.000000` for none.
pub(super) fn interval(value: IntervalMonthDayNano, out: &mut Vec<u8>) {
    let start = out.len();
    for (count, unit) in [(value.months / 12, "year"), (value.months % 12, "month"), (value.days, "day")] {
        if count != 0 {
            let space = if out.len() > start { " " } else { "" };
            let plural = if count.unsigned_abs() == 1 { "" } else { "s" };
            put!(out, "{space}{count} {unit}{plural}");
        }
    }
    let micros = value.nanoseconds / NANOS_PER_MICRO;
    if micros != 0 || out.len() == start {
        let space = if out.len() > start { " " } else { "" };
        let sign = if micros < 0 { "-" } else { "" };
        put!(out, "{space}{sign}");
        // Hours go beyond 99 as they are: an interval's are no time of the day.
        time(micros.saturating_abs(), out);
    }
}

/// A whole number `value` of units of `10^-scale`.
pub(super) fn decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    let Some(scale) = usize::try_from(scale).ok().filter(|scale| *scale > 0) else {
        put!(out, "{value}");
        // A negative scale is not DuckDB's, but Arrow has it.
        out.extend(std::iter::repeat_n(b'0', if value == 0 { 0 } else { usize::from(scale.unsigned_abs()) }));
        return;
    };
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    put!(out, "{sign}{whole}.{fraction}");
}

/// A number whose text reads back as the same number; the three that JSON has no number for by their names.
pub(super) fn float(value: f64, shortest: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    match value {
        value if value.is_nan() => out.extend(b"NaN"),
        f64::INFINITY => out.extend(b"Infinity"),
        f64::NEG_INFINITY => out.extend(b"-Infinity"),
        _ => shortest(out),
    }
}

fn civil(days: i64, out: &mut Vec<u8>) {
    let CivilDate { year, month, day } = CivilDate::from_days(days);
    match year {
        0..=9_999 => put!(out, "{year:04}-{month:02}-{day:02}"),
        _ => put!(out, "{year:+07}-{month:02}-{day:02}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn times_before_1970_and_far_away_have_their_dates() {
        for (micros, wanted) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (253_402_300_800_000_000, "+010000-01-01T00:00:00.000000Z"),
            (-62_198_755_200_000_000, "-000001-01-01T00:00:00.000000Z"),
            (i64::MAX, "infinity"),
            (-i64::MAX, "-infinity"),
        ] {
            assert_eq!(text(|out| timestamp(micros, out)), wanted);
        }
        assert_eq!(text(|out| timestamp_nanos(-1, out)), "1969-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn decimals_keep_every_digit() {
        for (value, scale, wanted) in [
            (0, 2, "0.00"),
            (-5, 2, "-0.05"),
            (12_345, 2, "123.45"),
            (7, 0, "7"),
            (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
            (7, -2, "700"),
        ] {
            assert_eq!(text(|out| decimal(value, scale, out)), wanted);
        }
    }

    #[test]
    fn intervals_read_as_people_say_them() {
        let of =
            |months, days, nanoseconds| text(|out| interval(IntervalMonthDayNano { months, days, nanoseconds }, out));
        assert_eq!(of(14, 3, 14_706_000_000_000), "1 year 2 months 3 days 04:05:06.000000");
        assert_eq!(of(-1, 0, -1_000), "-1 month -00:00:00.000001");
        assert_eq!(of(0, 0, 0), "00:00:00.000000");
        assert_eq!(of(0, 1, 0), "1 day");
        assert_eq!(of(0, 0, 360_000_000_000_000), "100:00:00.000000");
    }

    proptest! {
        /// Against another implementation of the calendar.
        #[test]
        fn dates_are_jiffs_dates(days in -700_000..2_900_000_i32) {
            let date_of = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days)).ok();
            prop_assert_eq!(Some(text(|out| date(days, out))), date_of.map(|date| date.to_string()));
        }
    }
}
