//! Reading a type's text, and saying what to do instead where a type is refused.

use std::collections::BTreeSet;

use crate::column::ColumnType;

/// How deep lists and structs may stand in each other.
pub const MAX_NESTING: usize = 16;
/// The longest text of one type, in bytes; it bounds a struct's fields.
pub const MAX_TYPE_BYTES: usize = 64 << 10;

/// Why a text is no column type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TypeError {
    /// A type of DuckDB's that a table here cannot have.
    #[error("{name} is not supported: {advice}")]
    Unsupported {
        /// The type.
        name: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// No type of DuckDB's at all.
    #[error("there is no type {0:?}")]
    Unknown(String),
    /// A text that does not follow the grammar.
    #[error("at byte {offset} of the type: {expected} expected")]
    Syntax {
        /// Where, in bytes from the text's start.
        offset: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// DECIMAL with a precision or scale that it cannot have.
    #[error("DECIMAL takes a precision from 1 to 38 and a scale up to the precision")]
    Decimal,
    /// Two fields of one struct with one name.
    #[error("a struct has two fields {0:?}")]
    DuplicateField(String),
    /// Lists and structs in each other beyond [`MAX_NESTING`].
    #[error("a type nests at most {MAX_NESTING} deep")]
    TooDeep,
    /// A text beyond [`MAX_TYPE_BYTES`].
    #[error("a type's text has at most {MAX_TYPE_BYTES} bytes")]
    TooLong,
}

pub(super) fn parse(text: &str) -> Result<ColumnType, TypeError> {
    if text.len() > MAX_TYPE_BYTES {
        return Err(TypeError::TooLong);
    }
    let mut parser = Parser { text, offset: 0 };
    let kind = parser.kind(0)?;
    match parser.rest().is_empty() {
        true => Ok(kind),
        false => Err(parser.expected("the end of the type")),
    }
}

/// What stands at the front of `text[offset..]`; `offset` is always a character's boundary.
struct Parser<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Parser<'a> {
    /// What is left, without leading spaces.
    fn rest(&mut self) -> &'a str {
        let rest = self.text.get(self.offset..).unwrap_or_default();
        let trimmed = rest.trim_start();
        self.offset += rest.len() - trimmed.len();
        trimmed
    }

    fn expected(&self, expected: &'static str) -> TypeError {
        TypeError::Syntax { offset: self.offset, expected }
    }

    fn take(&mut self, symbol: char) -> bool {
        let found = self.rest().starts_with(symbol);
        self.offset += if found { symbol.len_utf8() } else { 0 };
        found
    }

    fn need(&mut self, symbol: char, expected: &'static str) -> Result<(), TypeError> {
        match self.take(symbol) {
            true => Ok(()),
            false => Err(self.expected(expected)),
        }
    }

    /// The word here, in upper case; empty where there is none.
    fn peek_word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default().to_ascii_uppercase()
    }

    fn word(&mut self) -> String {
        let word = self.peek_word();
        self.offset += word.len();
        word
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek_word() == word;
        self.offset += if found { word.len() } else { 0 };
        found
    }

    fn number(&mut self) -> Result<u32, TypeError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest.get(..end).and_then(|digits| digits.parse().ok()).ok_or(self.expected("a number"))?;
        self.offset += end;
        Ok(number)
    }

    /// Numbers in brackets, if there are any: `(18, 3)`.
    fn modifiers(&mut self) -> Result<Vec<u32>, TypeError> {
        let mut numbers = Vec::new();
        if self.take('(') {
            numbers.push(self.number()?);
            while self.take(',') {
                numbers.push(self.number()?);
            }
            self.need(')', "',' or ')'")?;
        }
        Ok(numbers)
    }

    /// A type with its list brackets, itself standing `depth` deep in others.
    fn kind(&mut self, depth: usize) -> Result<ColumnType, TypeError> {
        if depth > MAX_NESTING {
            return Err(TypeError::TooDeep);
        }
        let mut kind = self.scalar_or_struct(depth)?;
        let mut nesting = depth + nesting_of(&kind);
        loop {
            if self.take('[') {
                if !self.take(']') {
                    return Err(unsupported("a list of fixed size", "use T[]"));
                }
            } else if !self.take_word("ARRAY") {
                return Ok(kind);
            }
            nesting += 1;
            if nesting > MAX_NESTING {
                return Err(TypeError::TooDeep);
            }
            kind = ColumnType::List(Box::new(kind));
        }
    }

    fn scalar_or_struct(&mut self, depth: usize) -> Result<ColumnType, TypeError> {
        let word = self.word();
        Ok(match word.as_str() {
            "" => return Err(self.expected("a type's name")),
            "BOOLEAN" | "BOOL" | "LOGICAL" => ColumnType::Boolean,
            "TINYINT" | "INT1" => ColumnType::TinyInt,
            "SMALLINT" | "INT2" | "INT16" | "SHORT" => ColumnType::SmallInt,
            "INTEGER" | "INT" | "INT4" | "INT32" | "INTEGRAL" | "SIGNED" => ColumnType::Integer,
            "BIGINT" | "INT8" | "INT64" | "LONG" | "OID" => ColumnType::BigInt,
            "HUGEINT" | "INT128" => ColumnType::HugeInt,
            "UTINYINT" | "UINT8" => ColumnType::UTinyInt,
            "USMALLINT" | "UINT16" => ColumnType::USmallInt,
            "UINTEGER" | "UINT32" => ColumnType::UInteger,
            "UBIGINT" | "UINT64" => ColumnType::UBigInt,
            "REAL" | "FLOAT4" => ColumnType::Float,
            "FLOAT" => match self.modifiers()?.as_slice() {
                [] | [1..=24] => ColumnType::Float,
                [25..=53] => ColumnType::Double,
                _ => return Err(self.expected("a precision from 1 to 53")),
            },
            "DOUBLE" => {
                self.take_word("PRECISION");
                ColumnType::Double
            }
            "FLOAT8" => ColumnType::Double,
            "DECIMAL" | "NUMERIC" | "DEC" => decimal(&self.modifiers()?)?,
            "VARCHAR" | "TEXT" | "STRING" | "CHAR" | "NCHAR" | "BPCHAR" | "NVARCHAR" => {
                // DuckDB reads a length and enforces none.
                self.modifiers()?;
                ColumnType::Varchar
            }
            "BLOB" | "BYTEA" | "BINARY" | "VARBINARY" => ColumnType::Blob,
            "DATE" => ColumnType::Date,
            "TIME" => self.without_time_zone("TIME WITH TIME ZONE", ColumnType::Time)?,
            "DATETIME" | "TIMESTAMP_US" | "TIMESTAMP_S" | "TIMESTAMP_MS" => ColumnType::Timestamp,
            "TIMESTAMP" => {
                if self.modifiers()?.iter().any(|digits| *digits > 6) {
                    return Err(refused("TIMESTAMP_NS").unwrap_or(TypeError::Unknown(word)));
                }
                self.without_time_zone("TIMESTAMP WITH TIME ZONE", ColumnType::Timestamp)?
            }
            "INTERVAL" => ColumnType::Interval,
            "UUID" | "GUID" => ColumnType::Uuid,
            "STRUCT" | "ROW" => self.fields(depth)?,
            other => return Err(refused(other).unwrap_or(TypeError::Unknown(word))),
        })
    }

    fn without_time_zone(&mut self, with: &str, kind: ColumnType) -> Result<ColumnType, TypeError> {
        let zoned = self.take_word("WITH");
        if !zoned && !self.take_word("WITHOUT") {
            return Ok(kind);
        }
        if !(self.take_word("TIME") && self.take_word("ZONE")) {
            return Err(self.expected("TIME ZONE"));
        }
        match zoned {
            false => Ok(kind),
            true => Err(refused(with).unwrap_or(TypeError::Unknown(with.to_owned()))),
        }
    }

    fn fields(&mut self, depth: usize) -> Result<ColumnType, TypeError> {
        self.need('(', "'('")?;
        let mut fields: Vec<(String, ColumnType)> = Vec::new();
        let mut names = BTreeSet::new();
        loop {
            let name = self.name()?;
            if !names.insert(name.to_ascii_lowercase()) {
                return Err(TypeError::DuplicateField(name));
            }
            fields.push((name, self.kind(depth + 1)?));
            if !self.take(',') {
                self.need(')', "',' or ')'")?;
                return Ok(ColumnType::Struct(fields));
            }
        }
    }

    /// A field's name, in quotes or bare.
    fn name(&mut self) -> Result<String, TypeError> {
        let rest = self.rest();
        let Some(quoted) = rest.strip_prefix('"') else {
            let end = rest.find(|c: char| c.is_whitespace() || "(),[]\"".contains(c)).unwrap_or(rest.len());
            self.offset += end;
            return match rest.get(..end) {
                None | Some("") => Err(self.expected("a field's name")),
                Some(name) => Ok(name.to_owned()),
            };
        };
        let mut name = String::new();
        let mut characters = quoted.char_indices().peekable();
        while let Some((place, character)) = characters.next() {
            if character != '"' {
                name.push(character);
            } else if characters.next_if(|(_, next)| *next == '"').is_some() {
                name.push('"');
            } else if name.is_empty() {
                break;
            } else {
                self.offset += place + 2; // both quotes
                return Ok(name);
            }
        }
        Err(self.expected("a field's name"))
    }
}

/// How many lists and structs the deepest part of a type stands in.
fn nesting_of(kind: &ColumnType) -> usize {
    match kind {
        ColumnType::List(item) => 1 + nesting_of(item),
        ColumnType::Struct(fields) => 1 + fields.iter().map(|(_, kind)| nesting_of(kind)).max().unwrap_or(0),
        _ => 0,
    }
}

fn decimal(modifiers: &[u32]) -> Result<ColumnType, TypeError> {
    let (precision, scale) = match modifiers {
        [] => (18, 3),
        [precision] => (*precision, 0),
        [precision, scale] => (*precision, *scale),
        _ => return Err(TypeError::Decimal),
    };
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale)) if scale <= precision => Ok(ColumnType::Decimal { precision, scale }),
        _ => Err(TypeError::Decimal),
    }
}

fn unsupported(name: &str, advice: &'static str) -> TypeError {
    TypeError::Unsupported { name: name.to_owned(), advice }
}

/// The refusal of a type that DuckDB knows; none for a name that it does not.
fn refused(name: &str) -> Option<TypeError> {
    let (name, advice) = match name {
        "TIMESTAMP WITH TIME ZONE" | "TIMESTAMPTZ" | "TIMESTAMPTZ_NS" => {
            ("TIMESTAMP WITH TIME ZONE", "store UTC in TIMESTAMP; offsets are converted at ingest")
        }
        "TIME WITH TIME ZONE" | "TIMETZ" => ("TIME WITH TIME ZONE", "store UTC in TIME"),
        "TIMESTAMP_NS" => (name, "TIMESTAMP holds microseconds; keep nanoseconds in a BIGINT"),
        "TIME_NS" => (name, "TIME holds microseconds; keep nanoseconds in a BIGINT"),
        "UHUGEINT" | "UINT128" => ("UHUGEINT", "use HUGEINT or DECIMAL(38,0)"),
        "BIGNUM" | "VARINT" => ("BIGNUM", "use HUGEINT, DECIMAL(38,0) or VARCHAR"),
        "ENUM" => (name, "use VARCHAR; DuckDB compresses repeated values by itself"),
        "MAP" => (name, "use STRUCT(key K, value V)[]"),
        "UNION" => (name, "use a STRUCT with one field for each alternative"),
        "JSON" => (name, "use VARCHAR; the JSON functions take it"),
        "VARIANT" => (name, "use VARCHAR that holds JSON; the JSON functions take it"),
        "BIT" | "BITSTRING" => ("BIT", "use BLOB, BOOLEAN[] or VARCHAR"),
        "GEOMETRY" => (name, "use BLOB that holds WKB, or VARCHAR that holds WKT"),
        "NULL" => (name, "give the column the type of its values"),
        "ARRAY" | "LIST" | "TUPLE" | "TYPE" => (name, "use T[] or STRUCT(name T, …)"),
        _ => return None,
    };
    Some(unsupported(name, advice))
}
