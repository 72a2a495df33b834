//! Which of a table's rows a statement can need at most: the part of its WHERE that one table alone decides.
//!
//! The statement runs on what was shipped with its WHERE as it stands, so a condition left out here costs time, never
//! truth; one taken in that does not hold there would lose rows. Taken in is only what is named here.

use serde_json::{Value, json};

use raftduck_model::table::Table;

use crate::functions::{self, Rule};
use crate::plan::Shipment;
use crate::tree::{Tree, list, text};

/// Functions that a store may run, but whose second answer is another, or none.
const NOT_TWICE: &[&str] = &["error", "gen_random_uuid", "random", "uuid", "uuidv4", "uuidv7"];

/// The query for what is to be shipped of a table, narrowed by the statement's own conditions; none where none of them
/// can be asked of the table alone. `tree` is the statement's as it runs, without parameters.
pub fn narrow(tree: &Tree, shipment: &Shipment) -> Option<Tree> {
    let mut search = Search { table: &shipment.table, times: 0, hidden: false, found: None };
    search.visit(&tree.0);
    let (node, relation) = search.found.filter(|_| search.times == 1 && !search.hidden)?;
    let own: Vec<&Value> = conditions(node.get("where_clause")?)
        .into_iter()
        .filter(|condition| asks_only(condition, relation, &shipment.table))
        .collect();
    if own.is_empty() {
        return None;
    }
    let columns: Vec<Value> = shipment.columns.iter().map(|column| reference(column)).collect();
    let mut asked = node.clone();
    let fields = asked.as_object_mut()?;
    for (field, value) in [
        ("modifiers", json!([])),
        ("cte_map", json!({"map": []})),
        ("select_list", Value::Array(columns)),
        ("from_table", relation.clone()),
        ("where_clause", conjunction(own)),
        ("group_expressions", json!([])),
        ("group_sets", json!([])),
        ("aggregate_handling", json!("STANDARD_HANDLING")),
        ("having", Value::Null),
        ("sample", Value::Null),
        ("qualify", Value::Null),
    ] {
        fields.insert(field.to_owned(), value);
    }
    Some(Tree(json!({"error": false, "statements": [{"node": asked, "named_param_map": []}]})))
}

/// Looks for the one query in whose FROM a table stands where its rows may be left out.
struct Search<'a> {
    table: &'a Table,
    /// How often the table is named anywhere; twice, and each would need other rows.
    times: usize,
    /// A common table expression has its name.
    hidden: bool,
    /// The query, and the table in its FROM.
    found: Option<(&'a Value, &'a Value)>,
}

impl<'a> Search<'a> {
    /// Any part of a tree; [`Tree::parse`] bounds its depth.
    fn visit(&mut self, value: &'a Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.visit(item)),
            Value::Object(fields) => {
                self.times += usize::from(self.names(value));
                self.hidden |= [text(value, "key"), text(value, "cte_name")].iter().any(|name| self.is(name));
                if text(value, "type") == "SELECT_NODE"
                    && let Some(relation) = value.get("from_table").and_then(|from| self.kept(from))
                {
                    self.found = Some((value, relation));
                }
                fields.values().for_each(|value| self.visit(value));
            }
            _ => {}
        }
    }

    fn is(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(&self.table.name)
    }

    fn names(&self, node: &Value) -> bool {
        text(node, "type") == "BASE_TABLE" && self.is(text(node, "table_name"))
    }

    /// The table, where a row that fails a condition of the query can be left out of its relation beforehand: not on a
    /// side of a join whose missing rows become NULL, and not under a sample.
    fn kept(&self, from: &'a Value) -> Option<&'a Value> {
        if !from.get("sample").is_none_or(Value::is_null) {
            return None;
        }
        if text(from, "type") == "JOIN" {
            if !matches!(text(from, "ref_type"), "REGULAR" | "CROSS") {
                return None;
            }
            let side = |side: &str| from.get(side).and_then(|from| self.kept(from));
            return match text(from, "join_type") {
                "INNER" => side("left").or_else(|| side("right")),
                "LEFT" | "SEMI" | "ANTI" => side("left"),
                _ => None,
            };
        }
        (self.names(from) && list(from, "column_name_alias").is_empty()).then_some(from)
    }
}

/// What must hold all together.
fn conditions(clause: &Value) -> Vec<&Value> {
    match text(clause, "type") {
        "CONJUNCTION_AND" => list(clause, "children").iter().flat_map(conditions).collect(),
        _ if clause.is_object() => vec![clause],
        _ => Vec::new(),
    }
}

/// Whether a condition reads the one relation's columns and nothing else, and holds as well before the statement as in it.
fn asks_only(value: &Value, relation: &Value, table: &Table) -> bool {
    let parts_do = |value: &Value| match value {
        Value::Array(items) => items.iter().all(|item| asks_only(item, relation, table)),
        Value::Object(fields) => fields.values().all(|field| asks_only(field, relation, table)),
        _ => true,
    };
    match text(value, "class") {
        "COLUMN_REF" => is_own(value, relation, table),
        "FUNCTION" => {
            let name = text(value, "function_name").to_ascii_lowercase();
            functions::rule(&name) == Rule::Store && !NOT_TWICE.contains(&name.as_str()) && parts_do(value)
        }
        "" | "BETWEEN" | "CASE" | "CAST" | "COMPARISON" | "CONJUNCTION" | "CONSTANT" | "OPERATOR" | "TYPE" => {
            parts_do(value)
        }
        _ => false,
    }
}

/// Whether a name is surely a column of the relation. A bare name that the table has is found there first.
fn is_own(reference: &Value, relation: &Value, table: &Table) -> bool {
    let names: Vec<&str> = list(reference, "column_names").iter().filter_map(Value::as_str).collect();
    let alias = Some(text(relation, "alias")).filter(|alias| !alias.is_empty()).unwrap_or(&table.name);
    match names.as_slice() {
        [column] => table.column(column).is_some(),
        // A column of the alias' name could be a struct with such a field.
        [of, column] => {
            of.eq_ignore_ascii_case(alias) && table.column(column).is_some() && table.column(alias).is_none()
        }
        _ => false,
    }
}

fn conjunction(conditions: Vec<&Value>) -> Value {
    match conditions.as_slice() {
        [one] => (*one).clone(),
        _ => placed(json!({"class": "CONJUNCTION", "type": "CONJUNCTION_AND", "children": conditions})),
    }
}

fn reference(column: &str) -> Value {
    placed(json!({"class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": [column]}))
}

/// What every expression has.
fn placed(mut expression: Value) -> Value {
    if let Some(fields) = expression.as_object_mut() {
        fields.insert("alias".to_owned(), json!(""));
        fields.insert("query_location".to_owned(), json!(0));
        fields.insert("query_location_length".to_owned(), json!(0));
    }
    expression
}
