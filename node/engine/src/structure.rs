//! Changes of tables, as entries of a partition's log ask for them.

use duckdb::Connection;
use raftduck_model::{Column, PartitionId, Table, TableId};

use crate::catalog::{Catalog, Physical, physical_column};
use crate::fault::Fault;
use crate::literal;
use crate::system;
use crate::view;

/// What the apply thread knows of tables once the change is committed.
pub(crate) enum Change {
    Nothing,
    Learned { table: Table, physical: Option<Physical> },
    Forgotten(TableId),
}

impl Change {
    pub fn apply_to(self, catalog: &mut Catalog, part: PartitionId) {
        match self {
            Self::Nothing => {}
            Self::Learned { table, physical } => {
                catalog.learn(part, &table);
                if let Some(physical) = physical {
                    catalog.set_physical(physical);
                }
            }
            Self::Forgotten(table) => catalog.forget(part, table),
        }
    }
}

/// The partition learns a version of a table. The physical table is made by the first partition
/// here that learns of it, and widened by the first that learns a later version.
pub(crate) fn set_schema(
    connection: &Connection,
    catalog: &Catalog,
    part: PartitionId,
    table: &Table,
) -> Result<Change, Fault> {
    if catalog.version(part, table.id, table.version).is_some() {
        return Ok(Change::Nothing);
    }
    system::insert_schema(connection, part, table)?;
    let physical = widen_physical(connection, catalog.physical(table.id), table)?;
    Ok(Change::Learned { table: table.clone(), physical })
}

/// Makes the physical table as wide as the definition, where it is not.
pub(crate) fn widen_physical(
    connection: &Connection,
    physical: Option<&Physical>,
    table: &Table,
) -> Result<Option<Physical>, Fault> {
    let name = table.id.physical_name();
    match physical {
        None => {
            let columns: String = table
                .columns
                .iter()
                .enumerate()
                .map(|(place, column)| format!(", {}", declare(place, column)))
                .collect();
            connection.execute_batch(&format!(
                "CREATE TABLE store.main.{name} (_part UINTEGER, _idx UBIGINT, _ord UINTEGER{columns})"
            ))?;
        }
        Some(physical) if physical.definition.version >= table.version => return Ok(None),
        Some(physical) => {
            let old = &physical.definition.columns;
            if old.len() > table.columns.len() || old.iter().zip(&table.columns).any(|(old, new)| old.kind != new.kind)
            {
                return Err(Fault::Statement(format!(
                    "version {} of table {} changes columns that are there: a version only adds columns",
                    table.version, table.id
                )));
            }
            for (place, column) in table.columns.iter().enumerate().skip(old.len()) {
                let default = match &column.default {
                    Some(text) => {
                        literal::check(connection, text).map_err(|error| Fault::Statement(error.to_string()))?;
                        format!(" DEFAULT CAST(({text}\n) AS {})", column.kind)
                    }
                    None => String::new(),
                };
                let column = declare(place, column);
                connection.execute_batch(&format!("ALTER TABLE store.main.{name} ADD COLUMN {column}{default}"))?;
            }
        }
    }
    Ok(Some(open_physical(connection, table)?))
}

/// Takes the columns off the physical table that no partition here knows any more: those that did
/// have dropped the table or are gone. Otherwise rows would not fit, and the columns could not be
/// added, with their defaults for the rows until then, when a partition learns of them. Only at
/// opening; until then the apply thread knows the wide table.
pub(crate) fn narrow_physical(connection: &Connection, table: &Table) -> Result<(), Fault> {
    let present = view::physical_columns(connection, table)?.unwrap_or_default();
    for place in table.columns.len()..present {
        let (name, column) = (table.id.physical_name(), physical_column(place));
        connection.execute_batch(&format!("ALTER TABLE store.main.{name} DROP COLUMN {column}"))?;
    }
    Ok(())
}

/// The physical table as the apply thread needs it, its columns' defaults evaluated.
pub(crate) fn open_physical(connection: &Connection, table: &Table) -> Result<Physical, Fault> {
    let default = |column: &Column| {
        column.default.as_ref().map(|text| literal::value(connection, text, &column.kind)).transpose()
    };
    let defaults = table.columns.iter().map(default).collect::<Result<_, _>>();
    Ok(Physical::new(table.clone(), defaults.map_err(|error| Fault::Statement(error.to_string()))?))
}

fn declare(place: usize, column: &Column) -> String {
    format!("{} {}", physical_column(place), column.kind)
}

/// The partition learns that a table is gone. Its rows are out of every query's sight already, as
/// ids are never used again, so they stay until the last partition here learns it too: dropping
/// the table then costs nothing, and deleting its rows twelve times over would hold up apply.
pub(crate) fn drop_table(
    connection: &Connection,
    catalog: &Catalog,
    part: PartitionId,
    table: TableId,
) -> Result<Change, Fault> {
    if !catalog.knows(part, table) {
        return Ok(Change::Nothing);
    }
    connection
        .execute("DELETE FROM store.main.schemas WHERE part = ? AND table_id = ?", duckdb::params![part.0, table.0])?;
    if !catalog.others_know(part, table) {
        drop_physical(connection, table)?;
    }
    Ok(Change::Forgotten(table))
}

/// Drops the physical table, which nobody here knows any more.
pub(crate) fn drop_physical(connection: &Connection, table: TableId) -> Result<(), Fault> {
    Ok(connection.execute_batch(&format!("DROP TABLE IF EXISTS store.main.{}", table.physical_name()))?)
}

/// Deletes the partition's rows of a table that others know too. Returns how many they were.
pub(crate) fn delete_rows(connection: &Connection, part: PartitionId, table: TableId) -> Result<u64, Fault> {
    let delete = format!("DELETE FROM store.main.{} WHERE _part = ?", table.physical_name());
    Ok(connection.execute(&delete, [part.0])? as u64)
}
