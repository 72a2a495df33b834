//! Statements in a query process of control: on rows that the stores send, or on none.

use std::path::Path;

use futures::StreamExt;
use futures::stream;
use raftduck_engine::{ProcessAnswer, ProcessError, ProcessLimits, QueryProcess, Scratch};
use raftduck_model::ident::quote;
use raftduck_model::{Column, PartitionId, StoreId, Table};
use raftduck_sql::{Plan, Shipment, Tree, narrow};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;

use super::answer::{Answer, Broken, Coverage, Piece, Pieces};
use super::remote::{self, Ask, Frame, Refusal};
use super::{Asked, StatementError, Statements};
use crate::control::Control;

/// This very program, even where its file was replaced since it started.
const PROGRAM: &str = "/proc/self/exe";

/// A query process and its turn, which ends with it.
struct Child {
    process: QueryProcess,
    turn: OwnedSemaphorePermit,
}

impl Statements {
    /// Runs a statement that reads no table in a process of its own.
    pub(super) async fn child(
        &self,
        control: &Control,
        asked: &Asked,
        sql: &str,
        coverage: Coverage,
    ) -> Result<Answer, StatementError> {
        let child = self.spawn(control, asked, sql).await?;
        answer(child, asked, coverage).await
    }

    /// Brings the tables' columns together in a process and runs the statement on them. The error names the store that
    /// it is about: its rows are in the process already, so the whole of it begins again elsewhere.
    pub(super) async fn ship(
        &self,
        control: &Control,
        asked: &Asked,
        sql: &str,
        tables: &[Shipment],
        from: &[(StoreId, Vec<PartitionId>)],
        coverage: Coverage,
    ) -> Result<Answer, (StoreId, Refusal)> {
        let first = from.first().map_or(StoreId(uuid::Uuid::nil()), |(store, _)| *store);
        let fatal = |error: StatementError| (first, Refusal::Final(error));
        let mut child = self.spawn(control, asked, sql).await.map_err(fatal)?;
        for shipment in tables {
            let sent = sent(shipment);
            child.process.table(&sent).await.map_err(|error| fatal(failed(asked, error)))?;
            for (store, partitions) in from {
                let feeding = feed(control, asked, &mut child.process, shipment, (*store, partitions));
                feeding.await.map_err(|refusal| (*store, refusal))?;
            }
        }
        answer(child, asked, coverage).await.map_err(fatal)
    }

    async fn spawn(&self, control: &Control, asked: &Asked, sql: &str) -> Result<Child, StatementError> {
        let turn = timeout_at(asked.deadline, self.children.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| StatementError::Busy)?.map_err(|_| StatementError::Busy)?;
        let limits = ProcessLimits {
            memory_bytes: control.memory_bytes / super::CHILDREN as u64,
            threads: control.threads,
            time: asked.left(),
        };
        let spawned = QueryProcess::spawn(Path::new(PROGRAM), limits, sql, asked.max_rows).await;
        Ok(Child { process: spawned.map_err(|error| failed(asked, error))?, turn })
    }
}

/// One store's rows of one table into the process.
async fn feed(
    control: &Control,
    asked: &Asked,
    process: &mut QueryProcess,
    shipment: &Shipment,
    (store, partitions): (StoreId, &[PartitionId]),
) -> Result<(), Refusal> {
    let sql = shipment.query.clone().unwrap_or_else(|| whole(shipment));
    let ask = Ask { store, sql: &sql, tables: std::slice::from_ref(&shipment.table), partitions, max_rows: None };
    let mut frames = remote::open(control, asked, ask).await?.frames();
    loop {
        match timeout_at(asked.deadline, frames.next()).await {
            Err(_) => return Err(Refusal::Final(asked.late())),
            Ok(Some(Ok(Frame::Rows(rows)))) => process.rows(&rows).await.map_err(|error| failed(asked, error))?,
            Ok(Some(Ok(Frame::End { .. }))) => return Ok(()),
            Ok(Some(Err(Broken(why)))) => return Err(Refusal::Elsewhere { partitions: Vec::new(), why }),
            Ok(None) => {
                return Err(Refusal::Elsewhere { partitions: Vec::new(), why: "the answer has no end".to_owned() });
            }
        }
    }
}

/// The table as the process knows it: the shipped columns under its own name.
fn sent(shipment: &Shipment) -> Table {
    let columns = shipment.table.columns.iter().filter(|column| shipment.columns.contains(&column.name));
    let columns: Vec<Column> = columns.cloned().collect();
    Table { columns, key: 0, ..shipment.table.clone() }
}

/// All rows' columns as a store is to send them. It answers UUIDs as text, and the process takes them as the log does.
fn whole(shipment: &Shipment) -> String {
    let columns: Vec<_> = shipment.columns.iter().map(|column| quote(column)).collect();
    format!("SELECT {} FROM {}", columns.join(", "), quote(&shipment.table.name))
}

/// A plan's shipments without the rows that the statement's own conditions leave out anyway. `sql` is what runs.
pub(super) fn narrowed(scratch: &Scratch, sql: &str, plan: Plan) -> Result<Plan, StatementError> {
    let Plan::Ship { mut tables, from, reason, missing } = plan else { return Ok(plan) };
    let tree = Tree::parse(&scratch.parse(sql)?)?;
    for shipment in &mut tables {
        if let Some(query) = narrow(&tree, shipment) {
            shipment.query = Some(scratch.unparse(&query.to_json())?);
        }
    }
    Ok(Plan::Ship { tables, from, reason, missing })
}

/// Runs the statement; its first rows are here when this returns.
async fn answer(child: Child, asked: &Asked, coverage: Coverage) -> Result<Answer, StatementError> {
    let Child { process, turn } = child;
    let mut running = process.run().await.map_err(|error| failed(asked, error))?;
    let first = running.next().await.map_err(|error| failed(asked, error))?;
    let schema = running.schema.clone();
    let first = match first {
        Some(rows) => Piece::Rows(rows),
        None => Piece::End { truncated: running.truncated() },
    };
    let pieces: Pieces = stream::unfold(Some((Some(first), running, turn)), |state| async move {
        let (first, mut running, turn) = state?;
        let next = match first {
            Some(piece) => Ok(piece),
            None => next(&mut running).await,
        };
        let more = matches!(next, Ok(Piece::Rows(_)));
        Some((next, more.then_some((None, running, turn))))
    })
    .boxed();
    Ok(Answer { schema, coverage, pieces })
}

async fn next(running: &mut ProcessAnswer) -> Result<Piece, Broken> {
    match running.next().await {
        Ok(Some(rows)) => Ok(Piece::Rows(rows)),
        Ok(None) => Ok(Piece::End { truncated: running.truncated() }),
        Err(error) => Err(Broken(error.to_string())),
    }
}

fn failed(asked: &Asked, error: ProcessError) -> StatementError {
    match error {
        ProcessError::Timeout => asked.late(),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests;
