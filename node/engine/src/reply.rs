//! What applying an entry came to: the reply to whoever proposed it.
//!
//! A reply travels between stores with the entry's proposer, so it has a version and golden bytes.

use bytes::{BufMut, Bytes, BytesMut};
use raftduck_model::LogIndex;
use raftduck_model::codec::{DecodeError, Reader, Write};

/// The format's version, its first byte.
const REPLY_VERSION: u8 = 1;

/// What one entry came to. Deterministic: every replica says the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ApplyOutcome {
    /// Done; there is nothing to say about it.
    Done,
    /// One for each part of an append, in order.
    Parts(Vec<PartOutcome>),
    /// It changed nothing.
    Rejected {
        /// Why, and what to do.
        reason: String,
    },
    /// It was applied before this store opened; what came of it then is not remembered.
    AppliedBefore,
}

/// What one part of an append came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartOutcome {
    /// Its rows are in, under this entry.
    Written {
        /// How many.
        rows: u32,
    },
    /// The key was there with the same body: nothing was written again.
    Duplicate {
        /// The entry that wrote the rows.
        index: LogIndex,
        /// How many they were.
        rows: u32,
    },
    /// The key was there with another body: nothing was written.
    KeyReused {
        /// The entry that used the key first.
        index: LogIndex,
    },
}

/// Why bytes are no reply.
pub type ReplyError = DecodeError;

impl ApplyOutcome {
    /// The reply's bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(REPLY_VERSION);
        match self {
            Self::Done => out.put_u8(1),
            Self::Parts(parts) => {
                out.put_u8(2);
                out.put_u32_le(parts.len() as u32);
                for part in parts {
                    let (tag, index, rows) = match part {
                        PartOutcome::Written { rows } => (1, 0, *rows),
                        PartOutcome::Duplicate { index, rows } => (2, index.0, *rows),
                        PartOutcome::KeyReused { index } => (3, index.0, 0),
                    };
                    out.put_u8(tag);
                    out.put_u64_le(index);
                    out.put_u32_le(rows);
                }
            }
            Self::Rejected { reason } => {
                out.put_u8(3);
                out.put_bytes_with_length(reason.as_bytes());
            }
            Self::AppliedBefore => out.put_u8(4),
        }
        out.freeze()
    }

    /// The reply in `bytes`.
    pub fn decode(bytes: Bytes) -> Result<Self, ReplyError> {
        let mut input = Reader::new(bytes);
        match input.u8("reply version")? {
            REPLY_VERSION => {}
            other => return Err(DecodeError::Unknown { what: "reply version", value: other.into() }),
        }
        let outcome = match input.u8("reply")? {
            1 => Self::Done,
            2 => {
                Self::Parts((0..input.count("parts", 13)?).map(|_| decode_part(&mut input)).collect::<Result<_, _>>()?)
            }
            3 => Self::Rejected { reason: input.text("reason")? },
            4 => Self::AppliedBefore,
            other => return Err(DecodeError::Unknown { what: "reply", value: other.into() }),
        };
        input.finish()?;
        Ok(outcome)
    }
}

fn decode_part(input: &mut Reader) -> Result<PartOutcome, DecodeError> {
    let tag = input.u8("part")?;
    let index = LogIndex(input.u64("index")?);
    let rows = input.u32("rows")?;
    match tag {
        1 => Ok(PartOutcome::Written { rows }),
        2 => Ok(PartOutcome::Duplicate { index, rows }),
        3 => Ok(PartOutcome::KeyReused { index }),
        other => Err(DecodeError::Unknown { what: "part", value: other.into() }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn replies_keep_their_bytes() {
        let parts = vec![
            PartOutcome::Written { rows: 7 },
            PartOutcome::Duplicate { index: LogIndex(258), rows: 3 },
            PartOutcome::KeyReused { index: LogIndex(1) },
        ];
        let cases: [(ApplyOutcome, &[u8]); 4] = [
            (ApplyOutcome::Done, &[1, 1]),
            (
                ApplyOutcome::Parts(parts),
                &[
                    1, 2, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3,
                    1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
            ),
            (ApplyOutcome::Rejected { reason: "no".into() }, &[1, 3, 2, 0, 0, 0, b'n', b'o']),
            (ApplyOutcome::AppliedBefore, &[1, 4]),
        ];
        for (outcome, bytes) in cases {
            assert_eq!(outcome.encode(), bytes);
            assert_eq!(ApplyOutcome::decode(Bytes::copy_from_slice(bytes)).unwrap(), outcome);
        }
    }
}
