//! Table definitions, as the catalog holds them and as they travel in logs and plans.

use serde::{Deserialize, Serialize};

use crate::column::ColumnType;
use crate::ids::{SchemaVersion, TableId};

/// One version of one table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Table {
    /// Never reused.
    pub id: TableId,
    /// The name people use, as written in CREATE TABLE; compared without regard to ASCII case.
    pub name: String,
    /// Raised by every schema change.
    pub version: SchemaVersion,
    /// In order; a later version only adds at the end.
    pub columns: Vec<Column>,
    /// Which column's value decides a row's partition: an index into `columns`.
    pub key: usize,
}

/// One column of a table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Column {
    /// The name people use; compared without regard to ASCII case.
    pub name: String,
    /// Its DuckDB type.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// False under NOT NULL.
    pub nullable: bool,
    /// The constant that rows without the column get: SQL text of a literal, none for NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// The columns every physical table has before the user's: the row's partition, its entry's
/// index in the partition's log, and its place in that entry.
pub const HIDDEN_COLUMNS: [&str; 3] = ["_part", "_idx", "_ord"];

impl Table {
    /// The column that decides a row's partition.
    pub fn key_column(&self) -> Option<&Column> {
        self.columns.get(self.key)
    }

    /// The table as it was at `version`. Every version after the first added one column at the end,
    /// so a later definition holds the earlier ones; a version above this one gives this one.
    pub fn at(&self, version: SchemaVersion) -> Table {
        let later = self.version.0.saturating_sub(version.0) as usize;
        let columns = self.columns[..self.columns.len().saturating_sub(later)].to_vec();
        Table { version: version.min(self.version), columns, ..self.clone() }
    }

    /// A column by name, without regard to ASCII case, and its place.
    pub fn column(&self, name: &str) -> Option<(usize, &Column)> {
        self.columns.iter().enumerate().find(|(_, column)| column.name.eq_ignore_ascii_case(name))
    }
}
