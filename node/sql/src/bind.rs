//! Constants in the place of parameters and of the clock.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::check::Facts;
use crate::tree::{Tree, list, text};

mod clock;

pub use clock::Clock;

/// A statement's parameters as JSON; numbers keep their text.
#[derive(Clone, Debug, Default)]
pub struct Params(BTreeMap<String, Value>);

/// Why constants could not be put in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BindError {
    /// `params` is neither a list nor an object.
    #[error("params must be a list for $1, $2, … or ?, or an object for $name")]
    NotParams,
    /// A value that has no SQL constant.
    #[error("parameter ${0} must be a number, text, true, false or null; send others as text and cast it")]
    NotScalar(String),
    /// The statement has a parameter that `params` has not.
    #[error("parameter ${0} is missing from params")]
    Missing(String),
    /// `params` has one that the statement has not.
    #[error("params has ${0}, which the statement does not use")]
    Unused(String),
}

impl Params {
    /// Reads a list (for `$1`, `$2`, … and `?`) or an object (for `$name`).
    pub fn parse(json: &RawValue) -> Result<Self, BindError> {
        let text = json.get();
        let raw: BTreeMap<String, Box<RawValue>> = match text.trim_start().as_bytes().first() {
            Some(b'n') => BTreeMap::new(),
            Some(b'[') => {
                let list: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(|_| BindError::NotParams)?;
                list.into_iter().enumerate().map(|(place, value)| ((place + 1).to_string(), value)).collect()
            }
            Some(b'{') => serde_json::from_str(text).map_err(|_| BindError::NotParams)?,
            _ => return Err(BindError::NotParams),
        };
        let literal = |(name, value): (String, Box<RawValue>)| match literal(value.get()) {
            Some(literal) => Ok((name, literal)),
            None => Err(BindError::NotScalar(name)),
        };
        raw.into_iter().map(literal).collect::<Result<_, _>>().map(Self)
    }
}

/// A JSON scalar as DuckDB's literal: a number is its text, so that none goes through a double here.
fn literal(json: &str) -> Option<Value> {
    let json = json.trim();
    let (kind, text) = match json.as_bytes().first()? {
        b'"' => ("STRING", serde_json::from_str(json).ok()?),
        b't' | b'f' => ("BOOLEAN", json.to_owned()),
        b'n' => ("NULL_LITERAL", String::new()),
        b'-' | b'0'..=b'9' if json.contains(['.', 'e', 'E']) => ("NUMERIC", json.to_owned()),
        b'-' | b'0'..=b'9' => ("INTEGER", json.to_owned()),
        _ => return None,
    };
    Some(json!({"kind": kind, "text": text}))
}

/// Puts `params` in the place of the statement's parameters, and `clock` in the place of `now()` and its like.
pub fn bind(tree: &mut Tree, facts: &Facts, clock: Clock, params: &Params) -> Result<(), BindError> {
    let given: BTreeSet<&String> = params.0.keys().collect();
    let used: BTreeSet<&String> = facts.parameters.iter().collect();
    if let Some(name) = used.difference(&given).next() {
        return Err(BindError::Missing((*name).clone()));
    }
    if let Some(name) = given.difference(&used).next() {
        return Err(BindError::Unused((*name).clone()));
    }
    let binder = Binder { facts, clock, params };
    binder.value(&mut tree.0);
    for statement in tree.0.get_mut("statements").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(map) = statement.get_mut("named_param_map") {
            *map = json!([]);
        }
    }
    Ok(())
}

struct Binder<'a> {
    facts: &'a Facts,
    clock: Clock,
    params: &'a Params,
}

impl Binder<'_> {
    fn value(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => {
                // A result column is named after its expression: keep the name that the user wrote.
                for item in fields.get_mut("select_list").and_then(Value::as_array_mut).into_iter().flatten() {
                    let name = self.replacement(item).map(|_| shown(item));
                    if let (Some(name), true) = (name, text(item, "alias").is_empty()) {
                        set(item, "alias", name.into());
                    }
                }
                fields.values_mut().for_each(|field| self.value(field));
                self.relative_to_now(value);
                if let Some(constant) = self.replacement(value) {
                    *value = constant;
                }
            }
            _ => {}
        }
    }

    /// The constant for a parameter or a reading of the clock.
    fn replacement(&self, node: &Value) -> Option<Value> {
        let alias = text(node, "alias");
        match text(node, "class") {
            "PARAMETER" => {
                let literal = self.params.0.get(text(node, "identifier"))?;
                Some(constant(literal.clone(), alias))
            }
            "FUNCTION" if list(node, "arguments").is_empty() => {
                self.clock.reading(&text(node, "function_name").to_ascii_lowercase()).map(|cast| cast.node(alias))
            }
            "COLUMN_REF" => match list(node, "column_names") {
                [name] => {
                    let name = name.as_str()?.to_ascii_lowercase();
                    let hidden = self.facts.defined.contains(&name);
                    let word = matches!(
                        name.as_str(),
                        "current_date" | "current_timestamp" | "current_time" | "localtimestamp" | "localtime"
                    );
                    self.clock.reading(&name).filter(|_| word && !hidden).map(|cast| cast.node(alias))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// `age(x)` counts from today and `ago(i)` back from now, so they get that as an argument.
    fn relative_to_now(&self, node: &mut Value) {
        if text(node, "class") != "FUNCTION" || list(node, "arguments").len() != 1 {
            return;
        }
        let (name, clock) = match text(node, "function_name").to_ascii_lowercase().as_str() {
            "age" => ("age", "midnight"),
            "ago" => ("-", "now"),
            _ => return,
        };
        let Some(constant) = self.clock.reading(clock) else { return };
        let argument = json!({"name": "", "expression": constant.node("")});
        if let Some(arguments) = node.get_mut("arguments").and_then(Value::as_array_mut) {
            arguments.insert(0, argument);
        }
        set(node, "function_name", name.into());
        set(node, "is_operator", (name == "-").into());
        set(node, "qualified_name", json!({"path": [name]}));
    }
}

/// What DuckDB would name a result column after the node.
fn shown(node: &Value) -> String {
    match text(node, "class") {
        "PARAMETER" => format!("${}", text(node, "identifier")),
        "FUNCTION" => format!("{}()", text(node, "function_name")),
        _ => list(node, "column_names").last().and_then(Value::as_str).unwrap_or_default().to_owned(),
    }
}

fn set(node: &mut Value, field: &str, value: Value) {
    if let Some(fields) = node.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

fn constant(literal: Value, alias: &str) -> Value {
    json!({
        "class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": alias,
        "query_location": u64::MAX, "query_location_length": 0, "literal": literal,
    })
}

#[cfg(test)]
mod tests;
