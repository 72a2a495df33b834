//! SHOW TABLES and DESCRIBE: answers from the catalog alone.

use arrow::array::StringArray;
use std::sync::Arc;

use super::answer::{Answer, table_of, texts};
use super::select::{coverage, internal};
use super::{Asked, StatementError};
use crate::view::ClusterView;

/// SHOW TABLES, as DuckDB answers it.
pub(super) fn tables(asked: &Asked, view: &ClusterView) -> Result<Answer, StatementError> {
    let mut names: Vec<&str> = view.meta.tables.values().map(|table| table.name.as_str()).collect();
    names.sort_unstable();
    let rows = table_of(vec![("name", texts(names))]).map_err(internal)?;
    Ok(Answer::of(rows, coverage(view, Vec::new()), asked.max_rows))
}

/// DESCRIBE, with DuckDB's columns. `key` names the partition key.
pub(super) fn describe(asked: &Asked, view: &ClusterView, name: &str) -> Result<Answer, StatementError> {
    let table = view.meta.table(name);
    let table = table.ok_or_else(|| StatementError::NoSuchTable { name: name.to_owned(), offset: None })?;
    let columns = || table.columns.iter();
    let keys = columns().enumerate().map(|(place, _)| (place == table.key).then_some("PARTITION"));
    let rows = table_of(vec![
        ("column_name", texts(columns().map(|column| &column.name))),
        ("column_type", texts(columns().map(|column| column.kind.to_string()))),
        ("null", texts(columns().map(|column| if column.nullable { "YES" } else { "NO" }))),
        ("key", Arc::new(keys.collect::<StringArray>())),
        ("default", Arc::new(columns().map(|column| column.default.as_deref()).collect::<StringArray>())),
        ("extra", Arc::new(columns().map(|_| None::<&str>).collect::<StringArray>())),
    ]);
    Ok(Answer::of(rows.map_err(internal)?, coverage(view, Vec::new()), asked.max_rows))
}
