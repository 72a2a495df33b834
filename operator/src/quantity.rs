//! Amounts as Kubernetes writes them, as far as bytes go.

use std::fmt;
use std::str::FromStr;

/// A number of bytes above zero, read from `512Mi`, `2G` or `1.5Ti`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Bytes(u64);

/// A text that is no amount of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no amount of bytes: write a number and Mi, Gi or Ti, such as 100Gi")]
pub struct BadBytes {
    text: String,
}

/// The suffixes with which sizes are written; thousandths and exponents are left out, nobody means them.
const UNITS: [(&str, u64); 12] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("", 1),
];

impl Bytes {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// A part of it, but not nothing.
    pub fn divided_by(self, parts: std::num::NonZeroU64) -> Self {
        Self((self.0 / parts).max(1))
    }
}

impl FromStr for Bytes {
    type Err = BadBytes;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text).filter(|bytes| *bytes > 0).map(Self).ok_or_else(|| BadBytes { text: text.to_owned() })
    }
}

fn read(text: &str) -> Option<u64> {
    let (number, unit) = UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    // Kubernetes keeps three decimal places.
    if whole.is_empty() || part.len() > 3 || !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let thousandths = format!("{part:0<3}").parse::<u128>().ok()?;
    let total = (whole.parse::<u128>().ok()?.checked_mul(1000)? + thousandths).checked_mul(unit.into())?;
    // Larger amounts are beyond what Kubernetes can count.
    u64::try_from(total / 1000).ok().filter(|bytes| *bytes <= i64::MAX as u64)
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_kubernetes_own() {
        for (text, bytes) in [
            ("512Mi", 512 << 20),
            ("100Gi", 100 << 30),
            ("1.5Ti", 3 << 39),
            ("2G", 2_000_000_000),
            ("10k", 10_000),
            ("7", 7),
        ] {
            assert_eq!(text.parse::<Bytes>().unwrap().get(), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_an_example() {
        for text in
            ["", "Gi", "0", "-1Gi", "+1Gi", "1 Gi", "10GB", "1e9", "500m", "1.2.3Gi", ".5Gi", "99999999Ti", "9Ei"]
        {
            let error = text.parse::<Bytes>().unwrap_err();
            assert!(error.to_string().contains("100Gi"), "{text}: {error}");
        }
    }
}
