//! `POST /v1/sql`.

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;
use raftduck_model::limits;
use raftduck_sql::{Head, classify};
use raftduck_wire::http::media;

use super::{App, arrived, body, json, role};
use crate::auth::Role;
use crate::problem::{Code, Problem};
use crate::render::{self, RenderError};
use crate::statement::{self, Body, Call, Reply, StatementError};

/// A statement in JSON, every character of it escaped, and its parameters.
const REQUEST_BYTES: usize = 8 * limits::STATEMENT_BYTES;

pub(super) async fn run(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (role, arrived) = (role(&request), arrived(&request));
    let accept = request.headers().get(header::ACCEPT).map(|value| value.to_str().unwrap_or("?").to_owned());
    let format = render::negotiate(accept.as_deref())
        .map_err(|error| Problem::new(Code::NotAcceptable, error.to_string()).hint("send Accept: application/json"))?;
    let key = body::idempotency_key(request.headers())?;
    let kind = body::media_type(request.headers());
    let parse = match kind.as_deref() {
        Some(media::JSON) => Body::from_json,
        Some(media::TEXT) | None => Body::from_text,
        Some(other) => {
            let detail = format!("Content-Type {:?} is not read here", other.chars().take(100).collect::<String>());
            let hint =
                format!("send {} such as {{\"sql\": \"SELECT 1\"}}, or the statement as {}", media::JSON, media::TEXT);
            return Err(Problem::new(Code::UnsupportedMediaType, detail).hint(hint));
        }
    };
    let (text, _room) = body::read(&app, request.into_body(), REQUEST_BYTES).await?;
    let call = Call { key, format, arrived: arrived.0 };
    let asked = parse(&text)?.check(call, &app.control.limits)?;
    drop(text);
    role.require(needed(&classify(asked.sql()).map_err(StatementError::from)?))?;
    match statement::run(&app.control, &app.statements, &asked).await? {
        Reply::Done(answer) => Ok(json(&answer)),
        Reply::Written(answer) => {
            app.control.metrics.rows(answer.rows, answer.duplicate);
            Ok(json(&answer))
        }
        Reply::Answer(answer) => {
            render::respond(answer, format, asked.numbers, arrived.0).map_err(|error| match error {
                RenderError::Type { .. } => Problem::new(Code::NotSupported, error.to_string()),
                RenderError::Arrow(_) => Problem::internal(&error),
            })
        }
    }
}

/// The role a statement takes.
fn needed(head: &Head) -> Role {
    match head {
        Head::Select { .. } | Head::ShowTables | Head::Describe { .. } => Role::Read,
        Head::InsertValues { .. } => Role::Write,
        Head::CreateTable(_) | Head::DropTable { .. } | Head::AddColumn { .. } => Role::Admin,
    }
}
