//! Columns for a table that is to be made from a body: names in the order in which they are first met, and for each the
//! narrowest type that holds all of its values.
//!
//! Text is a DATE or TIMESTAMP where all of it is; in CSV, where everything is text, also a number or a BOOLEAN. A
//! number that begins with a zero is a code, not a number. Whatever does not agree is VARCHAR, which holds any value.

use std::collections::HashMap;

use raftduck_model::{Column, ColumnType, limits};

use super::cell::Cell;
use super::number::{Rest, scaled};
use super::{IngestError, Sink, json, time};

/// What a column's values have in common so far.
#[derive(Clone, PartialEq, Debug)]
enum Guess {
    /// Only NULLs.
    Nothing,
    Boolean,
    /// Integers of at most 64 bits.
    Integer,
    /// Integers of at most 38 digits.
    Huge,
    Double,
    Date,
    Timestamp,
    List(Box<Guess>),
    Struct(Vec<(String, Guess)>),
    Text,
}

/// Reads rows for what their columns could be.
pub(super) struct Columns {
    /// Whether text may stand for any value, as in CSV.
    untyped: bool,
    guesses: Vec<(String, Guess)>,
    places: HashMap<String, usize>,
    row: u64,
}

impl Columns {
    pub(super) fn new(untyped: bool) -> Self {
        Self { untyped, guesses: Vec::new(), places: HashMap::new(), row: 1 }
    }

    /// The columns' names and types.
    pub(super) fn finish(self) -> Vec<(String, ColumnType)> {
        self.guesses.into_iter().map(|(name, guess)| (name, guess.kind())).collect()
    }
}

impl Sink for Columns {
    fn row(&self) -> u64 {
        self.row
    }

    fn place(&mut self, name: &str, row: u64) -> Result<usize, IngestError> {
        if let Some(place) = self.places.get(&name.to_ascii_lowercase()) {
            return Ok(*place);
        }
        let place = self.guesses.len();
        if place == limits::COLUMNS {
            let reason = format!("a table has at most {} columns", limits::COLUMNS);
            return Err(IngestError::Syntax { row, reason });
        }
        self.places.insert(name.to_ascii_lowercase(), place);
        self.guesses.push((name.to_owned(), Guess::Nothing));
        Ok(place)
    }

    fn set(&mut self, place: usize, cell: Cell<'_>) -> Result<(), IngestError> {
        if let Some((_, guess)) = self.guesses.get_mut(place)
            && *guess != Guess::Text
        {
            let seen = see(cell, self.untyped);
            *guess = std::mem::replace(guess, Guess::Nothing).with(seen);
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), IngestError> {
        self.row += 1;
        Ok(())
    }
}

fn see(cell: Cell<'_>, untyped: bool) -> Guess {
    match cell {
        Cell::Null => Guess::Nothing,
        Cell::Bool(_) => Guess::Boolean,
        Cell::Number(text) => number(text),
        Cell::Text(text) => match text {
            _ if time::date(text).is_some() => Guess::Date,
            // The date alone was told above.
            _ if time::timestamp(text).is_some() => Guess::Timestamp,
            _ if !untyped => Guess::Text,
            _ if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") => Guess::Boolean,
            _ if is_number(text) => number(text),
            _ => Guess::Text,
        },
        Cell::Json(text) if text.starts_with('[') => {
            let mut item = Guess::Nothing;
            let read = json::each_item(text, |cell| {
                item = std::mem::replace(&mut item, Guess::Nothing).with(see(cell, false));
                Ok(())
            });
            read.map_or(Guess::Text, |()| Guess::List(Box::new(item)))
        }
        Cell::Json(text) => {
            let mut fields = Vec::new();
            let read = json::each_field(text, |name, cell| join(&mut fields, name.to_owned(), see(cell, false)));
            read.map_or(Guess::Text, |()| Guess::Struct(fields))
        }
    }
}

/// Text that a person would call a number.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let code = digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    digits.starts_with(|first: char| first.is_ascii_digit()) && !code && text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn number(text: &str) -> Guess {
    let written_whole = !text.contains(['.', 'e', 'E']);
    match scaled(text, 0, Rest::Refused).filter(|_| written_whole) {
        Some(value) if i64::try_from(value).is_ok() => Guess::Integer,
        Some(value) if value.unsigned_abs() < 10_u128.pow(38) => Guess::Huge,
        _ => Guess::Double,
    }
}

/// Adds what is known of a field; refuses more fields than a table may have columns.
fn join(fields: &mut Vec<(String, Guess)>, name: String, seen: Guess) -> Result<(), String> {
    if let Some((_, guess)) = fields.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
        *guess = std::mem::replace(guess, Guess::Nothing).with(seen);
        return Ok(());
    }
    if fields.len() == limits::COLUMNS {
        return Err("too many fields".to_owned());
    }
    fields.push((name, seen));
    Ok(())
}

impl Guess {
    /// What values of both have in common.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, guess) | (guess, Self::Nothing) => guess,
            (one, other) if one == other => one,
            (Self::Integer | Self::Huge, Self::Integer | Self::Huge) => Self::Huge,
            (Self::Integer | Self::Huge | Self::Double, Self::Integer | Self::Huge | Self::Double) => Self::Double,
            (Self::Date | Self::Timestamp, Self::Date | Self::Timestamp) => Self::Timestamp,
            (Self::List(one), Self::List(other)) => Self::List(Box::new(one.with(*other))),
            (Self::Struct(mut fields), Self::Struct(more)) => {
                let joined = more.into_iter().try_for_each(|(name, seen)| join(&mut fields, name, seen));
                joined.map_or(Self::Text, |()| Self::Struct(fields))
            }
            _ => Self::Text,
        }
    }

    fn kind(self) -> ColumnType {
        match self {
            Self::Nothing | Self::Text => ColumnType::Varchar,
            Self::Boolean => ColumnType::Boolean,
            Self::Integer => ColumnType::BigInt,
            Self::Huge => ColumnType::HugeInt,
            Self::Double => ColumnType::Double,
            Self::Date => ColumnType::Date,
            Self::Timestamp => ColumnType::Timestamp,
            Self::List(item) => ColumnType::List(Box::new(item.kind())),
            // DuckDB has no STRUCT without fields.
            Self::Struct(fields) if fields.is_empty() => ColumnType::Varchar,
            Self::Struct(fields) => {
                ColumnType::Struct(fields.into_iter().map(|(name, guess)| (name, guess.kind())).collect())
            }
        }
    }
}

/// Names and types as a table's columns; all of them take NULL.
pub(super) fn columns(found: Vec<(String, ColumnType)>) -> Vec<Column> {
    let column = |(name, kind)| Column { name, kind, nullable: true, default: None };
    found.into_iter().map(column).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::Format;
    use crate::ingest::infer;

    fn inferred(format: Format, body: &'static str) -> String {
        let columns = infer(format, &body.into()).unwrap();
        columns.iter().map(|column| format!("{} {}", column.name, column.kind)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn json_values_say_their_types_and_whatever_differs_is_text() {
        for (values, kind) in [
            ("1|null|-3", "BIGINT"),
            ("1|2.5", "DOUBLE"),
            ("1|18446744073709551615", "HUGEINT"),
            ("1e40", "DOUBLE"),
            ("true|false", "BOOLEAN"),
            ("true|1", "VARCHAR"),
            ("null", "VARCHAR"),
            ("\"12\"", "VARCHAR"),
            ("\"2026-01-31\"", "DATE"),
            ("\"2026-01-31\"|\"2026-01-31T12:00:00Z\"", "TIMESTAMP"),
            ("\"2026-01-31\"|\"soon\"", "VARCHAR"),
            ("[1,2]|[]|[2.5]", "DOUBLE[]"),
            ("[]", "VARCHAR[]"),
            ("{}", "VARCHAR"),
            ("{\"a\":1}|{\"b\":[\"x\"],\"A\":null}", "STRUCT(a BIGINT, b VARCHAR[])"),
        ] {
            let rows: Vec<String> = values.split('|').map(|value| format!("{{\"c\":{value}}}")).collect();
            let body: &'static str = rows.join("\n").leak();
            assert_eq!(inferred(Format::Ndjson, body), format!("c {kind}"), "{values}");
        }
    }

    #[test]
    fn csv_text_stands_for_any_value_but_codes_stay_text() {
        let body =
            "id,zip,at,share,ok,name,empty\n1,01234,2026-01-31 12:00:00,0.5,true,x,\n2,99999,2026-02-01,1,FALSE,7,\n";
        assert_eq!(
            inferred(Format::Csv, body),
            "id BIGINT, zip VARCHAR, at TIMESTAMP, share DOUBLE, ok BOOLEAN, name VARCHAR, empty VARCHAR"
        );
    }

    #[test]
    fn columns_stand_in_the_order_in_which_they_are_met_and_have_a_bound() {
        assert_eq!(inferred(Format::Json, "[{\"b\":1},{\"a\":1,\"B\":2}]"), "b BIGINT, a BIGINT");
        let wide: Vec<String> = (0..=raftduck_model::limits::COLUMNS).map(|place| format!("c{place}")).collect();
        assert!(infer(Format::Csv, &wide.join(",").into()).is_err());
    }
}
