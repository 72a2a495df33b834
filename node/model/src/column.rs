//! Column types: those a table may have, and DuckDB's text for them.
//!
//! The text is what is stored, sent and shown. Reading it takes DuckDB's aliases (`INT`, `TEXT`,
//! `DOUBLE PRECISION`, …); `TIMESTAMP_S` and `TIMESTAMP_MS` become `TIMESTAMP`, which holds every
//! value of theirs, and `TIMESTAMP_NS` is refused, because it does not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ident;

mod parse;

pub use parse::{MAX_NESTING, MAX_TYPE_BYTES, TypeError};

/// A column's type. [`fmt::Display`] gives DuckDB's text, [`FromStr`] reads it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ColumnType {
    /// BOOLEAN.
    Boolean,
    /// TINYINT, 8 bits.
    TinyInt,
    /// SMALLINT, 16 bits.
    SmallInt,
    /// INTEGER, 32 bits.
    Integer,
    /// BIGINT, 64 bits.
    BigInt,
    /// HUGEINT, 128 bits.
    HugeInt,
    /// UTINYINT, 8 bits, unsigned.
    UTinyInt,
    /// USMALLINT, 16 bits, unsigned.
    USmallInt,
    /// UINTEGER, 32 bits, unsigned.
    UInteger,
    /// UBIGINT, 64 bits, unsigned.
    UBigInt,
    /// FLOAT, 32 bits.
    Float,
    /// DOUBLE, 64 bits.
    Double,
    /// DECIMAL(precision,scale).
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, at most `precision`.
        scale: u8,
    },
    /// VARCHAR, UTF-8.
    Varchar,
    /// BLOB.
    Blob,
    /// DATE, days since 1970-01-01.
    Date,
    /// TIME, microseconds since midnight.
    Time,
    /// TIMESTAMP, microseconds since 1970-01-01 00:00:00, UTC by convention.
    Timestamp,
    /// INTERVAL: months, days and microseconds.
    Interval,
    /// UUID.
    Uuid,
    /// T[].
    List(Box<ColumnType>),
    /// STRUCT(name T, …), names distinct without regard to ASCII case.
    Struct(Vec<(String, ColumnType)>),
}

impl ColumnType {
    /// Whether a column of this type may be a table's partition key: whether
    /// [`crate::hash::KeyValue`] has a canonical form for it.
    pub fn is_key(&self) -> bool {
        matches!(self, Self::Boolean | Self::Varchar | Self::Date | Self::Timestamp | Self::Uuid) || self.is_integer()
    }

    /// Whether it is an integer of any width.
    pub fn is_integer(&self) -> bool {
        let signed = matches!(self, Self::TinyInt | Self::SmallInt | Self::Integer | Self::BigInt | Self::HugeInt);
        signed || matches!(self, Self::UTinyInt | Self::USmallInt | Self::UInteger | Self::UBigInt)
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Boolean => "BOOLEAN",
            Self::TinyInt => "TINYINT",
            Self::SmallInt => "SMALLINT",
            Self::Integer => "INTEGER",
            Self::BigInt => "BIGINT",
            Self::HugeInt => "HUGEINT",
            Self::UTinyInt => "UTINYINT",
            Self::USmallInt => "USMALLINT",
            Self::UInteger => "UINTEGER",
            Self::UBigInt => "UBIGINT",
            Self::Float => "FLOAT",
            Self::Double => "DOUBLE",
            Self::Varchar => "VARCHAR",
            Self::Blob => "BLOB",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::Timestamp => "TIMESTAMP",
            Self::Interval => "INTERVAL",
            Self::Uuid => "UUID",
            Self::Decimal { precision, scale } => return write!(f, "DECIMAL({precision},{scale})"),
            Self::List(item) => return write!(f, "{item}[]"),
            Self::Struct(fields) => {
                f.write_str("STRUCT(")?;
                for (place, (name, kind)) in fields.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    write!(f, "{comma}{} {kind}", ident::quote(name))?;
                }
                ")"
            }
        };
        f.write_str(name)
    }
}

impl FromStr for ColumnType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        parse::parse(text)
    }
}

impl Serialize for ColumnType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
