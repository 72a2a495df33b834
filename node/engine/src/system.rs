//! The store's own tables beside the users': what is applied, which keys and which schemas each
//! partition knows.
//!
//! Rows are added and, at times, deleted, never updated: a checkpoint fails while an update is
//! under way. There are no keys or indexes: the newest row of a partition is the one with the
//! highest `idx`.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{UInt32Type, UInt64Type};
use bytes::Bytes;
use duckdb::Connection;
use raftduck_model::{BodyDigest, KeyDigest, LogId, LogIndex, LogTime, PartitionId, ReplicaId, Table};

use crate::fault::Fault;
use crate::keys::{KeyIndex, KeyRecord};
use crate::snapshot::manifest::Manifest;
use crate::state::Applied;
use crate::write;

/// The name under which the file is attached.
pub(crate) const CATALOG: &str = "store";
/// The version of the tables below, in `format`.
const FORMAT: u32 = 1;

/// Makes the tables where the file is new, and refuses a file of another format.
pub(crate) fn prepare(connection: &Connection) -> Result<(), Fault> {
    connection.execute_batch(
        "BEGIN TRANSACTION;
         CREATE TABLE IF NOT EXISTS store.main.format (version UINTEGER);
         CREATE TABLE IF NOT EXISTS store.main.applied (
             part UINTEGER, idx UBIGINT, term UBIGINT, leader UBIGINT, time UBIGINT);
         CREATE TABLE IF NOT EXISTS store.main.memberships (part UINTEGER, idx UBIGINT, data BLOB);
         CREATE TABLE IF NOT EXISTS store.main.keys (
             part UINTEGER, idx UBIGINT, ord UINTEGER, high UBIGINT, low UBIGINT, body UBIGINT, rows UINTEGER,
             time UBIGINT);
         CREATE TABLE IF NOT EXISTS store.main.schemas (
             part UINTEGER, table_id UINTEGER, version UINTEGER, definition VARCHAR);
         COMMIT;",
    )?;
    if read_format(connection)?.is_none() {
        connection.execute("INSERT INTO store.main.format VALUES (?)", [FORMAT])?;
    }
    check_format(connection)
}

/// Whether a checkpoint has ever written the tables.
pub(crate) fn is_prepared(connection: &Connection) -> Result<bool, Fault> {
    let sql = "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'store' AND table_name = 'format'";
    Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))? > 0)
}

fn read_format(connection: &Connection) -> Result<Option<u32>, Fault> {
    Ok(connection.query_row("SELECT max(version) FROM store.main.format", [], |row| row.get(0))?)
}

/// Refuses a file of another format.
pub(crate) fn check_format(connection: &Connection) -> Result<(), Fault> {
    match read_format(connection)? {
        Some(FORMAT) => Ok(()),
        found => {
            let found = found.map_or("none".to_owned(), |found| found.to_string());
            let text = format!("the file has format {found}, this build reads {FORMAT}: run the build that wrote it");
            Err(Fault::Storage(text))
        }
    }
}

/// Each partition's applied state, newest row each.
pub(crate) fn read_applied(connection: &Connection) -> Result<BTreeMap<PartitionId, Applied>, Fault> {
    let mut statement = connection.prepare(
        "SELECT a.part, a.idx, a.term, a.leader, a.time, m.data
         FROM (SELECT * FROM store.main.applied QUALIFY row_number() OVER (PARTITION BY part ORDER BY idx DESC) = 1) a
         LEFT JOIN (SELECT * FROM store.main.memberships
                    QUALIFY row_number() OVER (PARTITION BY part ORDER BY idx DESC) = 1) m ON m.part = a.part",
    )?;
    let rows = statement.query_map([], |row| {
        let id = LogId { index: row.get(1)?, term: row.get(2)?, leader: ReplicaId(row.get(3)?) };
        let membership = row.get::<_, Option<Vec<u8>>>(5)?.map(Bytes::from).unwrap_or_default();
        Ok((PartitionId(row.get(0)?), Applied { last: Some(id), time: LogTime(row.get(4)?), membership }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Each partition's applied index, as the connection's transaction sees it.
pub(crate) fn read_applied_indexes(connection: &Connection) -> Result<BTreeMap<PartitionId, LogIndex>, Fault> {
    let mut statement = connection.prepare("SELECT part, max(idx) FROM store.main.applied GROUP BY part")?;
    let rows = statement.query_map([], |row| Ok((PartitionId(row.get(0)?), LogIndex(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The columns of a key beside its partition, in the order of [`select_keys`].
pub(crate) const KEY_COLUMNS: [&str; 7] = ["idx", "ord", "high", "low", "body", "rows", "time"];

/// The statement that gives a partition's keys, forgotten ones among them.
pub(crate) fn select_keys(part: PartitionId) -> String {
    format!("SELECT {} FROM store.main.keys WHERE part = {part}", KEY_COLUMNS.join(", "))
}

/// The keys of each partition, or of one, the forgotten ones left out.
pub(crate) fn read_keys(
    connection: &Connection,
    part: Option<PartitionId>,
    applied: &BTreeMap<PartitionId, Applied>,
    limit: usize,
) -> Result<BTreeMap<PartitionId, KeyIndex>, Fault> {
    let mut indexes: BTreeMap<PartitionId, KeyIndex> = BTreeMap::new();
    let mut statement = connection.prepare(&format!(
        "SELECT part, idx, high, low, body, rows, time FROM store.main.keys {} ORDER BY part, idx, ord",
        only(part)
    ))?;
    for batch in statement.stream_arrow([])? {
        insert_keys(&batch?, limit, &mut indexes);
    }
    for (part, index) in &mut indexes {
        index.trim(applied.get(part).map(|applied| applied.time).unwrap_or_default());
    }
    Ok(indexes)
}

/// Takes in rows of the columns part, idx, high, low, body, rows, time.
fn insert_keys(batch: &RecordBatch, limit: usize, indexes: &mut BTreeMap<PartitionId, KeyIndex>) {
    let narrow = |column: usize| batch.column(column).as_primitive::<UInt32Type>();
    let wide = |column: usize| batch.column(column).as_primitive::<UInt64Type>();
    let (part, rows) = (narrow(0), narrow(5));
    let (index, high, low, body, time) = (wide(1), wide(2), wide(3), wide(4), wide(6));
    for row in 0..batch.num_rows() {
        let key = KeyDigest(u128::from(high.value(row)) << 64 | u128::from(low.value(row)));
        let record =
            KeyRecord { body: BodyDigest(body.value(row)), rows: rows.value(row), index: LogIndex(index.value(row)) };
        let keys = indexes.entry(PartitionId(part.value(row))).or_insert_with(|| KeyIndex::new(limit));
        keys.insert(key, record, LogTime(time.value(row)));
        if batch.num_rows() == row + 1 {
            // A file may hold many more than are remembered; memory never does for long.
            keys.trim(LogTime(time.value(row)));
        }
    }
}

fn only(part: Option<PartitionId>) -> String {
    part.map(|part| format!("WHERE part = {part}")).unwrap_or_default()
}

/// Every schema version that each partition knows, or one, older versions first.
pub(crate) fn read_schemas(
    connection: &Connection,
    part: Option<PartitionId>,
) -> Result<Vec<(PartitionId, Table)>, Fault> {
    let mut statement = connection.prepare(&format!(
        "SELECT part, definition FROM store.main.schemas {} ORDER BY table_id, version, part",
        only(part)
    ))?;
    let rows = statement.query_map([], |row| Ok((PartitionId(row.get(0)?), row.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (part, definition) = row?;
        let table = serde_json::from_str(&definition)
            .map_err(|error| Fault::Storage(format!("partition {part} has a damaged schema: {error}")))?;
        Ok((part, table))
    })
    .collect()
}

/// Adds a schema version to those that the partition knows.
pub(crate) fn insert_schema(connection: &Connection, part: PartitionId, table: &Table) -> Result<(), Fault> {
    let definition = serde_json::to_string(table).map_err(|error| Fault::Statement(error.to_string()))?;
    connection.execute(
        "INSERT INTO store.main.schemas VALUES (?, ?, ?, ?)",
        duckdb::params![part.0, table.id.0, table.version.0, definition],
    )?;
    Ok(())
}

/// Deletes the partition's state; its rows are in the users' tables.
pub(crate) fn delete_partition(connection: &Connection, part: PartitionId) -> Result<(), Fault> {
    for table in ["applied", "memberships", "keys", "schemas"] {
        connection.execute(&format!("DELETE FROM store.main.{table} WHERE part = ?"), [part.0])?;
    }
    Ok(())
}

/// Puts the manifest's state in the place of the partition's, and leaves it without keys.
pub(crate) fn replace_partition(connection: &Connection, part: PartitionId, new: &Manifest) -> Result<(), Fault> {
    delete_partition(connection, part)?;
    for table in &new.tables {
        insert_schema(connection, part, table)?;
    }
    if let Some(last) = new.last {
        connection.execute(
            "INSERT INTO store.main.applied VALUES (?, ?, ?, ?, ?)",
            duckdb::params![part.0, last.index, last.term, last.leader.0, new.time.0],
        )?;
        if !new.membership.is_empty() {
            connection.execute(
                "INSERT INTO store.main.memberships VALUES (?, ?, ?)",
                duckdb::params![part.0, last.index, new.membership.to_vec()],
            )?;
        }
    }
    Ok(())
}

/// Deletes what newer rows have replaced, and the keys before each partition's oldest that is
/// remembered.
pub(crate) fn prune(connection: &Connection, oldest_keys: &[(PartitionId, LogIndex)]) -> Result<(), Fault> {
    let keys: Vec<String> = oldest_keys.iter().map(|(part, index)| format!("({part}, {index})")).collect();
    write::atomically(connection, || {
        for table in ["applied", "memberships"] {
            connection.execute_batch(&format!(
                "DELETE FROM store.main.{table} AS t USING (SELECT part, max(idx) AS newest FROM store.main.{table}
                 GROUP BY part) AS n WHERE t.part = n.part AND t.idx < n.newest"
            ))?;
        }
        if !keys.is_empty() {
            connection.execute_batch(&format!(
                "DELETE FROM store.main.keys AS t USING (VALUES {}) AS n(part, oldest)
                 WHERE t.part = n.part AND t.idx < n.oldest",
                keys.join(", ")
            ))?;
        }
        Ok(())
    })
}
