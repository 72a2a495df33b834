#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::Int32Array;
use raftduck_model::{BodyDigest, ReplicaId};

use super::*;

fn rows(count: i32) -> RecordBatch {
    let column = Arc::new(Int32Array::from_iter_values(0..count)) as arrow::array::ArrayRef;
    RecordBatch::try_from_iter([("a", column)]).unwrap()
}

fn read(index: u64, time: u64, parts: &[(u128, u64, i32)]) -> Read {
    let parts = parts.iter().map(|(key, body, count)| RowsPart {
        key: KeyDigest(*key),
        body: BodyDigest(*body),
        rows: rows(*count),
    });
    let wanted = Wanted::Rows(Rows { table: TableId(1), time: LogTime(time), parts: parts.collect() });
    Read { part: PartitionId(1), id: LogId { term: 1, leader: ReplicaId(1), index }, wanted }
}

#[test]
fn a_key_counts_from_the_entry_that_wrote_it_within_one_transaction_too() {
    let keys = KeyIndex::new(10);
    let before = Before { keys: &keys, time: LogTime(5) };
    let plan =
        plan(&[read(7, 9, &[(1, 1, 2), (2, 2, 3)]), read(8, 3, &[(1, 1, 2), (2, 9, 1), (3, 3, 0)])], |_| Some(&before));
    let index = LogIndex(7);
    assert_eq!(
        plan.outcomes,
        [
            ApplyOutcome::Parts(vec![PartOutcome::Written { rows: 2 }, PartOutcome::Written { rows: 3 }]),
            ApplyOutcome::Parts(vec![
                PartOutcome::Duplicate { index, rows: 2 },
                PartOutcome::KeyReused { index },
                PartOutcome::Written { rows: 0 },
            ]),
        ]
    );
    let places: Vec<_> = plan.rows[&TableId(1)].iter().map(|placed| (placed.index, placed.first)).collect();
    assert_eq!(places, [(7, 0), (7, 2)]);
    let advance = &plan.advances[&PartitionId(1)];
    assert_eq!((advance.last.index, advance.time), (8, LogTime(9)), "log time never goes back");
}

#[test]
fn the_plan_is_the_same_however_entries_are_shared_out() {
    let entries: Vec<Read> =
        (1..60_u64).map(|index| read(index, index, &[(u128::from(index * 5 % 7), 1, 1)])).collect();
    let empty = KeyIndex::new(3);
    let before = Before { keys: &empty, time: LogTime(0) };
    let whole = plan(&entries, |_| Some(&before));

    let mut keys = KeyIndex::new(3);
    let mut outcomes = Vec::new();
    for (step, some) in entries.chunks(4).enumerate() {
        let before = Before { keys: &keys, time: LogTime(0) };
        let part = plan(some, |_| Some(&before));
        outcomes.extend(part.outcomes);
        for key in part.keys {
            keys.insert(key.key, key.record, key.time);
        }
        if step % 2 == 0 {
            keys.trim(LogTime(0));
        }
    }
    assert_eq!(outcomes, whole.outcomes);
    let written = |outcome: &&ApplyOutcome| matches!(outcome, ApplyOutcome::Parts(parts) if matches!(parts[0], PartOutcome::Written { .. }));
    assert!(outcomes.iter().filter(written).count() > 10);
}
