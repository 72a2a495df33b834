//! Everything behind `POST /v1/sql`: one statement to an answer, a write or a change of the catalog.
//!
//! A query is read by DuckDB, checked and planned by `raftduck_sql`, and answered by one store, or by a query process
//! on rows that several send. Until its first rows are here a store that cannot answer is replaced by another; from
//! then on a failure ends the answer abnormally, never as if it were whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use raftduck_sql::{Head, classify};
use raftduck_wire::http::{DdlAnswer, RowsAnswer};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

pub mod answer;
mod cache;
mod define;
mod error;
mod holdings;
mod insert;
mod prepare;
mod problem;
mod remote;
mod request;
mod select;
mod ship;
mod show;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Broken, Coverage, Piece, Pieces};
pub use define::table_info;
pub use error::StatementError;
pub use request::{Asked, Body, Call};

use crate::control::Control;

/// Queries that were read and are kept: text, tree and facts, in bytes.
const CACHE_BYTES: usize = 16 << 20;
/// Query processes at once; each gets its share of control's memory.
const CHILDREN: usize = 2;

/// What statements share beyond [`Control`].
pub struct Statements {
    cache: cache::Cache<prepare::Prepared>,
    children: Arc<Semaphore>,
    turn: AtomicUsize,
}

/// What a statement came to.
pub enum Reply {
    /// CREATE, DROP, ALTER.
    Done(DdlAnswer),
    /// INSERT.
    Written(RowsAnswer),
    /// Rows on their way.
    Answer(Answer),
}

impl Default for Statements {
    fn default() -> Self {
        let cache = cache::Cache::new(CACHE_BYTES);
        Self { cache, children: Arc::new(Semaphore::new(CHILDREN)), turn: AtomicUsize::new(0) }
    }
}

impl Statements {
    /// Which store is the first to be asked this time.
    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}

/// Runs one statement.
///
/// # Errors
/// As [`StatementError`] says. Under [`StatementError::Append`] some rows may be in, and under
/// [`StatementError::Change`] with an unknown outcome the change may be made; otherwise nothing happened.
pub async fn run(control: &Control, statements: &Statements, asked: &Asked) -> Result<Reply, StatementError> {
    let head = classify(&asked.sql)?;
    // What is written has deadlines of its own and says what is in; what only reads just ends.
    match head {
        Head::CreateTable(head) => define::create(control, asked, head).await.map(Reply::Done),
        Head::DropTable { name, if_exists } => define::drop(control, asked, name, if_exists).await.map(Reply::Done),
        Head::AddColumn { table, definition, if_not_exists, .. } => {
            define::add_column(control, asked, table, &definition, if_not_exists).await.map(Reply::Done)
        }
        Head::InsertValues { table, columns, values } => {
            let begins = begins(&asked.sql, &values);
            let written = insert::insert(control, asked, insert::Insert { table, columns, values }).await;
            written.map(Reply::Written).map_err(|error| error.shifted(begins))
        }
        Head::Select { text, explain } => {
            let answer = timeout_at(asked.deadline, statements.select(control, asked, &text, explain)).await;
            let answer = answer.unwrap_or_else(|_| Err(asked.late()));
            answer.map(Reply::Answer).map_err(|error| error.shifted(begins(&asked.sql, &text)))
        }
        Head::ShowTables => {
            let answer = show::tables(asked, &control.view());
            control.metrics.statement("catalog", asked.call.arrived.elapsed());
            answer.map(Reply::Answer)
        }
        Head::Describe { table } => {
            let answer = show::describe(asked, &control.view(), &table);
            control.metrics.statement("catalog", asked.call.arrived.elapsed());
            answer.map(Reply::Answer)
        }
    }
}

/// Where a part of the statement begins in it.
fn begins(sql: &str, part: &str) -> usize {
    sql.rfind(part).unwrap_or(0)
}
