//! `GET /v1/tables` and `GET /v1/tables/{table}`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use raftduck_wire::http::{TableInfo, TablesAnswer};

use super::{App, json};
use crate::problem::{Code, Problem};
use crate::statement::table_info;

pub(super) async fn all(State(app): State<App>) -> Result<Response, Problem> {
    let meta = app.control.view().meta.clone();
    meta.partition_count().ok_or_else(Problem::not_ready)?;
    let mut tables: Vec<TableInfo> = meta.tables.values().map(|table| table_info(table, &meta)).collect();
    tables.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(json(&TablesAnswer { tables }))
}

pub(super) async fn one(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let name = table_name(name)?;
    let meta = app.control.view().meta.clone();
    meta.partition_count().ok_or_else(Problem::not_ready)?;
    let table = meta.table(&name).ok_or_else(|| Problem::no_such_table(&name))?;
    Ok(json(&table_info(table, &meta)))
}

/// The path's table name, unescaped.
pub(super) fn table_name(name: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    match name {
        Ok(Path(name)) => Ok(name),
        Err(error) => Err(Problem::new(Code::BadRequest, format!("the path names no table: {error}"))),
    }
}
