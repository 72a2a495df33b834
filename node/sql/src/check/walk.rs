//! The walk over a tree.

use std::collections::BTreeSet;

use raftduck_model::ids::TableId;
use raftduck_model::meta::Meta;
use raftduck_model::table::{HIDDEN_COLUMNS, Table};
use serde_json::{Map, Value};

use crate::check::{CheckError, Columns, Facts};
use crate::functions::{self, Rule};
use crate::tree::{list, text};

/// How many times longer than its input a store may make a value. Each doubling of a doubled value (`x || x` of a
/// subquery's `x || x`, …) multiplies, and nothing in the engine bounds such text.
const GROWTH: u64 = 1_024;
/// A separator's longest text; string_agg writes it between every two rows.
const SEPARATOR_BYTES: usize = 64;

pub(super) struct Walk<'a> {
    catalog: &'a Meta,
    tables: BTreeSet<TableId>,
    facts: Facts,
    /// Every name that stands where a column may, in lower case.
    mentioned: BTreeSet<String>,
    /// The last part of each such name: where it is a table's, the whole row is meant.
    last_parts: BTreeSet<String>,
    /// Tables' names and aliases, in lower case.
    relations: BTreeSet<String>,
    /// Something reads columns without naming them.
    star: bool,
    /// The common table expressions in scope, in lower case.
    ctes: Vec<String>,
    /// How many expressions the walk stands in, up to the nearest query.
    inside: usize,
    /// Values joined to one in the outermost expression here.
    leaves: u64,
    /// The product over all outermost expressions so far.
    growth: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(catalog: &'a Meta) -> Self {
        Self {
            catalog,
            tables: BTreeSet::new(),
            facts: Facts::default(),
            mentioned: BTreeSet::new(),
            last_parts: BTreeSet::new(),
            relations: BTreeSet::new(),
            star: false,
            ctes: Vec::new(),
            inside: 0,
            leaves: 1,
            growth: 1,
        }
    }

    pub(super) fn facts(mut self) -> Facts {
        if self.growth > GROWTH {
            self.needs_process("it joins values to much longer ones".to_owned());
        }
        let all = self.star || !self.last_parts.is_disjoint(&self.relations);
        for table in self.tables.iter().filter_map(|id| self.catalog.tables.get(id)) {
            let names = || table.columns.iter().map(|column| column.name.to_ascii_lowercase());
            let columns = match all {
                true => Columns::All,
                false => Columns::Named(names().filter(|name| self.mentioned.contains(name)).collect()),
            };
            self.facts.defined.extend(names());
            self.facts.tables.insert(table.id, columns);
        }
        self.facts
    }

    /// Keeps the first reason.
    fn needs_process(&mut self, reason: String) {
        self.facts.process.get_or_insert(reason);
    }

    /// Any part of the tree.
    pub(super) fn value(&mut self, value: &Value) -> Result<(), CheckError> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.value(item)),
            Value::Object(fields) => match (fields.contains_key("class"), text(value, "type")) {
                (true, _) => self.expression(value, fields),
                (false, "SELECT_NODE" | "SET_OPERATION_NODE" | "RECURSIVE_CTE_NODE") => self.query(value, fields),
                (false, "") => self.fields(fields),
                (false, _) => self.relation(value, fields),
            },
            _ => Ok(()),
        }
    }

    fn fields(&mut self, fields: &Map<String, Value>) -> Result<(), CheckError> {
        fields.values().try_for_each(|value| self.value(value))
    }

    /// A query, with the scope of its WITH clause.
    fn query(&mut self, node: &Value, fields: &Map<String, Value>) -> Result<(), CheckError> {
        let outer = self.ctes.len();
        let (inside, leaves) = (std::mem::take(&mut self.inside), std::mem::replace(&mut self.leaves, 1));
        for entry in node.get("cte_map").map(|map| list(map, "map")).unwrap_or_default() {
            // A WITH entry sees those before it, and not itself; a recursive one is a node that adds its own name.
            self.value(entry.get("value").unwrap_or(&Value::Null))?;
            self.ctes.push(text(entry, "key").to_ascii_lowercase());
        }
        let recursive = text(node, "type") == "RECURSIVE_CTE_NODE";
        if recursive {
            self.needs_process("it is recursive".to_owned());
        }
        if text(node, "setop_type").contains("BY_NAME") {
            self.star = true;
        }
        self.aliases(list(node, "aliases"));
        for (_, value) in fields.iter().filter(|(field, _)| !matches!(field.as_str(), "cte_map" | "right")) {
            self.value(value)?;
        }
        if recursive {
            self.ctes.push(text(node, "cte_name").to_ascii_lowercase());
        }
        self.value(node.get("right").unwrap_or(&Value::Null))?;
        self.ctes.truncate(outer);
        (self.inside, self.leaves) = (inside, leaves);
        Ok(())
    }

    /// What stands in FROM, and what modifies a query.
    fn relation(&mut self, node: &Value, fields: &Map<String, Value>) -> Result<(), CheckError> {
        self.relations.insert(text(node, "alias").to_ascii_lowercase());
        if self.aliases(list(node, "column_name_alias")) {
            self.star = true; // columns are renamed by their places
        }
        match text(node, "type") {
            "BASE_TABLE" => self.table(node)?,
            "TABLE_FUNCTION" => {
                let function = node.get("function").unwrap_or(&Value::Null);
                self.call(function, functions::table_rule)?;
                // Its own call is judged above; its arguments are expressions like others.
                self.value(function.get("arguments").unwrap_or(&Value::Null))?;
                return self.value(node.get("sample").unwrap_or(&Value::Null));
            }
            "JOIN" => {
                for column in list(node, "using_columns").iter().filter_map(Value::as_str) {
                    self.mentioned.insert(column.to_ascii_lowercase());
                }
                self.star |= !matches!(text(node, "ref_type"), "REGULAR" | "CROSS" | "ASOF");
            }
            "PIVOT" => self.star = true,
            "SHOW_REF" => {
                if !matches!(text(node, "show_type"), "DESCRIBE" | "SUMMARY")
                    || node.get("query").is_none_or(Value::is_null)
                {
                    return Err(unsupported("this SHOW", ": SHOW TABLES and DESCRIBE are", node));
                }
                self.star = true;
            }
            "SUBQUERY" | "EXPRESSION_LIST" | "EMPTY" => {}
            "ORDER_MODIFIER" | "LIMIT_MODIFIER" | "LIMIT_PERCENT_MODIFIER" | "DISTINCT_MODIFIER" => {}
            "ORDER_DEFAULT" | "ASCENDING" | "DESCENDING" => {}
            "DELETE_QUERY_NODE" | "INSERT_QUERY_NODE" | "UPDATE_QUERY_NODE" | "MERGE_QUERY_NODE"
            | "COPY_QUERY_NODE" => {
                return Err(unsupported("a change of data inside a query", ": a query only reads", node));
            }
            other => return Err(unsupported(&format!("{other} in a query"), "", node)),
        }
        self.fields(fields)
    }

    fn aliases(&mut self, names: &[Value]) -> bool {
        self.facts.defined.extend(names.iter().filter_map(Value::as_str).map(str::to_ascii_lowercase));
        !names.is_empty()
    }

    fn table(&mut self, node: &Value) -> Result<(), CheckError> {
        let (catalog, schema, name) = (text(node, "catalog_name"), text(node, "schema_name"), text(node, "table_name"));
        if !node.get("at_clause").is_none_or(Value::is_null) {
            return Err(unsupported("AT (…) of a table", ": tables have one version", node));
        }
        let lower = name.to_ascii_lowercase();
        self.relations.insert(lower.clone());
        if catalog.is_empty() && schema.is_empty() && self.ctes.contains(&lower) {
            return Ok(());
        }
        if !catalog.is_empty() || !(schema.is_empty() || schema.eq_ignore_ascii_case("main")) {
            let parts = [catalog, schema, name].into_iter().filter(|part| !part.is_empty());
            let name = parts.collect::<Vec<_>>().join(".");
            return Err(CheckError::OtherSchema { name, offset: offset(node) });
        }
        let table: &Table = self
            .catalog
            .table(name)
            .ok_or_else(|| CheckError::NoSuchTable { name: name.to_owned(), offset: offset(node) })?;
        self.tables.insert(table.id);
        Ok(())
    }

    fn expression(&mut self, node: &Value, fields: &Map<String, Value>) -> Result<(), CheckError> {
        let alias = text(node, "alias");
        if !alias.is_empty() {
            self.facts.defined.insert(alias.to_ascii_lowercase());
        }
        self.inside += 1;
        match text(node, "class") {
            "COLUMN_REF" => self.column(node)?,
            "FUNCTION" | "WINDOW" => self.function(node)?,
            "STAR" | "POSITIONAL_REFERENCE" => self.star = true,
            "PARAMETER" => drop(self.facts.parameters.insert(text(node, "identifier").to_owned())),
            "BETWEEN" | "CASE" | "CAST" | "COLLATE" | "COMPARISON" | "CONJUNCTION" | "CONSTANT" | "LAMBDA"
            | "OPERATOR" | "SUBQUERY" | "TYPE" => {}
            "DEFAULT" => {
                return Err(unsupported("DEFAULT as a value", ": name the other columns and leave this one out", node));
            }
            other => return Err(unsupported(&format!("{other} in an expression"), "", node)),
        }
        self.fields(fields)?;
        self.inside -= 1;
        if self.inside == 0 {
            self.growth = self.growth.saturating_mul(std::mem::replace(&mut self.leaves, 1));
        }
        Ok(())
    }

    fn column(&mut self, node: &Value) -> Result<(), CheckError> {
        let parts = list(node, "column_names").iter().filter_map(Value::as_str).map(str::to_ascii_lowercase);
        for part in parts {
            // A struct's field may have such a name, but a column never.
            if HIDDEN_COLUMNS.contains(&part.as_str()) {
                return Err(unsupported(&format!("a column named {part}"), ": there is none", node));
            }
            self.mentioned.insert(part);
        }
        if let Some(last) = list(node, "column_names").last().and_then(Value::as_str) {
            self.last_parts.insert(last.to_ascii_lowercase());
        }
        Ok(())
    }

    fn function(&mut self, node: &Value) -> Result<(), CheckError> {
        self.call(node, functions::rule)?;
        let name = text(node, "function_name").to_ascii_lowercase();
        let arguments = list(node, "arguments");
        self.growth = self.growth.saturating_mul(functions::stretch(&name));
        if matches!(name.as_str(), "||" | "concat" | "concat_ws" | "list_concat" | "list_value" | "struct_pack" | "row")
            || matches!(name.as_str(), "struct_insert" | "map" | "json_object" | "json_array")
        {
            self.leaves = self.leaves.saturating_add((arguments.len() as u64).saturating_sub(1));
        }
        if matches!(name.as_str(), "string_agg" | "group_concat" | "listagg") && arguments.len() > 1 {
            let separator = arguments.get(1).and_then(|argument| argument.get("expression"));
            let short = separator.and_then(|node| node.get("literal")).map(|literal| text(literal, "text").len());
            if short.is_none_or(|bytes| bytes > SEPARATOR_BYTES) {
                self.needs_process(format!("the separator of {name} is not a short text"));
            }
        }
        Ok(())
    }

    /// A call, by the rule for its place.
    fn call(&mut self, node: &Value, rule: impl Fn(&str) -> Rule) -> Result<(), CheckError> {
        let name = text(node, "function_name").to_ascii_lowercase();
        let schema = text(node, "schema");
        if !text(node, "catalog").is_empty() || !matches!(schema, "" | "main" | "pg_catalog") {
            return Err(unsupported("a function's schema", ": name the function alone", node));
        }
        if node.get("export_state").and_then(Value::as_bool) == Some(true) {
            return Err(unsupported("EXPORT_STATE", "", node));
        }
        match rule(&name) {
            Rule::Store => Ok(()),
            Rule::Process => {
                self.needs_process(format!("the output of {name} is not bounded by its input"));
                Ok(())
            }
            Rule::Refused => Err(CheckError::Function { name, offset: offset(node) }),
        }
    }
}

fn unsupported(what: &str, advice: &'static str, node: &Value) -> CheckError {
    CheckError::Unsupported { what: what.to_owned(), advice, offset: offset(node) }
}

/// Where a node stands; DuckDB writes the greatest number for "nowhere".
fn offset(node: &Value) -> Option<usize> {
    let offset = node.get("query_location")?.as_u64().filter(|offset| *offset != u64::MAX)?;
    usize::try_from(offset).ok()
}
