//! `POST /v1/tables/{table}/rows`.

use std::num::NonZeroU32;
use std::panic::resume_unwind;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use bytes::Bytes;
use raftduck_engine::{arrow_schema, batch};
use raftduck_model::hash::body_digest;
use raftduck_model::meta::{MetaCommand, MetaReply};
use raftduck_model::{Table, limits};
use raftduck_wire::http::RowsAnswer;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::tables::table_name;
use super::{App, arrived, body, json, role};
use crate::Format;
use crate::auth::Role;
use crate::ingest;
use crate::meta;
use crate::problem::{Code, Problem};
use crate::route::{self, Part};
use crate::statement::StatementError;

/// The query string.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Makes the table, with columns inferred from the rows, if it is not there.
    #[serde(default)]
    create: bool,
    /// The inferred table's partition key; its first column where absent.
    partition_key: Option<String>,
}

pub(super) async fn insert(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let (role, arrived) = (role(&request), arrived(&request));
    role.require(Role::Write)?;
    let name = table_name(name)?;
    let options = Query::<Options>::try_from_uri(request.uri())
        .map_err(|error| Problem::new(Code::BadRequest, format!("the query string: {error}")))?
        .0;
    let format = format(&request)?;
    let sent = body::idempotency_key(request.headers())?;
    let limit = app.control.limits.inflated_bytes;
    let (body, mut room) = body::read(&app, request.into_body(), limit).await?;
    // The rows take about as much again.
    room.grow_to(2 * body.len())?;

    let deadline = Instant::now() + app.control.limits.append_time;
    let (table, created) = find(&app, &name, options, role, format, &body, deadline).await?;
    let key = sent.clone().unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let partitions = app.control.view().meta.partition_count().ok_or_else(Problem::not_ready)?;
    let work = Work { format, body, table: table.clone(), key: key.clone(), partitions };
    let parts = turn(&app, deadline, move || work.run()).await?;
    let appended = app.control.router.append(&table, parts, deadline).await;
    drop(room);
    let appended = appended.map_err(|error| repeatable(error.into(), &key, sent.is_some()))?;
    app.control.metrics.rows(appended.rows, appended.duplicate);
    Ok(json(&RowsAnswer {
        table: table.name.clone(),
        rows: appended.rows,
        duplicate: appended.duplicate,
        created,
        elapsed_ms: arrived.elapsed_ms(),
    }))
}

fn format(request: &Request) -> Result<Format, Problem> {
    let found = body::media_type(request.headers());
    found.as_deref().and_then(Format::of_media_type).ok_or_else(|| {
        let found = found.as_deref().map_or("no Content-Type".to_owned(), |found| {
            format!("Content-Type {:?}", found.chars().take(100).collect::<String>())
        });
        let known = Format::ALL.map(Format::media_type).join(", ");
        Problem::new(Code::UnsupportedMediaType, format!("{found} is not read here"))
            .hint(format!("send one of {known}"))
    })
}

/// The table; made where the request wants that and it is not there.
async fn find(
    app: &App,
    name: &str,
    options: Options,
    role: Role,
    format: Format,
    body: &Bytes,
    deadline: Instant,
) -> Result<(Arc<Table>, bool), Problem> {
    let meta = app.control.view().meta.clone();
    meta.partition_count().ok_or_else(Problem::not_ready)?;
    if let Some(table) = meta.table(name) {
        return Ok((Arc::new(table.clone()), false));
    }
    if !options.create {
        return Err(Problem::no_such_table(name));
    }
    role.require(Role::Admin)?;
    let body = body.clone();
    let columns = turn(app, deadline, move || Ok(ingest::infer(format, &body)?)).await?;
    let key = match &options.partition_key {
        None => 0,
        Some(wanted) => {
            columns.iter().position(|column| column.name.eq_ignore_ascii_case(wanted)).ok_or_else(|| {
                Problem::new(Code::BadRequest, format!("partition_key names {wanted:?}, which no row has"))
            })?
        }
    };
    // Another request may make it at the same time, from rows of its own.
    let command = MetaCommand::CreateTable { name: name.to_owned(), columns, key, if_not_exists: true };
    match meta::change(&app.control, command, deadline).await.map_err(StatementError::from)? {
        MetaReply::Table { table } => Ok((Arc::new(table), true)),
        MetaReply::Done | MetaReply::Groups { .. } => Err(Problem::no_such_table(name)),
    }
}

/// What turns a body into parts.
struct Work {
    format: Format,
    body: Bytes,
    table: Arc<Table>,
    key: String,
    partitions: NonZeroU32,
}

impl Work {
    fn run(self) -> Result<Vec<Part>, Problem> {
        let digest = body_digest(&self.body);
        let rows = ingest::read(self.format, &self.body, &self.table, arrow_schema::of_table(&self.table))?;
        drop(self.body);
        let request = route::Request { key: &self.key, digest };
        Ok(route::split(&rows, &self.table, self.partitions, request, &batch::encode)?)
    }
}

/// Takes a turn on a thread that may block.
async fn turn<T: Send + 'static>(
    app: &App,
    deadline: Instant,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let busy = || Problem::busy("too many request bodies are being read");
    let turn = timeout_at(deadline, app.reading.clone().acquire_owned()).await.map_err(|_| busy())?;
    let turn = turn.map_err(|_| busy())?;
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    match done.await {
        Ok(done) => done,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        Err(error) => Err(Problem::internal(&error)),
    }
}

/// Where some rows may be in, the client is told the key under which sending them again doubles none.
fn repeatable(problem: Problem, key: &str, sent: bool) -> Problem {
    match problem.code() {
        Code::OutcomeUnknown | Code::PartlyWritten if sent => {
            problem.hint("send the same body again under the same Idempotency-Key: no row is written twice")
        }
        Code::OutcomeUnknown | Code::PartlyWritten => problem.hint(format!(
            "send the same body again with the header `Idempotency-Key: {key}`: no row is written twice"
        )),
        _ => problem,
    }
}

// A key that control makes up fits where a client's does.
const _: () = assert!(32 <= limits::KEY_BYTES);
