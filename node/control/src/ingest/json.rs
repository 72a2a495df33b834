//! JSON rows: serde_json checks the syntax, values keep their text.

use std::borrow::Cow;
use std::fmt;

use raftduck_model::limits;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::IngestError;
use super::Sink;
use super::cell::Cell;

/// An array of row objects, or a single row object.
pub(super) fn read_array(body: &[u8], rows: &mut impl Sink) -> Result<(), IngestError> {
    let text = utf8(body, rows)?;
    if text.trim_start().starts_with('{') {
        return read_row(text, rows);
    }
    let mut failure = None;
    let mut input = serde_json::Deserializer::from_str(text);
    let read = input.deserialize_seq(Array { rows, failure: &mut failure }).and_then(|()| input.end());
    settle(read, failure, rows, "a JSON array of objects")
}

/// One row object a line; empty lines are skipped.
pub(super) fn read_lines(body: &[u8], rows: &mut impl Sink) -> Result<(), IngestError> {
    let text = utf8(body, rows)?;
    text.split('\n').filter(|line| !line.trim().is_empty()).try_for_each(|line| read_row(line, rows))
}

fn read_row(text: &str, rows: &mut impl Sink) -> Result<(), IngestError> {
    let mut failure = None;
    let mut input = serde_json::Deserializer::from_str(text);
    let read = Row { rows, failure: &mut failure }.deserialize(&mut input).and_then(|()| input.end());
    settle(read, failure, rows, "a JSON object")
}

/// Calls `item` for every value of an array.
pub(super) fn each_item(text: &str, item: impl FnMut(Cell<'_>) -> Result<(), String>) -> Result<(), String> {
    let mut failure = None;
    let read = walk(text, |input| input.deserialize_seq(Items { item, failure: &mut failure }));
    failure.map_or(read.map_err(|_| format!("{} is no JSON array", Cell::Json(text).excerpt())), Err)
}

/// Calls `field` for every member of an object.
pub(super) fn each_field(text: &str, field: impl FnMut(&str, Cell<'_>) -> Result<(), String>) -> Result<(), String> {
    let mut failure = None;
    let read = walk(text, |input| input.deserialize_map(Members { field, failure: &mut failure }));
    failure.map_or(read.map_err(|_| format!("{} is no JSON object", Cell::Json(text).excerpt())), Err)
}

fn walk<'a>(
    text: &'a str,
    read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'a>>) -> serde_json::Result<()>,
) -> serde_json::Result<()> {
    let mut input = serde_json::Deserializer::from_str(text);
    read(&mut input).and_then(|()| input.end())
}

fn utf8<'a>(body: &'a [u8], rows: &impl Sink) -> Result<&'a str, IngestError> {
    std::str::from_utf8(body).map_err(|error| IngestError::Syntax {
        row: rows.row(),
        reason: format!("the body is not UTF-8 at byte {}", error.valid_up_to()),
    })
}

fn settle(
    read: serde_json::Result<()>,
    failure: Option<IngestError>,
    rows: &impl Sink,
    wanted: &str,
) -> Result<(), IngestError> {
    match (read, failure) {
        (_, Some(failure)) => Err(failure),
        (Err(error), None) => {
            Err(IngestError::Syntax { row: rows.row(), reason: format!("{error}; the body must be {wanted}") })
        }
        (Ok(()), None) => Ok(()),
    }
}

/// How deep arrays and objects stand in each other in valid JSON text.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Hands a value on as a cell.
fn with_cell<T>(raw: &RawValue, then: impl FnOnce(Cell<'_>) -> T) -> Result<T, String> {
    let text = raw.get().trim();
    match text.as_bytes().first() {
        Some(b'"') => {
            let unescaped: Cow<'_, str> = match text.get(1..text.len() - 1) {
                Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
                _ => Cow::Owned(serde_json::from_str(text).map_err(|error| error.to_string())?),
            };
            Ok(then(Cell::Text(&unescaped)))
        }
        Some(b'[' | b'{') if depth(text) > limits::JSON_DEPTH => {
            Err(format!("JSON nests more than {} deep", limits::JSON_DEPTH))
        }
        Some(b'[' | b'{') => Ok(then(Cell::Json(text))),
        Some(b't') => Ok(then(Cell::Bool(true))),
        Some(b'f') => Ok(then(Cell::Bool(false))),
        Some(b'n') => Ok(then(Cell::Null)),
        _ => Ok(then(Cell::Number(text))),
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        input.deserialize_str(Text)
    }
}

/// serde's errors carry only text, so the typed one is put beside the reading and this ends it.
fn stop<E: serde::de::Error, F>(failure: &mut Option<F>, error: F) -> E {
    *failure = Some(error);
    E::custom("stopped")
}

struct Array<'r, S> {
    rows: &'r mut S,
    failure: &'r mut Option<IngestError>,
}

impl<'de, S: Sink> Visitor<'de> for Array<'_, S> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Row { rows: &mut *self.rows, failure: &mut *self.failure })?.is_some() {}
        Ok(())
    }
}

struct Row<'r, S> {
    rows: &'r mut S,
    failure: &'r mut Option<IngestError>,
}

impl<'de, S: Sink> DeserializeSeed<'de> for Row<'_, S> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for Row<'_, S> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the row's values by column")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { rows, failure } = self;
        while let Some(Name(name)) = members.next_key()? {
            let place = match rows.place(&name, rows.row()) {
                Ok(place) => place,
                Err(error) => return Err(stop(failure, error)),
            };
            let raw: &RawValue = members.next_value()?;
            let row = rows.row();
            let set = with_cell(raw, |cell| rows.set(place, cell))
                .unwrap_or_else(|reason| Err(IngestError::Value { row, column: name.clone().into_owned(), reason }));
            set.map_err(|error| stop(failure, error))?;
        }
        rows.end_row().map_err(|error| stop(failure, error))
    }
}

struct Items<'r, F> {
    item: F,
    failure: &'r mut Option<String>,
}

impl<'de, F: FnMut(Cell<'_>) -> Result<(), String>> Visitor<'de> for Items<'_, F> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(raw) = items.next_element::<&RawValue>()? {
            let taken = with_cell(raw, |cell| (self.item)(cell)).unwrap_or_else(Err);
            taken.map_err(|reason| stop(self.failure, reason))?;
        }
        Ok(())
    }
}

struct Members<'r, F> {
    field: F,
    failure: &'r mut Option<String>,
}

impl<'de, F: FnMut(&str, Cell<'_>) -> Result<(), String>> Visitor<'de> for Members<'_, F> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = members.next_key()? {
            let raw: &RawValue = members.next_value()?;
            let taken = with_cell(raw, |cell| (self.field)(&name, cell)).unwrap_or_else(Err);
            taken.map_err(|reason| stop(self.failure, reason))?;
        }
        members.next_key::<IgnoredAny>().map(|_| ()).map_err(A::Error::custom)
    }
}
