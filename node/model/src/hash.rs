//! From a row's partition key to its partition, and the digests that idempotency goes by.
//!
//! All of it is an on-disk format: rows stay where they were put, so a key must hash alike for
//! ever. `tests/golden.rs` holds vectors.
//!
//! A key's hash is xxh3-64 of its canonical bytes under its class as the seed, so that no value
//! of one class hashes like one of another, and text needs no copy:
//!
//! | class | seed | bytes |
//! |---|---|---|
//! | NULL | 0 | none |
//! | BOOLEAN | 1 | 0 or 1 |
//! | integers of all widths | 2 | i128, little-endian |
//! | VARCHAR | 3 | UTF-8 |
//! | UUID | 4 | the 16 bytes in the order they are written in text |
//! | DATE | 5 | i32 days since 1970-01-01, little-endian |
//! | TIMESTAMP | 6 | i64 microseconds since 1970-01-01 00:00:00 UTC, little-endian |

use std::num::NonZeroU32;

use uuid::Uuid;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed, xxh3_128_with_seed};

use crate::ids::{BodyDigest, KeyDigest, PartitionId, TableId};

/// One value of a partition key column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyValue<'a> {
    /// NULL, of whatever type.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// An integer of any width, signed or not.
    Integer(i128),
    /// VARCHAR.
    Text(&'a str),
    /// UUID.
    Uuid(Uuid),
    /// DATE, days since 1970-01-01.
    Date(i32),
    /// TIMESTAMP, microseconds since 1970-01-01 00:00:00 UTC.
    Timestamp(i64),
}

/// The key's hash, of which the partition is made.
pub fn key_hash(key: KeyValue<'_>) -> u64 {
    match key {
        KeyValue::Null => xxh3_64_with_seed(&[], 0),
        KeyValue::Boolean(value) => xxh3_64_with_seed(&[value.into()], 1),
        KeyValue::Integer(value) => xxh3_64_with_seed(&value.to_le_bytes(), 2),
        KeyValue::Text(value) => xxh3_64_with_seed(value.as_bytes(), 3),
        KeyValue::Uuid(value) => xxh3_64_with_seed(value.as_bytes(), 4),
        KeyValue::Date(value) => xxh3_64_with_seed(&value.to_le_bytes(), 5),
        KeyValue::Timestamp(value) => xxh3_64_with_seed(&value.to_le_bytes(), 6),
    }
}

/// Which of a cluster's partitions a row with this key belongs to.
pub fn partition_of(key: KeyValue<'_>, partitions: NonZeroU32) -> PartitionId {
    PartitionId(jump_consistent_hash(key_hash(key), partitions) + 1)
}

/// A bucket from 0 to `buckets - 1`: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash
/// Algorithm" (2014), figure 1.
fn jump_consistent_hash(mut key: u64, buckets: NonZeroU32) -> u32 {
    let buckets = i64::from(buckets.get());
    let (mut bucket, mut next) = (0_i64, 0_i64);
    while next < buckets {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // Both are exact in a double (2^31, and at most 31 bits), and IEEE division and
        // multiplication round alike everywhere, so this gives one answer on every machine.
        next = ((bucket + 1) as f64 * ((1_i64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
    }
    bucket as u32
}

/// The digest of an idempotency key; the same text for another table is another key.
pub fn key_digest(table: TableId, key: &str) -> KeyDigest {
    KeyDigest(xxh3_128_with_seed(key.as_bytes(), table.0.into()))
}

/// The digest of a request's body.
pub fn body_digest(body: &[u8]) -> BodyDigest {
    BodyDigest(xxh3_64(body))
}

/// [`body_digest`] of a body that comes in pieces, however it is cut.
#[derive(Clone, Default)]
pub struct BodyHasher(Xxh3);

impl BodyHasher {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of all pieces so far.
    pub fn finish(&self) -> BodyDigest {
        BodyDigest(self.0.digest())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partitions(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
    }

    #[test]
    fn null_false_zero_and_the_empty_text_are_four_keys() {
        let keys = [KeyValue::Null, KeyValue::Boolean(false), KeyValue::Integer(0), KeyValue::Text("")];
        let hashes: std::collections::BTreeSet<u64> = keys.into_iter().map(key_hash).collect();
        assert_eq!(hashes.len(), keys.len());
    }

    #[test]
    fn keys_spread_evenly_over_partitions() {
        let mut counts = [0_u32; 12];
        for key in 0..120_000 {
            counts[partition_of(KeyValue::Integer(key), partitions(12)).0 as usize - 1] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn every_partition_is_between_one_and_the_count(key in any::<i128>(), count in 1..10_000_u32) {
            let partition = partition_of(KeyValue::Integer(key), partitions(count));
            prop_assert!((1..=count).contains(&partition.0));
        }

        /// The property that gives the algorithm its name.
        #[test]
        fn one_more_bucket_moves_keys_only_into_it(key in any::<u64>(), count in 1..5_000_u32) {
            let before = jump_consistent_hash(key, partitions(count));
            let after = jump_consistent_hash(key, partitions(count + 1));
            prop_assert!(after == before || after == count);
        }

        #[test]
        fn a_body_in_pieces_has_the_digest_of_the_whole(body in any::<Vec<u8>>(), cut in any::<prop::sample::Index>()) {
            let cut = if body.is_empty() { 0 } else { cut.index(body.len()) };
            let mut hasher = BodyHasher::new();
            hasher.update(&body[..cut]);
            hasher.update(&body[cut..]);
            prop_assert_eq!(hasher.finish(), body_digest(&body));
        }
    }
}
