//! `GET /v1/tables` and `GET /v1/tables/{table}`.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use futures::StreamExt;
use raftduck_model::ident;
use raftduck_wire::http::{TableInfo, TablesAnswer};
use tokio::time::Instant;

use super::{App, arrived, json};
use crate::Format;
use crate::problem::{Code, Problem};
use crate::statement::{self, Body, Call, Piece, Reply, table_info};

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
    request: Request,
) -> Result<Response, Problem> {
    let (name, arrived) = (table_name(name)?, arrived(&request));
    let meta = app.control.view().meta.clone();
    meta.partition_count().ok_or_else(Problem::not_ready)?;
    let table = meta.table(&name).ok_or_else(|| Problem::no_such_table(&name))?;
    let rows = count(&app, &table.name, arrived.0).await;
    Ok(json(&TableInfo { rows, ..table_info(table, &meta) }))
}

/// How many rows a table has; none where that cannot be told of all partitions now.
async fn count(app: &App, table: &str, arrived: Instant) -> Option<u64> {
    let sql = format!("SELECT count(*) FROM {}", ident::quote(table));
    // A format whose answers are never partial unasked.
    let call = Call { key: None, format: Format::Arrow, arrived };
    let asked = Body::from_text(sql.as_bytes()).ok()?.check(call, &app.control.limits).ok()?;
    let Ok(Reply::Answer(mut answer)) = statement::run(&app.control, &app.statements, &asked).await else {
        return None;
    };
    let mut rows = None;
    while let Some(piece) = answer.pieces.next().await {
        match piece.ok()? {
            Piece::Rows(batch) => {
                let counts = batch.columns().first()?.as_primitive_opt::<Int64Type>()?;
                rows = counts.iter().flatten().next().or(rows);
            }
            Piece::End { .. } => return u64::try_from(rows?).ok(),
        }
    }
    None
}

/// The path's table name, unescaped.
pub(super) fn table_name(name: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    match name {
        Ok(Path(name)) => Ok(name),
        Err(error) => Err(Problem::new(Code::BadRequest, format!("the path names no table: {error}"))),
    }
}
