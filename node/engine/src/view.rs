//! The public tables as a statement sees them: temporary views over the physical ones.

use std::collections::HashMap;

use duckdb::Connection;
use raftduck_model::{PartitionId, Table};
use serde_json::Value;

use crate::catalog::physical_column;
use crate::fault::Fault;
use crate::query::QueryError;

/// Refuses a text that is not exactly one SELECT. `duckdb`'s `prepare` would run all but the last
/// of several statements.
pub(crate) fn check_one_select(connection: &Connection, sql: &str) -> Result<(), QueryError> {
    let tree: String = connection
        .query_row("SELECT json_serialize_sql(?)", [sql], |row| row.get(0))
        .map_err(|error| QueryError::Statement(error.to_string()))?;
    // Only the outermost fields matter, so the statements stay as text however deep they nest.
    let tree: HashMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(&tree).map_err(|error| QueryError::NotOneSelect(error.to_string()))?;
    let field = |name: &str| tree.get(name).map(|value| value.get()).unwrap_or_default();
    if field("error") != "false" {
        let message: Value = serde_json::from_str(field("error_message")).unwrap_or_default();
        return Err(QueryError::NotOneSelect(message.as_str().unwrap_or("it cannot be parsed").to_owned()));
    }
    match serde_json::from_str::<Vec<&serde_json::value::RawValue>>(field("statements")) {
        Ok(statements) if statements.len() == 1 => Ok(()),
        _ => Err(QueryError::NotOneSelect("there are none or several".into())),
    }
}

/// Makes the views in the connection's read transaction, which they end with.
///
/// The physical table may be older than the definition, or not be there: no partition here has
/// met the version in its log then, so no row can have a value, and the views give the default.
pub(crate) fn create(
    connection: &Connection,
    tables: &[Table],
    partitions: Option<&[PartitionId]>,
) -> Result<(), Fault> {
    for table in tables {
        let present = physical_columns(connection, table)?;
        connection.execute_batch(&create_view(table, present, partitions))?;
    }
    Ok(())
}

/// How many user columns the physical table has; none where it is not there.
pub(crate) fn physical_columns(connection: &Connection, table: &Table) -> Result<Option<usize>, Fault> {
    const HIDDEN: u64 = raftduck_model::table::HIDDEN_COLUMNS.len() as u64;
    let columns: Option<u64> = connection.query_row(
        "SELECT max(column_count) FROM duckdb_tables() WHERE database_name = 'store' AND table_name = ?",
        [table.id.physical_name()],
        |row| row.get(0),
    )?;
    Ok(columns.map(|columns| columns.saturating_sub(HIDDEN) as usize))
}

fn create_view(table: &Table, present: Option<usize>, partitions: Option<&[PartitionId]>) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .enumerate()
        .map(|(place, column)| {
            let name = quoted(&column.name);
            if present.is_some_and(|present| place < present) {
                return format!("{} AS {name}", physical_column(place));
            }
            let value = column.default.as_deref().unwrap_or("NULL");
            format!("CAST(({value}\n) AS {}) AS {name}", column.kind)
        })
        .collect();
    let from = match (present, partitions) {
        (None, _) => "WHERE false".to_owned(),
        (Some(_), None) => format!("FROM store.main.{}", table.id.physical_name()),
        (Some(_), Some([])) => format!("FROM store.main.{} WHERE false", table.id.physical_name()),
        (Some(_), Some(partitions)) => {
            let list: Vec<String> = partitions.iter().map(PartitionId::to_string).collect();
            format!("FROM store.main.{} WHERE _part IN ({})", table.id.physical_name(), list.join(", "))
        }
    };
    format!("CREATE TEMP VIEW {} AS SELECT {} {from}", quoted(&table.name), columns.join(", "))
}

/// A name in quotes, whatever it is.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
