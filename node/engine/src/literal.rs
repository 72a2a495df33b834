//! Default values: constants, proven to be so before they meet a statement of ours.

use arrow::array::ArrayRef;
use duckdb::Connection;
use raftduck_model::ColumnType;
use serde_json::Value;

use crate::fault::Fault;
use crate::values;

/// Why a default is none that every replica gives the same for ever.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiteralError {
    /// It does not parse.
    #[error("{0}")]
    Syntax(String),
    /// It is more than a constant.
    #[error("{0:?} is no constant: write the value itself, or leave the default out")]
    NotConstant(String),
    /// It cannot be of the column's type.
    #[error("{0}")]
    Value(Fault),
}

/// Checks that `text` is one constant expression: a literal, perhaps signed or cast, or a list or
/// struct of such.
pub(crate) fn check(connection: &Connection, text: &str) -> Result<(), LiteralError> {
    let tree: String = connection
        .query_row("SELECT json_serialize_sql(?)", [format!("SELECT ({text}\n)")], |row| row.get(0))
        .map_err(|error| LiteralError::Value(error.into()))?;
    let tree: Value = serde_json::from_str(&tree).unwrap_or_default();
    if tree["error"] == Value::Bool(true) {
        return Err(LiteralError::Syntax(tree["error_message"].as_str().unwrap_or_default().to_owned()));
    }
    let not_constant = || LiteralError::NotConstant(text.to_owned());
    let [statement] = tree["statements"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        return Err(not_constant());
    };
    let node = &statement["node"];
    let plain = node["type"] == "SELECT_NODE"
        && node["from_table"]["type"] == "EMPTY"
        && node["where_clause"].is_null()
        && is_empty(&node["modifiers"])
        && is_empty(&node["cte_map"]["map"]);
    match node["select_list"].as_array().map(Vec::as_slice) {
        Some([expression]) if plain && is_constant(expression) => Ok(()),
        _ => Err(not_constant()),
    }
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

fn is_constant(expression: &Value) -> bool {
    match expression["class"].as_str() {
        Some("CONSTANT") => true,
        Some("CAST") => is_constant(&expression["child"]),
        Some("FUNCTION") => {
            matches!(expression["function_name"].as_str(), Some("-" | "+" | "list_value" | "struct_pack" | "row"))
                && arguments(expression).iter().all(|argument| is_constant(argument))
        }
        _ => false,
    }
}

/// A function's arguments, bare or behind a name, as DuckDB 2.0 writes them.
fn arguments(function: &Value) -> Vec<&Value> {
    let list = function["children"].as_array().or_else(|| function["arguments"].as_array());
    list.into_iter().flatten().map(|argument| argument.get("expression").unwrap_or(argument)).collect()
}

/// The value of a checked literal as an array of one row, of the column's type.
pub(crate) fn value(connection: &Connection, text: &str, kind: &ColumnType) -> Result<ArrayRef, LiteralError> {
    check(connection, text)?;
    let of = |error: duckdb::Error| LiteralError::Value(error.into());
    let mut statement = connection.prepare(&format!("SELECT CAST(({text}\n) AS {kind}) AS v")).map_err(of)?;
    let batch = statement.stream_arrow([]).map_err(of)?.next();
    let column = batch.transpose().map_err(of)?.and_then(|batch| batch.columns().first().cloned());
    let column = column.ok_or_else(|| LiteralError::NotConstant(text.to_owned()))?;
    let value = crate::arrow_schema::conform(&column, kind).map_err(|error| LiteralError::Syntax(error.to_string()))?;
    match values::first_bad(&value, None) {
        None => Ok(value),
        Some((_, what)) => Err(LiteralError::Syntax(format!("{text}: {what}"))),
    }
}
