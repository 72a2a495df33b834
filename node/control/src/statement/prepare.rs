//! A query read: parsed by DuckDB, checked against the catalog, its clock and parameters bound.

use std::sync::Arc;
use std::time::SystemTime;

use raftduck_model::meta::Meta;
use raftduck_sql::{Clock, Facts, Tree, bind, check};

use super::cache::Weighed;
use super::{Asked, StatementError, Statements};
use crate::control::Control;

/// A statement's tree as JSON. Each byte of it takes about ten in memory while it is worked on.
const TREE_BYTES: usize = 8 << 20;

/// What is known of a query's text under one catalog.
pub(super) struct Prepared {
    facts: Facts,
    /// Its tree, where something in it is to be bound each time.
    tree: Option<String>,
}

impl Weighed for Prepared {
    fn bytes(&self) -> usize {
        // The facts' names all stand in the text or in the catalog's tables.
        let facts = format!("{:?}", self.facts).len();
        self.tree.as_ref().map_or(0, String::len) + facts
    }
}

/// A query that can run.
pub(super) struct Query {
    /// What it reads and calls.
    pub facts: Facts,
    /// The text that runs: without parameters, and without a clock of its own.
    pub sql: String,
}

impl Statements {
    /// Reads a query, from the cache where it was read before.
    pub(super) async fn prepare(
        &self,
        control: &Control,
        asked: &Asked,
        text: &str,
        catalog: &Arc<Meta>,
    ) -> Result<Query, StatementError> {
        let version = catalog.catalog_version;
        let prepared = match self.cache.get(text, version) {
            Some(prepared) => prepared,
            None => {
                let (sql, catalog) = (text.to_owned(), catalog.clone());
                let read = move |scratch: &raftduck_engine::Scratch| read(scratch, &sql, &catalog);
                let prepared = Arc::new(control.scratch.run(asked.deadline, read).await??);
                self.cache.put(text, version, prepared.clone());
                prepared
            }
        };
        let facts = prepared.facts.clone();
        let Some(tree) = prepared.tree.clone() else {
            // Binding finds nothing to do, but parameters that nobody uses are an error.
            bind(&mut Tree::parse(EMPTY)?, &facts, clock(), &asked.params)?;
            return Ok(Query { facts, sql: text.to_owned() });
        };
        let (bound_facts, params) = (facts.clone(), asked.params.clone());
        let bound = move |scratch: &raftduck_engine::Scratch| {
            let mut tree = Tree::parse(&tree)?;
            bind(&mut tree, &bound_facts, clock(), &params)?;
            Ok::<_, StatementError>(scratch.unparse(&tree.to_json())?)
        };
        let sql = control.scratch.run(asked.deadline, bound).await??;
        Ok(Query { facts, sql })
    }
}

/// A tree in which nothing is to be bound.
const EMPTY: &str = r#"{"error":false,"statements":[{}]}"#;

fn read(scratch: &raftduck_engine::Scratch, sql: &str, catalog: &Meta) -> Result<Prepared, StatementError> {
    let json = scratch.parse(sql)?;
    let (tree, facts) = checked(&json, catalog)?;
    let mut bound = tree.clone();
    let moves = match facts.parameters.is_empty() {
        true => {
            bind(&mut bound, &facts, clock(), &raftduck_sql::Params::default())?;
            bound != tree
        }
        false => true,
    };
    Ok(Prepared { facts, tree: moves.then_some(json) })
}

/// A tree from DuckDB's JSON, of a size that is safe to work on, and what it reads and calls.
pub(super) fn checked(json: &str, catalog: &Meta) -> Result<(Tree, Facts), StatementError> {
    if json.len() > TREE_BYTES {
        return Err(StatementError::Refused {
            what: format!(
                "the statement has too many parts: its tree takes {} bytes, at most {TREE_BYTES}",
                json.len()
            ),
            advice: "send many rows to /v1/tables/<table>/rows, and write fewer values in one statement".into(),
            offset: None,
        });
    }
    let tree = Tree::parse(json)?;
    let facts = check(&tree, catalog)?;
    Ok((tree, facts))
}

/// The moment that `now()` is for a statement.
pub(super) fn clock() -> Clock {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Clock { micros: since.ok().and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or(0) }
}
