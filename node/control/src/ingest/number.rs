//! Numbers from their text, exactly.

/// How far beyond its digits a number's exponent may reach; DECIMAL(38,38) needs 76, anything more is 0 or too large.
const EXPONENT_LIMIT: i64 = 1_000;

/// What becomes of digits below the scale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// They round half away from zero, as DuckDB casts to DECIMAL.
    Rounds,
    /// They must be zeros.
    Refused,
}

/// `text` times 10^`scale` as an integer: `12`, `-0.5`, `1e3`. None where it is no number or does not fit.
pub fn scaled(text: &str, scale: u8, rest: Rest) -> Option<i128> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() && fraction.is_empty() || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    if digits().all(|digit| digit == b'0') {
        return Some(0);
    }
    // How many of the digits stand before the point of the result.
    let kept = (whole.len() as i64).checked_add(exponent)?.checked_add(i64::from(scale))?;
    if kept > EXPONENT_LIMIT + digits().count() as i64 {
        return None;
    }
    let sign = if negative { -1 } else { 1 };
    let mut value = 0_i128;
    for place in 0..kept.max(0) {
        let digit = digits_at(whole, fraction, place).unwrap_or(b'0') - b'0';
        // Signed from the start, since the least i128 has no positive counterpart.
        value = value.checked_mul(10)?.checked_add(sign * i128::from(digit))?;
    }
    let dropped = digits().skip(usize::try_from(kept.max(0)).ok()?);
    match rest {
        Rest::Refused => dropped.clone().all(|digit| digit == b'0').then_some(value),
        Rest::Rounds if kept < 0 => Some(value),
        Rest::Rounds => match dropped.clone().next() {
            Some(b'5'..=b'9') => value.checked_add(sign),
            _ => Some(value),
        },
    }
}

fn digits_at(whole: &str, fraction: &str, place: i64) -> Option<u8> {
    let place = usize::try_from(place).ok()?;
    match place.checked_sub(whole.len()) {
        None => whole.as_bytes().get(place).copied(),
        Some(place) => fraction.as_bytes().get(place).copied(),
    }
}

/// A DECIMAL's value times 10^`scale`; none where it has more than `precision` digits.
pub fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let value = scaled(text, scale, Rest::Rounds)?;
    let bound = 10_u128.checked_pow(precision.into())?;
    (value.unsigned_abs() < bound).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_to_their_last_digit() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("9223372036854775807", i128::from(i64::MAX)),
            ("-9223372036854775808", i128::from(i64::MIN)),
            ("18446744073709551615", i128::from(u64::MAX)),
            ("170141183460469231731687303715884105727", i128::MAX),
            ("-170141183460469231731687303715884105728", i128::MIN),
            ("1e3", 1_000),
            ("1.50E1", 15),
            ("100e-2", 1),
            ("0e999999", 0),
        ] {
            assert_eq!(scaled(text, 0, Rest::Refused), Some(value), "{text}");
        }
    }

    #[test]
    fn what_no_integer_is_is_none() {
        for text in [
            "",
            "-",
            "+",
            ".",
            "e1",
            "1e",
            "1.5",
            "1e-1",
            "abc",
            "1 ",
            " 1",
            "0x10",
            "1_000",
            "--1",
            "NaN",
            "١",
            "170141183460469231731687303715884105728",
            "1e39",
            "1e9223372036854775807",
            "1e99999999999999999999",
        ] {
            assert_eq!(scaled(text, 0, Rest::Refused), None, "{text}");
        }
    }

    #[test]
    fn decimals_round_half_away_from_zero_and_end_at_their_precision() {
        for (text, value) in [("1.005", Some(101)), ("-1.005", Some(-101)), ("1.004", Some(100)), ("0.004", Some(0))] {
            assert_eq!(decimal(text, 5, 2), value, "{text}");
        }
        assert_eq!(decimal("999.99", 5, 2), Some(99_999));
        assert_eq!(decimal("999.995", 5, 2), None);
        assert_eq!(decimal("1e-50", 38, 38), Some(0));
        assert_eq!(
            decimal("0.12345678901234567890123456789012345678", 38, 38),
            Some(12345678901234567890123456789012345678)
        );
    }
}
