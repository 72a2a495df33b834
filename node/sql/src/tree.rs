//! The tree that DuckDB's `json_serialize_sql` makes of a SELECT.

use serde_json::Value;

/// A statement's tree, as DuckDB wrote it.
#[derive(Clone, PartialEq, Debug)]
pub struct Tree(pub(crate) Value);

/// Why a text is no tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// DuckDB could not parse the statement.
    #[error("{message}")]
    Statement {
        /// DuckDB's words.
        message: String,
        /// Where in the statement, in bytes, where DuckDB says so.
        offset: Option<usize>,
    },
    /// Not one statement.
    #[error("one statement at a time")]
    NotOne,
    /// The JSON cannot be read; most likely the statement nests too deep.
    #[error("the statement cannot be read; expressions and subqueries nest about 30 deep at most")]
    Unreadable(#[source] serde_json::Error),
}

impl Tree {
    /// Reads what `json_serialize_sql` gave.
    pub fn parse(json: &str) -> Result<Self, TreeError> {
        let tree: Value = serde_json::from_str(json).map_err(TreeError::Unreadable)?;
        if tree.get("error").and_then(Value::as_bool) != Some(false) {
            let message = tree.get("error_message").and_then(Value::as_str);
            // DuckDB gives the position as text.
            let offset = tree.get("position").and_then(|at| at.as_str().map_or(at.as_u64(), |at| at.parse().ok()));
            return Err(TreeError::Statement {
                message: message.unwrap_or("the statement cannot be parsed").to_owned(),
                offset: offset.and_then(|offset| usize::try_from(offset).ok()),
            });
        }
        match tree.get("statements").and_then(Value::as_array).map(Vec::len) {
            Some(1) => Ok(Self(tree)),
            _ => Err(TreeError::NotOne),
        }
    }

    /// What `json_deserialize_sql` takes.
    pub fn to_json(&self) -> String {
        self.0.to_string()
    }
}

/// A text field; empty where it is missing.
pub(crate) fn text<'a>(node: &'a Value, field: &str) -> &'a str {
    node.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A list field; empty where it is missing.
pub(crate) fn list<'a>(node: &'a Value, field: &str) -> &'a [Value] {
    node.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
