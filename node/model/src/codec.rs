//! The little-endian building blocks of every format of ours on disk and between stores.
//!
//! A reader never trusts a length: it is checked against what is left before anything is read
//! or allocated, so that no input can make decoding panic or take memory beyond the input's own.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::ids::{LogId, ReplicaId};

/// Why bytes could not be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside a value.
    #[error("the input ends {missing} bytes early, inside {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// How many more bytes it takes.
        missing: usize,
    },
    /// A version, tag or value that this build does not know.
    #[error("unknown {what} {value}: written by a newer version, or damaged")]
    Unknown {
        /// What was being read.
        what: &'static str,
        /// The value found.
        value: u64,
    },
    /// Bytes that are no UTF-8 where text is expected.
    #[error("{what} is not UTF-8")]
    NotText {
        /// What was being read.
        what: &'static str,
    },
    /// Bytes left over after the last value.
    #[error("{0} bytes left over")]
    Trailing(usize),
    /// A value that decodes but contradicts the format's rules.
    #[error("{0}")]
    Invalid(&'static str),
}

/// Reads values off the front of a buffer; byte strings share its memory.
#[derive(Debug, Clone)]
pub struct Reader(Bytes);

impl Reader {
    /// Starts at the front of `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    fn need(&self, what: &'static str, bytes: usize) -> Result<(), DecodeError> {
        match bytes.saturating_sub(self.0.remaining()) {
            0 => Ok(()),
            missing => Err(DecodeError::Truncated { what, missing }),
        }
    }

    /// The next byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.need(what, 1)?;
        Ok(self.0.get_u8())
    }

    /// The next four bytes as a number.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.need(what, 4)?;
        Ok(self.0.get_u32_le())
    }

    /// The next eight bytes as a number.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.need(what, 8)?;
        Ok(self.0.get_u64_le())
    }

    /// The next sixteen bytes as a number.
    pub fn u128(&mut self, what: &'static str) -> Result<u128, DecodeError> {
        self.need(what, 16)?;
        Ok(self.0.get_u128_le())
    }

    /// A byte string with its length before it.
    pub fn bytes(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        let length = self.u32(what)? as usize;
        self.need(what, length)?;
        Ok(self.0.split_to(length))
    }

    /// Text with its length before it.
    pub fn text(&mut self, what: &'static str) -> Result<String, DecodeError> {
        let bytes = self.bytes(what)?;
        std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| DecodeError::NotText { what })
    }

    /// How many items of at least `least` bytes each follow; refused where they cannot.
    pub fn count(&mut self, what: &'static str, least: usize) -> Result<usize, DecodeError> {
        let count = self.u32(what)? as usize;
        self.need(what, count.saturating_mul(least))?;
        Ok(count)
    }

    /// A log position.
    pub fn log_id(&mut self) -> Result<LogId, DecodeError> {
        Ok(LogId { term: self.u64("term")?, leader: ReplicaId(self.u64("leader")?), index: self.u64("index")? })
    }

    /// A value that may be absent, behind a byte 0 or 1.
    pub fn option<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.u8(what)? {
            0 => Ok(None),
            1 => read(self).map(Some),
            other => Err(DecodeError::Unknown { what, value: other.into() }),
        }
    }

    /// All that is left.
    pub fn rest(self) -> Bytes {
        self.0
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.0.remaining()
    }

    /// Ends the reading; anything left over is an error.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.0.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

/// What [`Reader`] reads, written.
pub trait Write: BufMut {
    /// A byte string with its length before it. Ours are bounded far below 4 GiB
    /// ([`crate::limits`]), so the length fits.
    fn put_bytes_with_length(&mut self, bytes: &[u8]) {
        self.put_u32_le(bytes.len() as u32);
        self.put_slice(bytes);
    }

    /// A log position, 24 bytes.
    fn put_log_id(&mut self, id: LogId) {
        self.put_u64_le(id.term);
        self.put_u64_le(id.leader.0);
        self.put_u64_le(id.index);
    }

    /// A value that may be absent, behind a byte 0 or 1.
    fn put_option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T))
    where
        Self: Sized,
    {
        match value {
            None => self.put_u8(0),
            Some(value) => {
                self.put_u8(1);
                write(self, value);
            }
        }
    }
}

impl Write for BytesMut {}
impl Write for Vec<u8> {}
