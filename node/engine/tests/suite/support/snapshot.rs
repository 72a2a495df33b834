//! A partition with something of everything, what a store holds of one, and the folders that snapshots lie in.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, RecordBatch};
use bytes::Bytes;
use raftduck_engine::{ApplyOutcome, EntryKind, Exported, Store, arrow_schema};
use raftduck_model::{ColumnType, CommandBody, PartitionId, SchemaVersion, Table};

use super::types::all_types;
use super::{append, apply, apply_all, column, command, events, open, part, rows, text};

pub const ONE: PartitionId = PartitionId(1);

/// `events` with a third column that older rows have as 1.50.
pub fn wider() -> Table {
    let mut table = events();
    table.version = SchemaVersion(2);
    let mut added = column("w", ColumnType::Decimal { precision: 9, scale: 2 });
    added.default = Some("1.50".into());
    table.columns.push(added);
    table
}

pub fn wide_rows(from: i64, count: i64) -> RecordBatch {
    let values = Decimal128Array::from_iter_values((from..from + count).map(|key| i128::from(key) % 1_000));
    let added: ArrayRef = Arc::new(values.with_precision_and_scale(9, 2).unwrap());
    let columns = rows(from, count).columns().iter().cloned().chain([added]).collect();
    RecordBatch::try_new(arrow_schema::of_table(&wider()), columns).unwrap()
}

/// All that a store holds of a partition, as text: rows with their places, and what is known.
pub async fn state(store: &Store, partition: u32) -> Vec<String> {
    let id = PartitionId(partition);
    let applied = store.partition(id).applied();
    let mut lines = vec![format!("{:?} {:?} {:?}", applied.last, applied.time, applied.membership)];
    lines.push(format!("{} keys, tables {:?}", store.partition(id).keys(), store.tables(id)));
    let all_keys = format!("SELECT * EXCLUDE part FROM store.main.keys WHERE part = {partition} ORDER BY idx, ord");
    lines.extend(text(store, &all_keys, &[]).await);
    for table in store.tables(id) {
        let rows = format!("SELECT * FROM store.main.{} WHERE _part = {partition}", table.physical_name());
        lines.extend(text(store, &format!("{rows} ORDER BY _idx, _ord"), &[]).await);
    }
    lines
}

/// A store whose partition 1 has all types, an `events` of two versions, a membership and keys.
pub async fn source(folder: &Path) -> (Store, Table) {
    let store = open(folder);
    let (table, batch) = all_types();
    let kinds = vec![
        EntryKind::Blank,
        EntryKind::Membership(Bytes::from_static(b"first")),
        command(5, CommandBody::SetSchema(table.clone())),
        command(6, append(&table, vec![part(1, &batch)])),
        command(7, CommandBody::SetSchema(events())),
        command(
            8,
            append(&events(), vec![part(2, &rows(0, 3_000)), part(3, &rows(3_000, 5)), part(2, &rows(0, 3_000))]),
        ),
        EntryKind::Membership(Bytes::from_static(b"second")),
        command(9, CommandBody::SetSchema(wider())),
        command(10, append(&wider(), vec![part(4, &wide_rows(5_000, 500))])),
        command(11, append(&events(), vec![part(5, &rows(6_000, 7))])),
    ];
    let outcomes = apply_all(&store, 1, 1, kinds).await;
    assert!(!outcomes.iter().any(|outcome| matches!(outcome, ApplyOutcome::Rejected { .. })), "{outcomes:?}");
    apply(&store, 2, 1, command(1, CommandBody::SetSchema(events()))).await;
    apply(&store, 2, 2, command(1, append(&events(), vec![part(9, &rows(0, 10))]))).await;
    (store, table)
}

/// Another folder of the same files.
pub fn copy(exported: &Exported, to: &Path) -> PathBuf {
    copy_folder(&exported.folder, to);
    to.to_owned()
}

pub fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A partition of `entries` entries with 50,000 rows of `events` each, and a membership.
pub async fn fill(store: &Store, partition: u32, entries: u64, offset: i64) {
    apply(store, partition, 1, command(1, CommandBody::SetSchema(events()))).await;
    for index in 2..=entries {
        let key = u128::from(index) << 32 | offset as u128;
        let rows = rows(offset + index as i64 * 50_000, 50_000);
        apply(store, partition, index, command(index, append(&events(), vec![part(key, &rows)]))).await;
    }
    apply(store, partition, entries + 1, EntryKind::Membership(format!("of {offset}").into_bytes().into())).await;
}

/// What a store holds of such a partition: applied state, keys and a digest of the rows.
pub async fn digest(store: &Store, partition: u32) -> String {
    let state = store.partition(PartitionId(partition));
    let applied = state.applied();
    let rows = "SELECT count(*), bit_xor(hash(_idx, _ord, c0, c1)) FROM store.main.t1 WHERE _part =";
    let rows = text(store, &format!("{rows} {partition}"), &[]).await;
    format!("{:?} {:?} {} keys {rows:?}", applied.last, applied.membership, state.keys())
}

/// The plain files of a folder, in another.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
