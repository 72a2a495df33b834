//! An Arrow IPC stream into rows of a table.
//!
//! A message's own lengths are checked before Arrow's reader sees it, see [`raftduck_engine::batch::decode`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray, make_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::{MessageHeader, root_as_message};
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use raftduck_engine::{arrow_schema, batch};
use raftduck_model::{Column, ColumnType, Table, error_chain};

use super::cell::Cell;
use super::rows::{self, Rows};
use super::{IngestError, ROWS_BYTES, Sink};

/// The name of Arrow's canonical extension type for UUIDs.
const UUID_EXTENSION: &str = "arrow.uuid";
/// What opens every message since Arrow 0.15.
const MARKER: [u8; 4] = [0xff; 4];

/// One message of a stream.
struct Message {
    /// All of it.
    whole: Bytes,
    /// Its flat buffer.
    metadata: Bytes,
    kind: MessageHeader,
}

/// Where a stream stands.
struct Messages {
    rest: Bytes,
}

impl Messages {
    /// The next message; none at the stream's end.
    fn next(&mut self) -> Result<Option<Message>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let head = self.rest.get(..8).ok_or("it ends within a message's head")?;
        let (marker, length) = head.split_at(4);
        if marker != MARKER {
            return Err("there is no message where one should begin".to_owned());
        }
        let length = length.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        if length == 0 {
            return Ok(None);
        }
        let start = 8_usize.checked_add(length).filter(|end| *end <= self.rest.len());
        let start = start.ok_or("it ends within a message's metadata")?;
        let metadata = self.rest.slice(8..start);
        let message = root_as_message(&metadata).map_err(|error| format!("damaged metadata: {error}"))?;
        let kind = message.header_type();
        let body = usize::try_from(message.bodyLength()).map_err(|_| "a message's length is negative")?;
        let end = start.checked_add(body).filter(|end| *end <= self.rest.len());
        let end = end.ok_or("it ends within a message's body")?;
        let whole = self.rest.split_to(end);
        Ok(Some(Message { whole, metadata, kind }))
    }
}

/// The columns of a stream, by name and type, for a table that is to be made from it.
pub(super) fn columns(body: Bytes) -> Result<Vec<(String, ColumnType)>, IngestError> {
    let (schema, _) = open(body)?;
    let column = |field: &Field| match column_type(field) {
        Some(kind) => Ok((field.name().clone(), kind)),
        None => Err(IngestError::Unsupported {
            column: field.name().clone(),
            reason: format!("no column type holds Arrow's {}", field.data_type()),
        }),
    };
    schema.fields().iter().map(|field| column(field)).collect()
}

/// A stream's rows, in the table's columns and types.
pub(super) fn read(body: Bytes, table: &Table, target: SchemaRef) -> Result<RecordBatch, IngestError> {
    let (schema, mut messages) = open(body)?;
    let places = places(&schema, table, &target)?;
    let mut row = 1;
    let (mut batches, mut bytes) = (Vec::new(), 0_usize);
    while let Some(message) = messages.next().map_err(|reason| damaged(row, &reason))? {
        if message.kind != MessageHeader::RecordBatch {
            return Err(damaged(row, &format!("a message is {:?}, not a record batch", message.kind)));
        }
        let rows = batch::decode(message.whole, &schema).map_err(|error| damaged(row, &error_chain(&error)))?;
        let rows = conform(&rows, &places, table, &target, row)?;
        row += rows.num_rows() as u64;
        bytes = bytes.saturating_add(rows.get_array_memory_size());
        if bytes > ROWS_BYTES {
            return Err(IngestError::TooLarge { row });
        }
        batches.push(rows);
    }
    concat_batches(&target, &batches).map_err(|error| damaged(row, &error.to_string()))
}

/// The stream's schema, and what follows it.
fn open(body: Bytes) -> Result<(SchemaRef, Messages), IngestError> {
    let mut messages = Messages { rest: body };
    let first = messages.next().map_err(|reason| damaged(1, &reason))?;
    let first = first.filter(|message| message.kind == MessageHeader::Schema);
    let first = first.ok_or_else(|| damaged(1, "it does not begin with a schema"))?;
    let schema = batch::decode_schema(&first.metadata).map_err(|error| damaged(1, &error_chain(&error)))?;
    Ok((schema, messages))
}

fn damaged(row: u64, reason: &str) -> IngestError {
    IngestError::Syntax { row, reason: format!("the Arrow stream is damaged: {reason}") }
}

/// Where each of the table's columns stands in the stream; refuses columns the table does not have, and types that do
/// not become the column's.
fn places(schema: &SchemaRef, table: &Table, target: &SchemaRef) -> Result<Vec<Option<usize>>, IngestError> {
    let mut rows = Rows::new(table, target.clone())?;
    let mut places = vec![None; table.columns.len()];
    for (index, field) in schema.fields().iter().enumerate() {
        let place = rows.place(field.name(), 0)?;
        let (Some(slot), Some(column)) = (places.get_mut(place), table.columns.get(place)) else { continue };
        let unsupported = |reason| IngestError::Unsupported { column: column.name.clone(), reason };
        if slot.replace(index).is_some() {
            return Err(unsupported("the stream has it twice".to_owned()));
        }
        if !fits(field.data_type(), &column.kind) {
            return Err(unsupported(format!("Arrow's {} does not become {}", field.data_type(), column.kind)));
        }
    }
    Ok(places)
}

/// Whether values of an Arrow type are taken for a column: the same kind of value, in any width or unit.
fn fits(from: &DataType, kind: &ColumnType) -> bool {
    match kind {
        _ if *from == DataType::Null => true,
        ColumnType::Boolean => *from == DataType::Boolean,
        kind if kind.is_integer() => from.is_integer() || matches!(from, DataType::Decimal128(_, 0)),
        ColumnType::Float | ColumnType::Double => from.is_floating() || from.is_integer(),
        ColumnType::Decimal { .. } => from.is_integer() || matches!(from, DataType::Decimal128(..)),
        ColumnType::Varchar => text(from),
        ColumnType::Blob => {
            matches!(
                from,
                DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
            )
        }
        ColumnType::Date => matches!(from, DataType::Date32),
        ColumnType::Time => matches!(from, DataType::Time32(_) | DataType::Time64(_)),
        ColumnType::Timestamp => matches!(from, DataType::Timestamp(..) | DataType::Date32),
        ColumnType::Interval => matches!(from, DataType::Interval(_)),
        ColumnType::Uuid => *from == DataType::FixedSizeBinary(16) || text(from),
        ColumnType::List(item) => match from {
            DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
                fits(field.data_type(), item)
            }
            _ => false,
        },
        ColumnType::Struct(kinds) => match from {
            DataType::Struct(fields) => {
                fields.len() == kinds.len()
                    && fields.iter().zip(kinds).all(|(field, (name, kind))| {
                        field.name().eq_ignore_ascii_case(name) && fits(field.data_type(), kind)
                    })
            }
            _ => false,
        },
        // Every integer was told above.
        _ => false,
    }
}

fn text(from: &DataType) -> bool {
    matches!(from, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The column type whose values an Arrow type holds, none lost.
fn column_type(field: &Field) -> Option<ColumnType> {
    Some(match field.data_type() {
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int8 => ColumnType::TinyInt,
        DataType::Int16 => ColumnType::SmallInt,
        DataType::Int32 => ColumnType::Integer,
        DataType::Int64 => ColumnType::BigInt,
        DataType::UInt8 => ColumnType::UTinyInt,
        DataType::UInt16 => ColumnType::USmallInt,
        DataType::UInt32 => ColumnType::UInteger,
        DataType::UInt64 => ColumnType::UBigInt,
        DataType::Float16 | DataType::Float32 => ColumnType::Float,
        DataType::Float64 => ColumnType::Double,
        DataType::Decimal128(precision, scale) => {
            ColumnType::Decimal { precision: *precision, scale: u8::try_from(*scale).ok()? }
        }
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Varchar,
        DataType::FixedSizeBinary(16) if field.extension_type_name() == Some(UUID_EXTENSION) => ColumnType::Uuid,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ColumnType::Blob
        }
        DataType::Date32 => ColumnType::Date,
        DataType::Time32(_) | DataType::Time64(_) => ColumnType::Time,
        DataType::Timestamp(..) => ColumnType::Timestamp,
        DataType::Interval(_) => ColumnType::Interval,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            ColumnType::List(Box::new(column_type(item)?))
        }
        DataType::Struct(fields) => ColumnType::Struct(
            fields.iter().map(|field| Some((field.name().clone(), column_type(field)?))).collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

/// A batch of the stream in the table's columns.
fn conform(
    rows: &RecordBatch,
    places: &[Option<usize>],
    table: &Table,
    target: &SchemaRef,
    first_row: u64,
) -> Result<RecordBatch, IngestError> {
    let mut arrays = Vec::with_capacity(places.len());
    for ((place, column), field) in places.iter().zip(&table.columns).zip(target.fields()) {
        let array = match place.and_then(|place| rows.columns().get(place)) {
            Some(array) => convert(array, column).map_err(|(row, reason)| IngestError::Value {
                row: first_row + row as u64,
                column: column.name.clone(),
                reason,
            })?,
            None => rows::defaults(table, column, field, rows.num_rows(), first_row)?,
        };
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(target.clone(), arrays, &options)
        .map_err(|error| damaged(first_row, &error.to_string()))
}

/// An array as its column's type; else the first row that does not fit, from 0, and why.
fn convert(array: &ArrayRef, column: &Column) -> Result<ArrayRef, (usize, String)> {
    if let Some(nulls) = array.logical_nulls()
        && !column.nullable
        && let Some(row) = (0..nulls.len()).find(|row| nulls.is_null(*row))
    {
        return Err((row, "NULL, but the column is NOT NULL".to_owned()));
    }
    converted(array, &column.kind).map_err(|_| {
        // Arrow's errors name no row: halve until the first is found that fails.
        let (mut fits, mut fails) = (0, array.len());
        while fails - fits > 1 {
            let middle = fits + (fails - fits) / 2;
            match converted(&array.slice(fits, middle - fits), &column.kind) {
                Ok(_) => fits = middle,
                Err(_) => fails = middle,
            }
        }
        let value = array_value_to_string(array, fits).unwrap_or_default();
        (fits, format!("{} is not {}", Cell::Number(&value).excerpt(), column.kind))
    })
}

fn converted(array: &ArrayRef, kind: &ColumnType) -> Result<ArrayRef, ArrowError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    match (kind, array.data_type()) {
        (ColumnType::Uuid, from) if text(from) => {
            arrow_schema::conform(&cast_with_options(array, &DataType::Utf8, &strict)?, kind)
        }
        (ColumnType::Timestamp, DataType::Timestamp(unit, Some(_))) => {
            // Arrow counts from 1970 in UTC whatever the zone is for; its cast would shift to the zone's clocks.
            let utc = DataType::Timestamp(*unit, None);
            let utc = make_array(array.to_data().into_builder().data_type(utc).build()?);
            cast_with_options(&utc, &arrow_schema::data_type(kind), &strict)
        }
        (ColumnType::List(item), from) if from.is_nested() => {
            let field = |kind: &DataType| Arc::new(Field::new("item", kind.clone(), true));
            let (DataType::List(old) | DataType::LargeList(old) | DataType::FixedSizeList(old, _)) = from else {
                return Err(ArrowError::CastError(format!("{from} is no list")));
            };
            let list = cast_with_options(array, &DataType::List(field(old.data_type())), &strict)?;
            let list = list.as_list::<i32>();
            let first = list.offsets().first() as usize;
            let last = list.offsets().last() as usize;
            // A slice's values are those of the whole array.
            let values = converted(&list.values().slice(first, last - first), item)?;
            let offsets = OffsetBuffer::from_lengths(list.offsets().lengths());
            let DataType::List(field) = arrow_schema::data_type(kind) else {
                return Err(ArrowError::CastError(format!("{kind} is no list")));
            };
            Ok(Arc::new(ListArray::try_new(field, offsets, values, list.nulls().cloned())?))
        }
        (ColumnType::Struct(kinds), DataType::Struct(_)) => {
            let rows = array.as_struct();
            let columns = rows.columns().iter().zip(kinds).map(|(column, (_, kind))| converted(column, kind));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let DataType::Struct(fields) = arrow_schema::data_type(kind) else {
                return Err(ArrowError::CastError(format!("{kind} is no struct")));
            };
            Ok(Arc::new(StructArray::try_new(fields, columns, rows.nulls().cloned())?))
        }
        _ => cast_with_options(array, &arrow_schema::data_type(kind), &strict),
    }
}
