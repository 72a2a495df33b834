//! One column of a batch, and its values as text and JSON, written without a value of any kind in between.

use std::io::Write;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Int8Array, Int16Array, Int32Array,
    Int64Array, PrimitiveArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, IntervalMonthDayNanoType, IntervalUnit,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use raftduck_wire::http::Numbers;

use super::RenderError;
use super::text::{self, put};

/// A column's values, cast down once for the whole batch.
pub(super) struct Column {
    array: ArrayRef,
    kind: Kind,
}

enum Kind {
    Null,
    Boolean(BooleanArray),
    Int8(Int8Array),
    Int16(Int16Array),
    Int32(Int32Array),
    Int64(Int64Array),
    UInt8(UInt8Array),
    UInt16(UInt16Array),
    UInt32(UInt32Array),
    UInt64(UInt64Array),
    Float32(PrimitiveArray<Float32Type>),
    Float64(PrimitiveArray<Float64Type>),
    Decimal(Decimal128Array, i8),
    Text(arrow::array::StringArray),
    Blob(arrow::array::BinaryArray),
    Uuid(FixedSizeBinaryArray),
    Date(PrimitiveArray<Date32Type>),
    Time(PrimitiveArray<Time64MicrosecondType>),
    Timestamp(PrimitiveArray<TimestampMicrosecondType>),
    TimestampNanos(PrimitiveArray<TimestampNanosecondType>),
    Interval(PrimitiveArray<IntervalMonthDayNanoType>),
    /// Offsets into the items.
    List(arrow::array::ListArray, Box<Column>),
    FixedList(usize, Box<Column>),
    Struct(Vec<(String, Column)>),
    Map(arrow::array::MapArray, Box<Column>, Box<Column>),
}

/// How a value's text appears in JSON.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// As it is.
    Bare,
    /// In quotes; it holds nothing that must be escaped.
    Quoted,
}

impl Column {
    /// The column of that name.
    pub fn new(field: &Field, array: &ArrayRef) -> Result<Self, RenderError> {
        let array = simple(array)?;
        let unknown = || RenderError::Type { column: field.name().clone(), kind: field.data_type().to_string() };
        let kind = match array.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Boolean(array.as_boolean().clone()),
            DataType::Int8 => Kind::Int8(array.as_primitive().clone()),
            DataType::Int16 => Kind::Int16(array.as_primitive().clone()),
            DataType::Int32 => Kind::Int32(array.as_primitive().clone()),
            DataType::Int64 => Kind::Int64(array.as_primitive().clone()),
            DataType::UInt8 => Kind::UInt8(array.as_primitive().clone()),
            DataType::UInt16 => Kind::UInt16(array.as_primitive().clone()),
            DataType::UInt32 => Kind::UInt32(array.as_primitive().clone()),
            DataType::UInt64 => Kind::UInt64(array.as_primitive().clone()),
            DataType::Float32 => Kind::Float32(array.as_primitive().clone()),
            DataType::Float64 => Kind::Float64(array.as_primitive().clone()),
            DataType::Decimal128(_, scale) => Kind::Decimal(array.as_primitive::<Decimal128Type>().clone(), *scale),
            DataType::Utf8 => Kind::Text(array.as_string().clone()),
            DataType::Binary => Kind::Blob(array.as_binary().clone()),
            DataType::FixedSizeBinary(16) => Kind::Uuid(array.as_fixed_size_binary().clone()),
            DataType::Date32 => Kind::Date(array.as_primitive().clone()),
            DataType::Time64(TimeUnit::Microsecond) => Kind::Time(array.as_primitive().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Kind::Timestamp(array.as_primitive().clone()),
            DataType::Timestamp(TimeUnit::Nanosecond, None) => Kind::TimestampNanos(array.as_primitive().clone()),
            DataType::Interval(IntervalUnit::MonthDayNano) => Kind::Interval(array.as_primitive().clone()),
            DataType::List(item) => {
                let list = array.as_list::<i32>();
                Kind::List(list.clone(), Box::new(Self::new(&named(field, item), list.values())?))
            }
            DataType::FixedSizeList(item, length) => {
                let list = array.as_fixed_size_list();
                let length = usize::try_from(*length).map_err(|_| unknown())?;
                Kind::FixedList(length, Box::new(Self::new(&named(field, item), list.values())?))
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().zip(array.as_struct().columns());
                let columns =
                    columns.map(|(inner, column)| Ok((inner.name().clone(), Self::new(&named(field, inner), column)?)));
                Kind::Struct(columns.collect::<Result<_, RenderError>>()?)
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                let keys = Field::new(field.name(), map.keys().data_type().clone(), false);
                let values = Field::new(field.name(), map.values().data_type().clone(), true);
                let (keys, values) = (Self::new(&keys, map.keys())?, Self::new(&values, map.values())?);
                Kind::Map(map.clone(), Box::new(keys), Box::new(values))
            }
            _ => return Err(unknown()),
        };
        Ok(Self { array, kind })
    }

    /// Whether there is no value in a row.
    pub fn is_null(&self, row: usize) -> bool {
        matches!(self.kind, Kind::Null) || self.array.is_null(row)
    }

    /// A row's value as JSON.
    pub fn json(&self, row: usize, numbers: Numbers, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return out.extend(b"null");
        }
        match &self.kind {
            Kind::Text(array) => quoted(array.value(row), out),
            Kind::List(list, items) => {
                let offsets = list.value_offsets();
                let range = offsets.get(row).zip(offsets.get(row + 1));
                let (start, end) = range.map_or((0, 0), |(start, end)| (*start as usize, *end as usize));
                items.array(start..end, numbers, out);
            }
            Kind::FixedList(length, items) => items.array(row * length..(row + 1) * length, numbers, out),
            Kind::Struct(fields) => {
                let mut before = b'{';
                for (name, column) in fields {
                    out.push(before);
                    quoted(name, out);
                    out.push(b':');
                    column.json(row, numbers, out);
                    before = b',';
                }
                out.extend(if fields.is_empty() { b"{}".as_slice() } else { b"}".as_slice() });
            }
            Kind::Map(map, keys, values) => {
                let offsets = map.value_offsets();
                let range = offsets.get(row).zip(offsets.get(row + 1));
                let (start, end) = range.map_or((0, 0), |(start, end)| (*start as usize, *end as usize));
                out.push(b'{');
                for entry in start..end {
                    if entry > start {
                        out.push(b',');
                    }
                    keys.key(entry, out);
                    out.push(b':');
                    values.json(entry, numbers, out);
                }
                out.push(b'}');
            }
            _ => {
                let quotes = self.shape(row, numbers) == Shape::Quoted;
                if quotes {
                    out.push(b'"');
                }
                self.scalar(row, out);
                if quotes {
                    out.push(b'"');
                }
            }
        }
    }

    /// A row's value as bare text, for CSV; nested values as JSON.
    pub fn text(&self, row: usize, out: &mut Vec<u8>) {
        match &self.kind {
            _ if self.is_null(row) => {}
            Kind::Text(array) => out.extend(array.value(row).as_bytes()),
            Kind::List(..) | Kind::FixedList(..) | Kind::Struct(_) | Kind::Map(..) => {
                self.json(row, Numbers::Number, out);
            }
            _ => self.scalar(row, out),
        }
    }

    fn array(&self, rows: std::ops::Range<usize>, numbers: Numbers, out: &mut Vec<u8>) {
        let start = rows.start;
        out.push(b'[');
        for row in rows {
            if row > start {
                out.push(b',');
            }
            self.json(row, numbers, out);
        }
        out.push(b']');
    }

    /// A map's key: JSON has only text for it.
    fn key(&self, row: usize, out: &mut Vec<u8>) {
        let mut text = Vec::new();
        self.text(row, &mut text);
        quoted(&String::from_utf8_lossy(&text), out);
    }

    fn shape(&self, row: usize, numbers: Numbers) -> Shape {
        match &self.kind {
            Kind::Int64(_) | Kind::UInt64(_) if numbers == Numbers::String => Shape::Quoted,
            Kind::Float32(array) if !array.value(row).is_finite() => Shape::Quoted,
            Kind::Float64(array) if !array.value(row).is_finite() => Shape::Quoted,
            Kind::Boolean(_)
            | Kind::Int8(_)
            | Kind::Int16(_)
            | Kind::Int32(_)
            | Kind::Int64(_)
            | Kind::UInt8(_)
            | Kind::UInt16(_)
            | Kind::UInt32(_)
            | Kind::UInt64(_)
            | Kind::Float32(_)
            | Kind::Float64(_) => Shape::Bare,
            _ => Shape::Quoted,
        }
    }

    fn scalar(&self, row: usize, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Boolean(array) => out.extend(if array.value(row) { b"true".as_slice() } else { b"false" }),
            Kind::Int8(array) => put!(out, "{}", array.value(row)),
            Kind::Int16(array) => put!(out, "{}", array.value(row)),
            Kind::Int32(array) => put!(out, "{}", array.value(row)),
            Kind::Int64(array) => put!(out, "{}", array.value(row)),
            Kind::UInt8(array) => put!(out, "{}", array.value(row)),
            Kind::UInt16(array) => put!(out, "{}", array.value(row)),
            Kind::UInt32(array) => put!(out, "{}", array.value(row)),
            Kind::UInt64(array) => put!(out, "{}", array.value(row)),
            // Debug is the shortest text that reads back alike, with an exponent where that is shorter.
            Kind::Float32(array) => {
                let value = array.value(row);
                text::float(value.into(), |out| put!(out, "{value:?}"), out);
            }
            Kind::Float64(array) => {
                let value = array.value(row);
                text::float(value, |out| put!(out, "{value:?}"), out);
            }
            Kind::Decimal(array, scale) => text::decimal(array.value(row), *scale, out),
            Kind::Blob(array) => {
                out.extend(BASE64_STANDARD.encode(array.value(row)).into_bytes());
            }
            Kind::Uuid(array) => {
                let uuid = uuid::Uuid::from_slice(array.value(row)).unwrap_or_default();
                out.extend(uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).as_bytes());
            }
            Kind::Date(array) => text::date(array.value(row), out),
            Kind::Time(array) => text::time(array.value(row), out),
            Kind::Timestamp(array) => text::timestamp(array.value(row), out),
            Kind::TimestampNanos(array) => text::timestamp_nanos(array.value(row), out),
            Kind::Interval(array) => text::interval(array.value(row), out),
            // Written by their callers.
            Kind::Null | Kind::Text(_) | Kind::List(..) | Kind::FixedList(..) | Kind::Struct(_) | Kind::Map(..) => {}
        }
    }
}

/// The array in one of the forms above, where Arrow has several for a type.
fn simple(array: &ArrayRef) -> Result<ArrayRef, RenderError> {
    let to = match array.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::FixedSizeBinary(width) if *width != 16 => DataType::Binary,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(TimeUnit::Nanosecond) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Timestamp(unit, zone) if *unit != TimeUnit::Nanosecond => match (unit, zone) {
            (TimeUnit::Microsecond, None) => return Ok(array.clone()),
            // An instant is the same in every zone.
            _ => DataType::Timestamp(TimeUnit::Microsecond, None),
        },
        DataType::LargeList(item) => DataType::List(item.clone()),
        DataType::Dictionary(_, value) => (**value).clone(),
        _ => return Ok(array.clone()),
    };
    Ok(cast(array, &to)?)
}

/// A nested field under its column's name, for errors.
fn named(column: &Field, inner: &Field) -> Field {
    inner.clone().with_name(column.name())
}

/// Text as a JSON string.
pub(super) fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x00..=0x1f => b"",
            _ => continue,
        };
        out.extend(text.as_bytes().get(plain..at).unwrap_or_default());
        match escape {
            b"" => put!(out, "\\u{byte:04x}"),
            escape => out.extend(escape),
        }
        plain = at + 1;
    }
    out.extend(text.as_bytes().get(plain..).unwrap_or_default());
    out.push(b'"');
}
