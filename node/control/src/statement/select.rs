//! A query: planned, asked, and asked elsewhere until somebody's first rows are here.

use raftduck_engine::Scratch;
use raftduck_model::{PartitionId, StoreId, Table};
use raftduck_sql::{Plan, Shipment, explain, plan};
use raftduck_wire::http::Partial;

use super::answer::{Answer, Coverage, table_of, texts};
use super::holdings::Holdings;
use super::prepare::Query;
use super::remote::{self, Ask, Refusal};
use super::{Asked, StatementError, Statements, ship};
use crate::control::Control;
use crate::view::ClusterView;

/// No store's size is known to be too small yet, so none is.
const LOCAL_BYTES: u64 = u64::MAX;

/// A store that gave no answer.
struct Lost {
    store: StoreId,
    partitions: Vec<PartitionId>,
    why: String,
}

impl Statements {
    /// Answers a query, whose text begins `offset` bytes into the request's SQL.
    pub(super) async fn select(
        &self,
        control: &Control,
        asked: &Asked,
        text: &str,
        only_explain: bool,
    ) -> Result<Answer, StatementError> {
        let view = control.view();
        let query = self.prepare(control, asked, text, &view.meta).await?;
        let mut holdings = Holdings::of(&view, self.turn());
        if only_explain {
            let plan = plan(&query.facts, &view.meta, holdings.list(), 0, LOCAL_BYTES)?;
            let plan = narrowed(control, asked, &query, plan).await?;
            control.metrics.statement("explain", asked.call.arrived.elapsed());
            let lines = table_of(vec![("plan", texts(explain(&plan)))]).map_err(internal)?;
            return Ok(Answer::of(lines, coverage(&view, Vec::new()), asked.max_rows));
        }
        let mut last: Option<Lost> = None;
        loop {
            let plan = match (plan(&query.facts, &view.meta, holdings.list(), 0, LOCAL_BYTES), &last) {
                (Err(raftduck_sql::PlanError::Unavailable), Some(lost)) => {
                    return Err(StatementError::NoQuorum(lost.why.clone()));
                }
                (plan, _) => plan?,
            };
            let plan = narrowed(control, asked, &query, plan).await?;
            let (name, answered) = self.attempt(control, asked, &view, &query, plan).await;
            match answered {
                Ok(Ok(answer)) => {
                    control.metrics.statement(name, asked.call.arrived.elapsed());
                    return Ok(answer);
                }
                Ok(Err(lost)) => {
                    tracing::debug!(store = %lost.store, why = %lost.why, "a query is asked elsewhere");
                    holdings.refuse(lost.store, &lost.partitions);
                    last = Some(lost);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs a plan once. The outer error is the statement's; the inner one says who did not answer.
    async fn attempt(
        &self,
        control: &Control,
        asked: &Asked,
        view: &ClusterView,
        query: &Query,
        plan: Plan,
    ) -> (&'static str, Result<Result<Answer, Lost>, StatementError>) {
        match plan {
            Plan::Constant => ("catalog", self.constant(control, asked, view, &query.sql).await.map(Ok)),
            Plan::Child { .. } => {
                let answer = self.child(control, asked, &query.sql, coverage(view, Vec::new())).await;
                ("process", answer.map(Ok))
            }
            Plan::Local { store, partitions, tables, missing } => {
                ("local", local(control, asked, view, &query.sql, (store, &partitions), &tables, missing).await)
            }
            Plan::Ship { tables, from, missing, .. } => {
                ("ship", self.ship_plan(control, asked, view, &query.sql, &tables, &from, missing).await)
            }
        }
    }

    /// A query that reads no table and calls nothing unbounded.
    async fn constant(
        &self,
        control: &Control,
        asked: &Asked,
        view: &ClusterView,
        sql: &str,
    ) -> Result<Answer, StatementError> {
        let sql = sql.to_owned();
        let evaluate = move |scratch: &Scratch| scratch.evaluate_values(&sql);
        let rows = control.scratch.run(asked.deadline, evaluate).await??;
        Ok(Answer::of(rows, coverage(view, Vec::new()), asked.max_rows))
    }

    #[allow(clippy::too_many_arguments)]
    async fn ship_plan(
        &self,
        control: &Control,
        asked: &Asked,
        view: &ClusterView,
        sql: &str,
        tables: &[Shipment],
        from: &[(StoreId, Vec<PartitionId>)],
        missing: Vec<PartitionId>,
    ) -> Result<Result<Answer, Lost>, StatementError> {
        let coverage = permitted(asked, view, missing)?;
        match self.ship(control, asked, sql, tables, from, coverage).await {
            Ok(answer) => Ok(Ok(answer)),
            Err((store, Refusal::Elsewhere { partitions, why })) => Ok(Err(Lost { store, partitions, why })),
            Err((_, Refusal::Final(error))) => Err(error),
        }
    }
}

/// A plan that ships no more rows than it needs; others as they are.
async fn narrowed(control: &Control, asked: &Asked, query: &Query, plan: Plan) -> Result<Plan, StatementError> {
    match plan {
        Plan::Ship { .. } => {
            let sql = query.sql.clone();
            control.scratch.run(asked.deadline, move |scratch| ship::narrowed(scratch, &sql, plan)).await?
        }
        plan => Ok(plan),
    }
}

/// One store runs the whole statement.
async fn local(
    control: &Control,
    asked: &Asked,
    view: &ClusterView,
    sql: &str,
    (store, partitions): (StoreId, &[PartitionId]),
    tables: &[Table],
    missing: Vec<PartitionId>,
) -> Result<Result<Answer, Lost>, StatementError> {
    let coverage = permitted(asked, view, missing)?;
    let ask = Ask { store, sql, tables, partitions, max_rows: asked.max_rows };
    match remote::open(control, asked, ask).await {
        Ok(opened) => {
            let (schema, pieces) = opened.pieces(asked.deadline)?;
            Ok(Ok(Answer { schema, coverage, pieces }))
        }
        Err(Refusal::Elsewhere { partitions, why }) => Ok(Err(Lost { store, partitions, why })),
        Err(Refusal::Final(error)) => Err(error),
    }
}

/// What the answer will be of, where that is enough for whoever asked.
fn permitted(asked: &Asked, view: &ClusterView, missing: Vec<PartitionId>) -> Result<Coverage, StatementError> {
    match asked.partial {
        Partial::Deny if !missing.is_empty() => {
            Err(StatementError::Partial { missing, total: view.meta.partitions.len() as u32 })
        }
        Partial::Deny | Partial::Allow => Ok(coverage(view, missing)),
    }
}

pub(super) fn coverage(view: &ClusterView, missing: Vec<PartitionId>) -> Coverage {
    let connected = view.meta.stores.keys().filter(|store| view.stores.get(store).is_some_and(|said| said.connected));
    Coverage { total_nodes: view.meta.stores.len() as u32, responding_nodes: connected.count() as u32, missing }
}

pub(super) fn internal(error: impl std::error::Error) -> StatementError {
    StatementError::Internal(error.to_string())
}
