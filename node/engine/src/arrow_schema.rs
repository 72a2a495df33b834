//! Which Arrow type carries which column type, to the store and in the log.
//!
//! The types are those that DuckDB's appender takes without loss. HUGEINT travels as
//! `Decimal128(38, 0)`, so its magnitude is below 10^38; UUID as sixteen big-endian bytes under
//! Arrow's `arrow.uuid` extension.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, ListArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use raftduck_model::{Column, ColumnType, Table};

/// The key of Arrow's extension name in a field's metadata.
const EXTENSION_NAME: &str = "ARROW:extension:name";
const UUID_EXTENSION: &str = "arrow.uuid";

/// The Arrow type of a column type.
pub fn data_type(kind: &ColumnType) -> DataType {
    match kind {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::TinyInt => DataType::Int8,
        ColumnType::SmallInt => DataType::Int16,
        ColumnType::Integer => DataType::Int32,
        ColumnType::BigInt => DataType::Int64,
        ColumnType::HugeInt => DataType::Decimal128(38, 0),
        ColumnType::UTinyInt => DataType::UInt8,
        ColumnType::USmallInt => DataType::UInt16,
        ColumnType::UInteger => DataType::UInt32,
        ColumnType::UBigInt => DataType::UInt64,
        ColumnType::Float => DataType::Float32,
        ColumnType::Double => DataType::Float64,
        ColumnType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
        ColumnType::Varchar => DataType::Utf8,
        ColumnType::Blob => DataType::Binary,
        ColumnType::Date => DataType::Date32,
        ColumnType::Time => DataType::Time64(TimeUnit::Microsecond),
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        ColumnType::Uuid => DataType::FixedSizeBinary(16),
        ColumnType::List(item) => DataType::List(Arc::new(field("item", item))),
        ColumnType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|(name, kind)| Arc::new(field(name, kind))).collect())
        }
    }
}

/// A nullable field of a column type. NOT NULL is checked by whoever writes, with a message that
/// names the row, and again when the entry is decoded; Arrow's own flag plays no part.
pub fn field(name: &str, kind: &ColumnType) -> Field {
    let field = Field::new(name, data_type(kind), true);
    match kind {
        ColumnType::Uuid => {
            field.with_metadata(HashMap::from([(EXTENSION_NAME.to_owned(), UUID_EXTENSION.to_owned())]))
        }
        _ => field,
    }
}

/// The schema of rows with these columns, in order.
pub fn of_columns(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|column| field(&column.name, &column.kind)).collect::<Vec<_>>()))
}

/// The schema of a table's rows at the version of its definition, hidden columns not among them.
pub fn of_table(table: &Table) -> SchemaRef {
    of_columns(&table.columns)
}

/// The schema of a table's rows as DuckDB answers them: as they are written, but UUIDs as text.
pub fn of_answer(table: &Table) -> SchemaRef {
    let columns = table.columns.iter().map(|column| Field::new(&column.name, answered(&column.kind), true));
    Arc::new(Schema::new(columns.collect::<Vec<_>>()))
}

fn answered(kind: &ColumnType) -> DataType {
    match kind {
        ColumnType::Uuid => DataType::Utf8,
        ColumnType::List(item) => DataType::List(Arc::new(Field::new("item", answered(item), true))),
        ColumnType::Struct(fields) => DataType::Struct(
            fields.iter().map(|(name, kind)| Arc::new(Field::new(name, answered(kind), true))).collect(),
        ),
        kind => data_type(kind),
    }
}

/// An array as DuckDB answers it, in the form in which the column type is written: DuckDB gives
/// UUIDs as text, and the fields of nested types under its own names.
pub fn conform(array: &ArrayRef, kind: &ColumnType) -> Result<ArrayRef, ArrowError> {
    match kind {
        ColumnType::Uuid if array.data_type() == &DataType::Utf8 => {
            let mut bytes = FixedSizeBinaryBuilder::with_capacity(array.len(), 16);
            for text in array.as_string::<i32>() {
                match text {
                    None => bytes.append_null(),
                    Some(text) => bytes.append_value(
                        uuid_bytes(text).ok_or_else(|| ArrowError::CastError(format!("{text:?} is no UUID")))?,
                    )?,
                }
            }
            Ok(Arc::new(bytes.finish()))
        }
        ColumnType::List(item) => {
            let list = array.as_list_opt::<i32>().ok_or_else(|| mismatch(array, kind))?;
            let values = conform(list.values(), item)?;
            let field = Arc::new(field("item", item));
            Ok(Arc::new(ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned())?))
        }
        ColumnType::Struct(fields) => {
            let rows = array.as_struct_opt().ok_or_else(|| mismatch(array, kind))?;
            if rows.num_columns() != fields.len() {
                return Err(mismatch(array, kind));
            }
            let columns = fields.iter().zip(rows.columns()).map(|((_, kind), column)| conform(column, kind));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let fields = fields.iter().map(|(name, kind)| Arc::new(field(name, kind))).collect();
            Ok(Arc::new(StructArray::try_new(fields, columns, rows.nulls().cloned())?))
        }
        _ => match data_type(kind) {
            wanted if array.data_type() == &wanted => Ok(Arc::clone(array)),
            wanted => cast(array, &wanted),
        },
    }
}

fn mismatch(array: &ArrayRef, kind: &ColumnType) -> ArrowError {
    ArrowError::CastError(format!("{} is no {kind}", array.data_type()))
}

fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|char| *char != '-').collect();
    (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok()).flatten().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_uuids_keep_their_extension() {
        let kind = ColumnType::List(Box::new(ColumnType::Struct(vec![("id".into(), ColumnType::Uuid)])));
        let DataType::List(item) = data_type(&kind) else { unreachable!("a list") };
        let DataType::Struct(fields) = item.data_type() else { unreachable!("a struct") };
        assert_eq!(fields[0].metadata().get(EXTENSION_NAME).map(String::as_str), Some(UUID_EXTENSION));
    }
}
