//! CREATE TABLE, DROP TABLE, ALTER TABLE … ADD COLUMN.

use raftduck_engine::{CreateError, Scratch};
use raftduck_model::meta::{Meta, MetaCommand, MetaReply};
use raftduck_model::{Column, Table};
use raftduck_sql::head::CreateTable;
use raftduck_wire::http::{DdlAnswer, TableColumn, TableInfo};

use super::{Asked, StatementError};
use crate::control::Control;
use crate::meta;

/// CREATE TABLE.
pub(super) async fn create(control: &Control, asked: &Asked, head: CreateTable) -> Result<DdlAnswer, StatementError> {
    let columns = columns(control, asked, head.bare).await?;
    let key = match &head.partition_key {
        None => 0,
        Some(name) => columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            StatementError::statement(format!("PARTITIONED BY names {name:?}, which is no column of the table"))
        })?,
    };
    let command = MetaCommand::CreateTable { name: head.name, columns, key, if_not_exists: head.if_not_exists };
    change(control, asked, command, "CREATE TABLE").await
}

/// DROP TABLE.
pub(super) async fn drop(
    control: &Control,
    asked: &Asked,
    name: String,
    if_exists: bool,
) -> Result<DdlAnswer, StatementError> {
    change(control, asked, MetaCommand::DropTable { name, if_exists }, "DROP TABLE").await
}

/// ALTER TABLE … ADD COLUMN.
pub(super) async fn add_column(
    control: &Control,
    asked: &Asked,
    table: String,
    definition: &str,
    if_not_exists: bool,
) -> Result<DdlAnswer, StatementError> {
    // The definition may end in a comment.
    let columns = columns(control, asked, format!("CREATE TABLE t ({definition}\n)")).await?;
    let [column] = <[Column; 1]>::try_from(columns)
        .map_err(|_| StatementError::statement("ADD COLUMN takes one column's definition"))?;
    let command = MetaCommand::AddColumn { table, column, if_not_exists };
    change(control, asked, command, "ALTER TABLE").await
}

/// The columns of a bare CREATE TABLE, as DuckDB reads them.
async fn columns(control: &Control, asked: &Asked, sql: String) -> Result<Vec<Column>, StatementError> {
    let read = move |scratch: &Scratch| -> Result<_, CreateError> { scratch.columns_of_create(&sql) };
    Ok(control.scratch.run(asked.deadline, read).await??)
}

async fn change(
    control: &Control,
    asked: &Asked,
    command: MetaCommand,
    done: &str,
) -> Result<DdlAnswer, StatementError> {
    if control.view().meta.cluster.is_none() {
        return Err(StatementError::NotReady);
    }
    let reply = meta::change(control, command, asked.deadline).await?;
    let table = match reply {
        MetaReply::Done | MetaReply::Groups { .. } => None,
        MetaReply::Table { table } => Some(table_info(&table, &control.view().meta)),
    };
    control.metrics.statement("ddl", asked.call.arrived.elapsed());
    Ok(DdlAnswer { done: done.to_owned(), table, elapsed_ms: asked.elapsed_ms() })
}

/// A table as the API shows it, without its rows' number.
pub fn table_info(table: &Table, meta: &Meta) -> TableInfo {
    let column = |column: &Column| TableColumn {
        name: column.name.clone(),
        kind: column.kind.to_string(),
        nullable: column.nullable,
        default: column.default.clone(),
    };
    TableInfo {
        name: table.name.clone(),
        id: table.id.0,
        version: table.version.0,
        partition_key: table.key_column().map(|column| column.name.clone()).unwrap_or_default(),
        partitions: meta.partitions.len() as u32,
        columns: table.columns.iter().map(column).collect(),
        rows: None,
    }
}
