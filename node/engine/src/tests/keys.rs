#![allow(clippy::unwrap_used)]

use super::*;

fn record(index: u64) -> KeyRecord {
    KeyRecord { body: BodyDigest(index), rows: 1, index: LogIndex(index) }
}

#[test]
fn the_oldest_keys_go_first_when_there_are_too_many() {
    let mut keys = KeyIndex::new(3);
    for index in 1..=5 {
        keys.insert(KeyDigest(index.into()), record(index), LogTime(1));
    }
    let now = LogTime(1);
    let live: Vec<_> = (1..=5_u64).filter(|key| keys.get(KeyDigest((*key).into()), now).is_some()).collect();
    assert_eq!(live, [3, 4, 5]);
    assert_eq!(keys.trim(now), 2);
    assert_eq!(keys.len(), 3);
    assert_eq!(keys.oldest_index(), Some(LogIndex(3)));
}

#[test]
fn a_key_is_forgotten_with_its_age_by_log_time() {
    let age = limits::KEY_AGE.as_micros() as u64;
    let mut keys = KeyIndex::new(10);
    keys.insert(KeyDigest(1), record(1), LogTime(1_000));
    assert!(keys.get(KeyDigest(1), LogTime(1_000 + age)).is_some());
    assert!(keys.get(KeyDigest(1), LogTime(1_001 + age)).is_none());
}

#[test]
fn a_key_written_again_after_it_was_forgotten_is_remembered_from_then() {
    let mut keys = KeyIndex::new(2);
    let now = LogTime(1);
    for (index, key) in [1_u128, 2, 3, 1].into_iter().enumerate() {
        keys.insert(KeyDigest(key), record(index as u64 + 1), now);
    }
    assert_eq!(keys.trim(now), 2);
    assert_eq!(keys.get(KeyDigest(1), now).map(|found| found.index), Some(LogIndex(4)));
    assert_eq!(keys.get(KeyDigest(3), now).map(|found| found.index), Some(LogIndex(3)));
    assert_eq!(keys.get(KeyDigest(2), now), None);
    assert_eq!(keys.oldest_index(), Some(LogIndex(3)));
}

#[test]
fn what_is_remembered_does_not_depend_on_when_memory_is_freed() {
    let mut eager = KeyIndex::new(4);
    let mut lazy = KeyIndex::new(4);
    let mut written = 0;
    for step in 0..200_u64 {
        let key = KeyDigest(u128::from(step * 7 % 11));
        let now = LogTime(step);
        assert_eq!(eager.get(key, now), lazy.get(key, now), "step {step}");
        if eager.get(key, now).is_none() {
            eager.insert(key, record(step), now);
            lazy.insert(key, record(step), now);
            written += 1;
        }
        eager.trim(now);
    }
    assert!(written > 50);
}
