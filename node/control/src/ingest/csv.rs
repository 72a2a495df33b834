//! CSV as RFC 4180 has it, with a header row. Quotes matter: `,,` is NULL and `,"",` is the empty text, which
//! libraries that unquote first cannot tell apart.

use std::borrow::Cow;

use super::cell::Cell;
use super::{IngestError, Sink};

/// Reads header and rows; empty lines are skipped.
pub(super) fn read(body: &[u8], rows: &mut impl Sink) -> Result<(), IngestError> {
    let text = std::str::from_utf8(body).map_err(|error| IngestError::Syntax {
        row: rows.row(),
        reason: format!("the body is not UTF-8 at byte {}", error.valid_up_to()),
    })?;
    let mut records = Records { rest: text.strip_prefix('\u{feff}').unwrap_or(text) };
    let mut cells = Vec::new();
    if !records.next(&mut cells).map_err(|reason| IngestError::Syntax { row: 0, reason })? {
        return Err(IngestError::Syntax { row: 0, reason: "the body has no header row with column names".to_owned() });
    }
    let places = cells.iter().map(|cell| rows.place(cell.text.trim(), 0)).collect::<Result<Vec<_>, _>>()?;
    while records.next(&mut cells).map_err(|reason| IngestError::Syntax { row: rows.row(), reason })? {
        if cells.len() != places.len() {
            let reason = format!("it has {} cells, the header has {}", cells.len(), places.len());
            return Err(IngestError::Syntax { row: rows.row(), reason });
        }
        for (place, cell) in places.iter().zip(&cells) {
            let value = match cell.text.is_empty() && !cell.quoted {
                true => Cell::Null,
                false => Cell::Text(&cell.text),
            };
            rows.set(*place, value)?;
        }
        rows.end_row()?;
    }
    Ok(())
}

struct Field<'a> {
    text: Cow<'a, str>,
    quoted: bool,
}

struct Records<'a> {
    rest: &'a str,
}

impl<'a> Records<'a> {
    /// The next record's cells; false at the end.
    fn next(&mut self, cells: &mut Vec<Field<'a>>) -> Result<bool, String> {
        cells.clear();
        self.rest = self.rest.trim_start_matches(['\r', '\n']);
        if self.rest.is_empty() {
            return Ok(false);
        }
        loop {
            let field = match self.rest.strip_prefix('"') {
                Some(quoted) => Field { text: self.quoted(quoted)?, quoted: true },
                None => {
                    let end = self.rest.find([',', '\n', '\r']).unwrap_or(self.rest.len());
                    let (text, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
                    self.rest = rest;
                    Field { text: Cow::Borrowed(text), quoted: false }
                }
            };
            cells.push(field);
            match self.rest.strip_prefix(',') {
                Some(rest) => self.rest = rest,
                None if self.rest.is_empty() || self.rest.starts_with(['\n', '\r']) => return Ok(true),
                None => return Err(format!("cell {}: text after its closing quote", cells.len())),
            }
        }
    }

    /// A quoted cell from behind its first quote to its last.
    fn quoted(&mut self, start: &'a str) -> Result<Cow<'a, str>, String> {
        let (mut text, mut rest) = (Cow::Borrowed(""), start);
        loop {
            let Some((piece, after)) = rest.split_once('"') else {
                return Err("a quoted cell has no closing quote".to_owned());
            };
            text += piece;
            match after.strip_prefix('"') {
                Some(more) => {
                    text += "\"";
                    rest = more;
                }
                None => {
                    self.rest = after;
                    return Ok(text);
                }
            }
        }
    }
}
