//! One value as its text has it, before anybody says what type it is.

/// A value of a row.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Cell<'a> {
    /// JSON's `null`, or CSV's empty cell.
    Null,
    /// JSON's `true` and `false`.
    Bool(bool),
    /// A JSON number, as it was written.
    Number(&'a str),
    /// A JSON string, unescaped, or a CSV cell.
    Text(&'a str),
    /// A JSON array or object, as it was written.
    Json(&'a str),
}

/// How much of a value an error repeats.
const EXCERPT_CHARS: usize = 60;

impl Cell<'_> {
    /// The value for an error message: short, and text in quotes.
    pub fn excerpt(&self) -> String {
        let cut = |text: &str| match text.char_indices().nth(EXCERPT_CHARS) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text.to_owned(),
        };
        match self {
            Cell::Null => "NULL".to_owned(),
            Cell::Bool(value) => value.to_string(),
            Cell::Number(text) | Cell::Json(text) => cut(text),
            Cell::Text(text) => format!("{:?}", cut(text)),
        }
    }
}
