//! One column being filled, value by value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBufferBuilder, BooleanBuilder, Decimal128Builder, FixedSizeBinaryBuilder,
    IntervalMonthDayNanoBuilder, ListArray, PrimitiveBuilder, StringBuilder, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use raftduck_model::ColumnType;

use super::cell::Cell;
use super::number::{self, Rest};
use super::{json, time};

/// A column's values so far. The variant follows the Arrow type that the engine wants for the column's type.
pub(super) enum Column {
    Boolean(BooleanBuilder),
    Int8(PrimitiveBuilder<Int8Type>),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    UInt8(PrimitiveBuilder<UInt8Type>),
    UInt16(PrimitiveBuilder<UInt16Type>),
    UInt32(PrimitiveBuilder<UInt32Type>),
    UInt64(PrimitiveBuilder<UInt64Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    /// DECIMAL, and HUGEINT as DECIMAL(38,0).
    Decimal(Decimal128Builder, u8, u8),
    Text(StringBuilder),
    /// UUID whose Arrow type is text: checked, and written in lower case.
    UuidText(StringBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Blob(BinaryBuilder),
    Date(PrimitiveBuilder<Date32Type>),
    Time(PrimitiveBuilder<Time64MicrosecondType>),
    Timestamp(PrimitiveBuilder<TimestampMicrosecondType>),
    Interval(IntervalMonthDayNanoBuilder),
    List {
        field: FieldRef,
        ends: Vec<i32>,
        valid: BooleanBufferBuilder,
        items: Box<Column>,
    },
    Struct {
        fields: Fields,
        valid: BooleanBufferBuilder,
        columns: Vec<Column>,
    },
}

impl Column {
    /// An empty column for values of `kind`; none where `target` is no form of that type.
    pub(super) fn new(kind: &ColumnType, target: &DataType) -> Option<Self> {
        Some(match (kind, target) {
            (ColumnType::Boolean, DataType::Boolean) => Self::Boolean(BooleanBuilder::new()),
            (ColumnType::TinyInt, DataType::Int8) => Self::Int8(PrimitiveBuilder::new()),
            (ColumnType::SmallInt, DataType::Int16) => Self::Int16(PrimitiveBuilder::new()),
            (ColumnType::Integer, DataType::Int32) => Self::Int32(PrimitiveBuilder::new()),
            (ColumnType::BigInt, DataType::Int64) => Self::Int64(PrimitiveBuilder::new()),
            (ColumnType::UTinyInt, DataType::UInt8) => Self::UInt8(PrimitiveBuilder::new()),
            (ColumnType::USmallInt, DataType::UInt16) => Self::UInt16(PrimitiveBuilder::new()),
            (ColumnType::UInteger, DataType::UInt32) => Self::UInt32(PrimitiveBuilder::new()),
            (ColumnType::UBigInt, DataType::UInt64) => Self::UInt64(PrimitiveBuilder::new()),
            (ColumnType::Float, DataType::Float32) => Self::Float32(PrimitiveBuilder::new()),
            (ColumnType::Double, DataType::Float64) => Self::Float64(PrimitiveBuilder::new()),
            (ColumnType::HugeInt | ColumnType::Decimal { .. }, DataType::Decimal128(precision, scale)) => {
                let builder = Decimal128Builder::new().with_data_type(target.clone());
                Self::Decimal(builder, *precision, u8::try_from(*scale).ok()?)
            }
            (ColumnType::Varchar, DataType::Utf8) => Self::Text(StringBuilder::new()),
            (ColumnType::Uuid, DataType::Utf8) => Self::UuidText(StringBuilder::new()),
            (ColumnType::Uuid, DataType::FixedSizeBinary(16)) => Self::Uuid(FixedSizeBinaryBuilder::new(16)),
            (ColumnType::Blob, DataType::Binary) => Self::Blob(BinaryBuilder::new()),
            (ColumnType::Date, DataType::Date32) => Self::Date(PrimitiveBuilder::new()),
            (ColumnType::Time, DataType::Time64(TimeUnit::Microsecond)) => Self::Time(PrimitiveBuilder::new()),
            (ColumnType::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, None)) => {
                Self::Timestamp(PrimitiveBuilder::new())
            }
            (ColumnType::Interval, DataType::Interval(IntervalUnit::MonthDayNano)) => {
                Self::Interval(IntervalMonthDayNanoBuilder::new())
            }
            (ColumnType::List(item), DataType::List(field)) => Self::List {
                field: field.clone(),
                ends: vec![0],
                valid: BooleanBufferBuilder::new(0),
                items: Box::new(Self::new(item, field.data_type())?),
            },
            (ColumnType::Struct(kinds), DataType::Struct(fields)) if kinds.len() == fields.len() => Self::Struct {
                fields: fields.clone(),
                valid: BooleanBufferBuilder::new(0),
                columns: kinds
                    .iter()
                    .zip(fields)
                    .map(|((_, kind), field)| Self::new(kind, field.data_type()))
                    .collect::<Option<_>>()?,
            },
            _ => return None,
        })
    }

    /// Adds a value. The error says what was found and what it is not; the column may then hold half a row and is
    /// of no further use.
    pub(super) fn push(&mut self, cell: Cell<'_>, kind: &ColumnType) -> Result<(), String> {
        if cell == Cell::Null {
            self.push_null();
            return Ok(());
        }
        let pushed = match (&mut *self, cell) {
            (Self::List { ends, valid, items, .. }, Cell::Json(text) | Cell::Text(text)) => {
                let ColumnType::List(item) = kind else { return Err(mismatch(cell, kind)) };
                let mut count = 0_i32;
                json::each_item(text, |cell| {
                    count += 1;
                    items.push(cell, item)
                })?;
                let end = ends.last().copied().unwrap_or(0).checked_add(count).ok_or("too many list items")?;
                ends.push(end);
                valid.append(true);
                Some(())
            }
            (Self::Struct { columns, valid, .. }, Cell::Json(text) | Cell::Text(text)) => {
                let ColumnType::Struct(kinds) = kind else { return Err(mismatch(cell, kind)) };
                push_struct(text, columns, kinds)?;
                valid.append(true);
                Some(())
            }
            (Self::Text(builder), Cell::Text(text) | Cell::Number(text) | Cell::Json(text)) => {
                builder.append_value(text);
                Some(())
            }
            (Self::Text(builder), Cell::Bool(value)) => {
                builder.append_value(if value { "true" } else { "false" });
                Some(())
            }
            (Self::Boolean(builder), Cell::Bool(value)) => {
                builder.append_value(value);
                Some(())
            }
            (_, Cell::Text(text) | Cell::Number(text)) => self.push_scalar(text),
            _ => None,
        };
        pushed.ok_or_else(|| match (self, cell) {
            (Self::Timestamp(_) | Self::Date(_) | Self::Time(_), Cell::Number(_)) => {
                format!("{} is not {kind}: {}", cell.excerpt(), time::EPOCH_ADVICE)
            }
            (Self::Blob(_), _) => format!("{} is not base64, as a BLOB is written", cell.excerpt()),
            _ => mismatch(cell, kind),
        })
    }

    /// Numbers, times and the like, from a JSON number, a JSON string or a CSV cell alike.
    fn push_scalar(&mut self, text: &str) -> Option<()> {
        fn integer<T: TryFrom<i128>>(text: &str) -> Option<T> {
            T::try_from(number::scaled(text, 0, Rest::Refused)?).ok()
        }
        match self {
            Self::Int8(builder) => builder.append_value(integer(text)?),
            Self::Int16(builder) => builder.append_value(integer(text)?),
            Self::Int32(builder) => builder.append_value(integer(text)?),
            Self::Int64(builder) => builder.append_value(integer(text)?),
            Self::UInt8(builder) => builder.append_value(integer(text)?),
            Self::UInt16(builder) => builder.append_value(integer(text)?),
            Self::UInt32(builder) => builder.append_value(integer(text)?),
            Self::UInt64(builder) => builder.append_value(integer(text)?),
            Self::Float32(builder) => {
                builder.append_value(text.parse().ok().filter(|v: &f32| finite_or_said(v.is_infinite(), text))?)
            }
            Self::Float64(builder) => {
                builder.append_value(text.parse().ok().filter(|v: &f64| finite_or_said(v.is_infinite(), text))?)
            }
            Self::Decimal(builder, precision, 0) => {
                let value: i128 = number::scaled(text, 0, Rest::Rounds)?;
                builder
                    .append_value((value.unsigned_abs() < 10_u128.checked_pow((*precision).into())?).then_some(value)?);
            }
            Self::Decimal(builder, precision, scale) => {
                builder.append_value(number::decimal(text, *precision, *scale)?)
            }
            Self::UuidText(builder) => builder.append_value(uuid::Uuid::parse_str(text).ok()?.to_string()),
            Self::Uuid(builder) => builder.append_value(uuid::Uuid::parse_str(text).ok()?.as_bytes()).ok()?,
            Self::Blob(builder) => builder.append_value(BASE64_STANDARD.decode(text).ok()?),
            Self::Date(builder) => builder.append_value(time::date(text)?),
            Self::Time(builder) => builder.append_value(time::time(text)?),
            Self::Timestamp(builder) => builder.append_value(time::timestamp(text)?),
            Self::Interval(builder) => {
                let (months, days, nanoseconds) = time::interval(text)?;
                builder.append_value(IntervalMonthDayNano { months, days, nanoseconds });
            }
            Self::Boolean(builder) => builder.append_value(match text {
                _ if text.eq_ignore_ascii_case("true") => true,
                _ if text.eq_ignore_ascii_case("false") => false,
                _ => return None,
            }),
            Self::Text(_) | Self::List { .. } | Self::Struct { .. } => return None,
        }
        Some(())
    }

    fn push_null(&mut self) {
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Int8(builder) => builder.append_null(),
            Self::Int16(builder) => builder.append_null(),
            Self::Int32(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::UInt8(builder) => builder.append_null(),
            Self::UInt16(builder) => builder.append_null(),
            Self::UInt32(builder) => builder.append_null(),
            Self::UInt64(builder) => builder.append_null(),
            Self::Float32(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Decimal(builder, ..) => builder.append_null(),
            Self::Text(builder) | Self::UuidText(builder) => builder.append_null(),
            Self::Uuid(builder) => builder.append_null(),
            Self::Blob(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
            Self::Interval(builder) => builder.append_null(),
            Self::List { ends, valid, .. } => {
                ends.push(ends.last().copied().unwrap_or(0));
                valid.append(false);
            }
            Self::Struct { columns, valid, .. } => {
                columns.iter_mut().for_each(Self::push_null);
                valid.append(false);
            }
        }
    }

    /// The column, whole.
    pub(super) fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::Int8(mut builder) => Arc::new(builder.finish()),
            Self::Int16(mut builder) => Arc::new(builder.finish()),
            Self::Int32(mut builder) => Arc::new(builder.finish()),
            Self::Int64(mut builder) => Arc::new(builder.finish()),
            Self::UInt8(mut builder) => Arc::new(builder.finish()),
            Self::UInt16(mut builder) => Arc::new(builder.finish()),
            Self::UInt32(mut builder) => Arc::new(builder.finish()),
            Self::UInt64(mut builder) => Arc::new(builder.finish()),
            Self::Float32(mut builder) => Arc::new(builder.finish()),
            Self::Float64(mut builder) => Arc::new(builder.finish()),
            Self::Decimal(mut builder, ..) => Arc::new(builder.finish()),
            Self::Text(mut builder) | Self::UuidText(mut builder) => Arc::new(builder.finish()),
            Self::Uuid(mut builder) => Arc::new(builder.finish()),
            Self::Blob(mut builder) => Arc::new(builder.finish()),
            Self::Date(mut builder) => Arc::new(builder.finish()),
            Self::Time(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder) => Arc::new(builder.finish()),
            Self::Interval(mut builder) => Arc::new(builder.finish()),
            Self::List { field, ends, mut valid, items } => {
                let nulls = NullBuffer::new(valid.finish());
                Arc::new(ListArray::try_new(field, OffsetBuffer::new(ends.into()), items.finish()?, Some(nulls))?)
            }
            Self::Struct { fields, mut valid, columns } => {
                let nulls = NullBuffer::new(valid.finish());
                let arrays = columns.into_iter().map(Self::finish).collect::<Result<_, _>>()?;
                Arc::new(StructArray::try_new(fields, arrays, Some(nulls))?)
            }
        })
    }
}

fn push_struct(text: &str, columns: &mut [Column], kinds: &[(String, ColumnType)]) -> Result<(), String> {
    let mut given = vec![false; columns.len()];
    json::each_field(text, |name, cell| {
        let found = kinds.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((place, (column, (_, kind)))) =
            found.and_then(|place| Some((place, columns.get_mut(place).zip(kinds.get(place))?)))
        else {
            return Err(format!("the STRUCT has no field {name:?}"));
        };
        match given.get_mut(place) {
            Some(given) if !*given => *given = true,
            _ => return Err(format!("field {name:?} is given twice")),
        }
        column.push(cell, kind).map_err(|reason| format!("field {name:?}: {reason}"))
    })?;
    columns.iter_mut().zip(given).filter(|(_, given)| !given).for_each(|(column, _)| column.push_null());
    Ok(())
}

/// A number too large for a float reads as infinity; only the word itself means it.
fn finite_or_said(infinite: bool, text: &str) -> bool {
    !infinite || text.trim_start_matches(['-', '+']).starts_with(['i', 'I'])
}

fn mismatch(cell: Cell<'_>, kind: &ColumnType) -> String {
    format!("{} is not {kind}", cell.excerpt())
}
