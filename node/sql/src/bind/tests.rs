#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::check::check;
use crate::testkit::{catalog, tree};

const CLOCK: Clock = Clock { micros: 1_795_264_496_123_456 }; // 2026-11-21 12:34:56.123456

fn bound(sql: &str, params: &str) -> Result<Value, BindError> {
    let mut tree = tree(sql);
    let facts = check(&tree, &catalog()).unwrap();
    let params = Params::parse(&RawValue::from_string(params.to_owned()).unwrap())?;
    bind(&mut tree, &facts, CLOCK, &params)?;
    Ok(tree.0)
}

/// `name=text:type` of each item of the outermost select list that is a constant.
fn constants(tree: &Value) -> Vec<String> {
    let items = tree.pointer("/statements/0/node/select_list").and_then(Value::as_array).unwrap();
    let shown = items.iter().map(|item| {
        let literal = item.pointer("/child/literal").or(item.get("literal")).unwrap_or(&Value::Null);
        let kind = item.pointer("/type_expr/type_name").and_then(Value::as_str);
        format!("{}={}:{}", text(item, "alias"), text(literal, "text"), kind.unwrap_or(text(literal, "kind")))
    });
    shown.collect()
}

#[test]
fn the_clock_is_read_once_as_utc() {
    let tree =
        bound("SELECT now(), current_date AS d, now() - INTERVAL 1 DAY, today(), localtimestamp", "null").unwrap();
    let constants = constants(&tree);
    assert_eq!(constants[0], "now()=2026-11-21 12:34:56.123456:TIMESTAMP");
    assert_eq!(constants[1], "d=2026-11-21:DATE");
    assert_eq!(constants[3], "today()=2026-11-21:DATE");
    assert_eq!(constants[4], "localtimestamp=2026-11-21 12:34:56.123456:TIMESTAMP");
    assert!(!tree.to_string().contains(r#""function_name":"now""#));
}

#[test]
fn age_and_ago_count_from_the_bound_clock() {
    let json = bound("SELECT age(k), ago(INTERVAL 1 HOUR) FROM t", "null").unwrap().to_string();
    assert!(json.contains("2026-11-21 00:00:00") && json.contains("2026-11-21 12:34:56.123456"), "{json}");
    assert!(!json.contains(r#""function_name":"ago""#));
}

#[test]
fn a_column_hides_the_clock() {
    let json = bound("SELECT current_date FROM v", "null").unwrap().to_string();
    assert!(json.contains(r#""column_names":["current_date"]"#), "{json}");
}

#[test]
fn numbers_keep_their_text() {
    let tree = bound("SELECT ?, ?", "[123456789012345678901234567890, 0.10000000000000000000001]").unwrap();
    assert_eq!(constants(&tree), ["$1=123456789012345678901234567890:INTEGER", "$2=0.10000000000000000000001:NUMERIC"]);
    let tree = bound("SELECT ?, ?", r#"["it's \u00e9", null]"#).unwrap();
    assert_eq!(constants(&tree), ["$1=it's é:STRING", "$2=:NULL_LITERAL"]);
}

#[test]
fn missing_extra_and_nested_parameters_are_named() {
    assert_eq!(bound("SELECT ?, ?", "[1]").unwrap_err(), BindError::Missing("2".to_owned()));
    assert_eq!(bound("SELECT ?, ?", "[1, 2, 3]").unwrap_err(), BindError::Unused("3".to_owned()));
    assert_eq!(bound("SELECT ?, ?", "[1, [2]]").unwrap_err(), BindError::NotScalar("2".to_owned()));
    assert_eq!(bound("SELECT ?, ?", "7").unwrap_err(), BindError::NotParams);
    let sql = "SELECT $name, b FROM t WHERE a = $name";
    assert!(bound(sql, r#"{"name": true}"#).is_ok());
    assert_eq!(bound(sql, "{}").unwrap_err(), BindError::Missing("name".to_owned()));
}
