//! DuckDB's names of an answer's types.
//!
//! A store may say a column's type in its field's metadata. Without that it is the name that DuckDB has for what
//! Arrow carries; Arrow carries HUGEINT as DECIMAL(38,0), and UUID, JSON and ENUM as text.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use raftduck_model::ident::quote;

/// The key in a field's metadata under which a store says the column's type.
pub const TYPE_KEY: &str = "raftduck:type";
const EXTENSION: &str = "ARROW:extension:name";

/// A column's type as DuckDB writes it.
pub fn name(field: &Field) -> String {
    if let Some(known) = field.metadata().get(TYPE_KEY) {
        return known.clone();
    }
    match field.metadata().get(EXTENSION).map(String::as_str) {
        Some("arrow.uuid") => return "UUID".to_owned(),
        Some("arrow.json") => return "JSON".to_owned(),
        _ => {}
    }
    of(field.data_type())
}

fn of(kind: &DataType) -> String {
    match kind {
        DataType::Null => "\"NULL\"",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "UTINYINT",
        DataType::UInt16 => "USMALLINT",
        DataType::UInt32 => "UINTEGER",
        DataType::UInt64 => "UBIGINT",
        DataType::Float16 | DataType::Float32 => "FLOAT",
        DataType::Float64 => "DOUBLE",
        DataType::Decimal128(38, 0) => "HUGEINT",
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => return format!("DECIMAL({precision},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BLOB",
        DataType::FixedSizeBinary(16) => "UUID",
        DataType::FixedSizeBinary(_) => "BLOB",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(TimeUnit::Microsecond) => "TIME",
        DataType::Time64(_) => "TIME_NS",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Timestamp(TimeUnit::Second, None) => "TIMESTAMP_S",
        DataType::Timestamp(TimeUnit::Millisecond, None) => "TIMESTAMP_MS",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "TIMESTAMP",
        DataType::Timestamp(TimeUnit::Nanosecond, None) => "TIMESTAMP_NS",
        DataType::Interval(IntervalUnit::MonthDayNano) => "INTERVAL",
        DataType::List(item) | DataType::LargeList(item) => return format!("{}[]", name(item)),
        DataType::FixedSizeList(item, length) => return format!("{}[{length}]", name(item)),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{} {}", quote(field.name()), name(field))).collect();
            return format!("STRUCT({})", fields.join(", "));
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { return "MAP".to_owned() };
            let sides: Vec<String> = fields.iter().map(|field| name(field)).collect();
            return format!("MAP({})", sides.join(", "));
        }
        DataType::Dictionary(_, value) => return of(value),
        other => return other.to_string().to_uppercase(),
    }
    .to_owned()
}
