//! The log that a store leaves beside its file when it is killed during a checkpoint.
//!
//! A store writes no log of its own (`no_wal_writes`). All the same DuckDB 2.0 writes, as a
//! checkpoint begins, a log that says only that (`StorageManager::WALStartCheckpoint`), and removes
//! it at the end. Such a log holds no change: whichever of the two states the file has, it is whole.
//! A log with anything else in it is another program's.
//!
//! The bytes are of `write_ahead_log.cpp`: a header, then entries of a length, a checksum and the
//! entry itself. Field numbers are two bytes, little-endian; numbers are LEB128; ffff ends a record.

/// The longest log that can be a marker: its header is at most 57 bytes, its two entries 60.
pub(crate) const MAX_BYTES: u64 = 128;

const WAL_VERSION: u8 = 98;
const CHECKPOINT: u8 = 99;
const FLUSH: u8 = 100;
/// An entry's length and checksum.
const FRAME: usize = 16;

/// Whether the log says nothing but that a checkpoint began. It may be cut short anywhere, as power
/// may have gone while it was written.
pub(crate) fn is_marker(log: &[u8]) -> bool {
    if log.len() as u64 > MAX_BYTES {
        return false;
    }
    // What was never written reads as zeros where the file was made longer already.
    let written = log.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    match header(&mut Left(log.get(..written).unwrap_or_default())) {
        Ok(entries) => only_markers(entries),
        Err(stop) => stop == Stop::Cut,
    }
}

/// Why reading a header ended early.
#[derive(PartialEq, Eq)]
enum Stop {
    /// The log ends, and has been a header up to there.
    Cut,
    /// It is no header.
    Other,
}

/// What is left to read.
struct Left<'a>(&'a [u8]);

impl Left<'_> {
    fn expect(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        match self.0.strip_prefix(bytes) {
            Some(rest) => self.0 = rest,
            None if bytes.starts_with(self.0) => return Err(Stop::Cut),
            None => return Err(Stop::Other),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Stop> {
        let last = self.0.iter().position(|byte| byte & 0x80 == 0).ok_or(Stop::Cut)?;
        self.0 = self.0.get(last + 1..).unwrap_or_default();
        Ok(())
    }
}

/// Reads the header; gives the entries behind it.
fn header<'a>(log: &mut Left<'a>) -> Result<&'a [u8], Stop> {
    const DB_IDENTIFIER: u8 = 16;
    log.expect(&[100, 0, WAL_VERSION, 101, 0])?;
    log.number()?;
    log.expect(&[102, 0, DB_IDENTIFIER])?;
    for _ in 0..DB_IDENTIFIER {
        log.number()?;
    }
    log.expect(&[103, 0])?;
    log.number()?;
    log.expect(&[0xff, 0xff])?;
    Ok(log.0)
}

fn only_markers(mut entries: &[u8]) -> bool {
    while let Some((frame, rest)) = entries.split_at_checked(FRAME) {
        let length = frame.iter().take(8).rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        match rest {
            [100, 0, CHECKPOINT | FLUSH, ..] | [100, 0] | [100] | [] => {}
            _ => return false,
        }
        entries = rest.get(length..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a store that was killed.
    const LEFT: &str = "64006265000266001060a201699f0185019e01f80167e201b201e0016aa9012061850167001effff\
        0c00000000000000e38edf040cf9be636400636500650008ffffffff\
        0500000000000000e7fe7d722fed3d5e640064ffff";

    fn left() -> Vec<u8> {
        LEFT.as_bytes().chunks(2).filter_map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
    }

    #[test]
    fn a_marker_is_one_wherever_it_is_cut() {
        let left = left();
        for length in 0..=left.len() {
            assert!(is_marker(&left[..length]), "{length} bytes");
            let mut torn = left.clone();
            torn[length..].fill(0);
            assert!(is_marker(&torn), "zeros from {length}");
        }
    }

    #[test]
    fn a_log_with_anything_else_in_it_is_none() {
        let left = left();
        let header = left.len() - 28 - 21;
        for kind in (0..=u8::MAX).filter(|kind| ![CHECKPOINT, FLUSH].contains(kind)) {
            let mut other = left.clone();
            other[header + FRAME + 2] = kind;
            assert!(!is_marker(&other), "an entry of kind {kind}");
        }
        for other in [b"x".as_slice(), b"xyz", &[1; 100], &[0; 200]] {
            assert!(!is_marker(other), "{other:?}");
        }
    }
}
