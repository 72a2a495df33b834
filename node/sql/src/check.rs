//! What a statement's tree reads and calls, and whether it may.
//!
//! The walk is an allow-list: a kind of node that is not named here is refused. Trees come from [`Tree::parse`], which
//! bounds their depth, so the walk's own recursion is bounded too.

use std::collections::{BTreeMap, BTreeSet};

use raftduck_model::ids::TableId;
use raftduck_model::meta::Meta;
use serde_json::Value;

use crate::tree::Tree;

mod walk;

/// Which of a table's columns a statement may read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Columns {
    /// All of them, or it cannot be told.
    All,
    /// Those with these names, in lower case; perhaps none.
    Named(BTreeSet<String>),
}

/// What a statement reads and calls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// The catalog's tables it reads.
    pub tables: BTreeMap<TableId, Columns>,
    /// Its parameters: `1` for `$1` or the first `?`, `name` for `$name`.
    pub parameters: BTreeSet<String>,
    /// Why no store may run it; none where one may.
    pub process: Option<String>,
    /// Names of columns that exist in the statement or its tables, in lower case: they hide `current_date` and such.
    pub(crate) defined: BTreeSet<String>,
}

/// Why a statement is refused. Offsets are bytes in the text that DuckDB parsed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckError {
    /// No table of that name in the catalog.
    #[error("there is no table {name:?}")]
    NoSuchTable {
        /// The name.
        name: String,
        /// Where it stands.
        offset: Option<usize>,
    },
    /// A table outside the one catalog and schema.
    #[error("{name:?} is not here: all tables are in one catalog, named bare or main.<table>")]
    OtherSchema {
        /// The name as written.
        name: String,
        /// Where it stands.
        offset: Option<usize>,
    },
    /// A function that nobody may call.
    #[error("function {name} is not available: it reaches beyond the tables")]
    Function {
        /// The name.
        name: String,
        /// Where it stands.
        offset: Option<usize>,
    },
    /// Something in the tree that is not served, or not known.
    #[error("{what} is not supported{advice}")]
    Unsupported {
        /// What it is.
        what: String,
        /// What to do instead, after a colon; or nothing.
        advice: &'static str,
        /// Where it stands.
        offset: Option<usize>,
    },
}

impl CheckError {
    /// Where in the statement the trouble is, in bytes, where the tree says so.
    pub fn offset(&self) -> Option<usize> {
        match self {
            Self::NoSuchTable { offset, .. }
            | Self::OtherSchema { offset, .. }
            | Self::Function { offset, .. }
            | Self::Unsupported { offset, .. } => *offset,
        }
    }
}

/// Reads off a tree what it reads and calls.
pub fn check(tree: &Tree, catalog: &Meta) -> Result<Facts, CheckError> {
    let mut walk = walk::Walk::new(catalog);
    for statement in crate::tree::list(&tree.0, "statements") {
        walk.value(statement.get("node").unwrap_or(&Value::Null))?;
    }
    Ok(walk.facts())
}

#[cfg(test)]
mod tests;
