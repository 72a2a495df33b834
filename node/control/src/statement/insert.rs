//! INSERT INTO … VALUES: evaluated once, here, and then written like any other rows.
//!
//! A retry under the client's `Idempotency-Key` is told by its key in the same partitions. If `now()` or `random()`
//! stood in the partition key, each attempt would choose partitions of its own and the rows would double. So with a
//! client's key such a column takes only values that are the same each time; without one only this control repeats
//! the write, with the rows that it evaluated.

use arrow::array::{Array, RecordBatch};
use raftduck_engine::{Scratch, arrow_schema, batch, values};
use raftduck_model::hash::BodyHasher;
use raftduck_model::ident::quote;
use raftduck_model::meta::Meta;
use raftduck_model::{Column, Table};
use raftduck_sql::{Facts, bind};
use raftduck_wire::http::RowsAnswer;
use serde_json::Value;

use super::prepare::{checked, clock};
use super::{Asked, StatementError};
use crate::control::Control;
use crate::route::{Request, split};

/// INSERT's head.
pub(super) struct Insert {
    pub table: String,
    pub columns: Option<Vec<String>>,
    /// From VALUES on.
    pub values: String,
}

/// Writes the rows.
pub(super) async fn insert(control: &Control, asked: &Asked, head: Insert) -> Result<RowsAnswer, StatementError> {
    let view = control.view();
    let partitions = view.meta.partition_count().ok_or(StatementError::NotReady)?;
    let table = view.meta.table(&head.table).cloned();
    let table = table.ok_or_else(|| StatementError::NoSuchTable { name: head.table.clone(), offset: None })?;
    let places = places(&table, head.columns.as_deref())?;

    let work = {
        let (table, meta, values) = (table.clone(), view.meta.clone(), head.values);
        let (params, keyed) = (asked.params.clone(), asked.call.key.is_some());
        move |scratch: &Scratch| {
            evaluate(scratch, &Values { sql: &values, table: &table, places: &places, keyed }, &meta, &params)
        }
    };
    let rows = control.scratch.run(asked.deadline, work).await??;

    let made = uuid::Uuid::now_v7().to_string();
    let mut digest = BodyHasher::new();
    digest.update(asked.sql.as_bytes());
    digest.update(asked.params_text.as_bytes());
    let request = Request { key: asked.call.key.as_deref().unwrap_or(&made), digest: digest.finish() };
    let parts = split(&rows, &table, partitions, request, &batch::encode)?;
    let appended = control.router.append(&table, parts, asked.deadline).await?;
    control.metrics.statement("insert", asked.call.arrived.elapsed());
    control.metrics.rows(appended.rows, appended.duplicate);
    Ok(RowsAnswer {
        table: table.name,
        rows: appended.rows,
        duplicate: appended.duplicate,
        created: false,
        elapsed_ms: asked.elapsed_ms(),
    })
}

/// Which of the table's columns each value of a row is for.
fn places(table: &Table, named: Option<&[String]>) -> Result<Vec<usize>, StatementError> {
    let Some(named) = named else { return Ok((0..table.columns.len()).collect()) };
    let mut places = Vec::with_capacity(named.len());
    for name in named {
        let (place, column) = table.column(name).ok_or_else(|| StatementError::Value {
            detail: format!("table {:?} has no column {name:?}", table.name),
            row: None,
            column: Some(name.clone()),
        })?;
        if places.contains(&place) {
            return Err(StatementError::statement(format!("column {:?} is named twice", column.name)));
        }
        places.push(place);
    }
    Ok(places)
}

struct Values<'a> {
    sql: &'a str,
    table: &'a Table,
    places: &'a [usize],
    /// The client may send the statement again under its key.
    keyed: bool,
}

fn evaluate(
    scratch: &Scratch,
    values: &Values<'_>,
    meta: &Meta,
    params: &raftduck_sql::Params,
) -> Result<RecordBatch, StatementError> {
    let json = scratch.parse(values.sql)?;
    let (mut tree, facts) = checked(&json, meta)?;
    permitted(&facts)?;
    check_rows(&json, values)?;
    let unbound = tree.clone();
    bind(&mut tree, &facts, clock(), params)?;
    let sql = match tree == unbound {
        true => values.sql.to_owned(),
        false => scratch.unparse(&tree.to_json())?,
    };
    let rows = scratch.evaluate_values(&typed(&sql, values))?;
    conform(&rows, values.table)
}

/// VALUES that control evaluates itself: no tables, nothing unbounded.
fn permitted(facts: &Facts) -> Result<(), StatementError> {
    let refused =
        |what: String, advice: &str| Err(StatementError::Refused { what, advice: advice.to_owned(), offset: None });
    if !facts.tables.is_empty() {
        return refused(
            "a query over tables inside VALUES is not supported".into(),
            "read with SELECT and send the rows back",
        );
    }
    match &facts.process {
        Some(reason) => {
            refused(format!("these VALUES are not supported, because {reason}"), "send the values themselves")
        }
        None => Ok(()),
    }
}

/// Each row has a value for each column, and the key column's are the same at every attempt where they must be.
fn check_rows(json: &str, values: &Values<'_>) -> Result<(), StatementError> {
    let tree: Value = serde_json::from_str(json).map_err(super::select::internal)?;
    let rows = tree.pointer("/statements/0/node/from_table/values").and_then(Value::as_array);
    let key = values.places.iter().position(|place| *place == values.table.key);
    for (row, number) in rows.into_iter().flatten().zip(1..) {
        let cells = row.as_array().map(Vec::as_slice).unwrap_or_default();
        if cells.len() != values.places.len() {
            return Err(StatementError::Value {
                detail: format!("row {number} has {} values for {} columns", cells.len(), values.places.len()),
                row: Some(number),
                column: None,
            });
        }
        let changing = key.and_then(|key| cells.get(key)).and_then(changing);
        if let (true, Some(name)) = (values.keyed, changing) {
            let column = values.table.key_column().map(|column| column.name.as_str()).unwrap_or_default();
            return Err(StatementError::Refused {
                what: format!(
                    "row {number}: {name} gives the partition key {column:?} another value at every attempt, so a retry under the Idempotency-Key would write the row twice"
                ),
                advice: "send the value itself, or leave the Idempotency-Key out".to_owned(),
                offset: None,
            });
        }
    }
    Ok(())
}

/// The first thing in an expression that is not the same each time.
fn changing(node: &Value) -> Option<String> {
    const CHANGING: [&str; 20] = [
        "now",
        "random",
        "uuid",
        "gen_random_uuid",
        "uuidv4",
        "uuidv7",
        "today",
        "current_date",
        "current_timestamp",
        "current_time",
        "get_current_timestamp",
        "get_current_time",
        "transaction_timestamp",
        "localtimestamp",
        "localtime",
        "current_localtimestamp",
        "current_localtime",
        "age",
        "ago",
        "nextval",
    ];
    let is = |name: &str| CHANGING.iter().any(|word| name.eq_ignore_ascii_case(word));
    match node {
        Value::Array(items) => items.iter().find_map(changing),
        Value::Object(fields) => {
            let function = fields.get("function_name").and_then(Value::as_str);
            let column = match fields.get("column_names").and_then(Value::as_array).map(Vec::as_slice) {
                Some([name]) => name.as_str(),
                _ => None,
            };
            let named = function.or(column).filter(|name| is(name)).map(str::to_owned);
            named.or_else(|| fields.values().find_map(changing))
        }
        _ => None,
    }
}

/// The rows as the table's columns, in its order; DuckDB casts, and gives the columns that are not named their defaults.
fn typed(sql: &str, values: &Values<'_>) -> String {
    let given = |place: usize| values.places.iter().position(|named| *named == place);
    let column = |(place, column): (usize, &Column)| {
        let value = match (given(place), &column.default) {
            (Some(value), _) => format!("c{value}"),
            (None, Some(default)) => format!("({default}\n)"),
            (None, None) => "NULL".to_owned(),
        };
        format!("CAST({value} AS {}) AS {}", column.kind, quote(&column.name))
    };
    let columns: Vec<String> = values.table.columns.iter().enumerate().map(column).collect();
    let names: Vec<String> = (0..values.places.len()).map(|value| format!("c{value}")).collect();
    format!("SELECT {} FROM ({sql}\n) AS v({})", columns.join(", "), names.join(", "))
}

/// The rows in the form in which the table's rows are written.
fn conform(rows: &RecordBatch, table: &Table) -> Result<RecordBatch, StatementError> {
    let mut arrays = Vec::with_capacity(table.columns.len());
    for (column, array) in table.columns.iter().zip(rows.columns()) {
        let wrong = |detail: String, row| StatementError::Value { detail, row, column: Some(column.name.clone()) };
        if !column.nullable && array.null_count() > 0 {
            let row = (0..array.len()).find(|row| array.is_null(*row)).map_or(1, |row| row as u64 + 1);
            let detail = format!("row {row}, column {:?}: NULL, but the column is NOT NULL", column.name);
            return Err(wrong(detail, Some(row)));
        }
        let array = arrow_schema::conform(array, &column.kind);
        arrays.push(array.map_err(|error| wrong(format!("column {:?}: {error}", column.name), None))?);
    }
    let rows = RecordBatch::try_new(arrow_schema::of_table(table), arrays).map_err(super::select::internal)?;
    values::check(&rows).map_err(|error| StatementError::Value {
        detail: error.to_string(),
        row: Some(error.row),
        column: Some(error.column.clone()),
    })?;
    Ok(rows)
}
