//! Makes arrays such that the crate's appender stores them as they are.
//!
//! `duckdb` 1.20000.1 (`arrow_interop/to_duckdb.rs`) drops the NULLs of intervals, leaves the
//! fields of a NULL struct as they were, so that reading a field of it gives a value, and copies
//! all values of a list array for every 2048 rows of it. So intervals travel as text that DuckDB
//! casts back, and NULLs are pushed down into structs. Every batch goes in pieces.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, ListArray, RecordBatch, StringBuilder, StructArray, UInt32Array,
    make_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNanoType, IntervalUnit, Schema};
use arrow::error::ArrowError;

/// DuckDB's vector size, and so the most rows that one thread of its appends: more are split among all
/// (`GetColumnDataScanBatchSize` in `physical_column_data_scan.cpp`), and apply would spin until the
/// others, which yield to everybody, have had a processor. On two busy cores that doubled the cost.
const PIECE: usize = 2048;

/// The batch in forms that the appender takes without loss, in pieces that one thread appends.
pub(crate) fn pieces(batch: &RecordBatch) -> Result<Vec<RecordBatch>, ArrowError> {
    let plain = |field: &Arc<Field>| !field.data_type().is_nested() && !is_interval(field.data_type());
    let plain = batch.schema().fields().iter().all(plain);
    let starts = (0..batch.num_rows()).step_by(PIECE);
    starts
        .map(|from| {
            let rows = PIECE.min(batch.num_rows() - from);
            if plain { Ok(batch.slice(from, rows)) } else { piece(batch, from, rows) }
        })
        .collect()
}

fn piece(batch: &RecordBatch, from: usize, rows: usize) -> Result<RecordBatch, ArrowError> {
    let indices = UInt32Array::from_iter_values((from..from + rows).map(|row| row as u32));
    let schema = batch.schema();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        // Taking rows, unlike slicing, leaves only the values of the lists taken.
        let column = if has_list(field.data_type()) { take(column, &indices, None)? } else { column.slice(from, rows) };
        let column = rewrite(&column)?;
        fields.push(Arc::new(Field::clone(field).with_data_type(column.data_type().clone())));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn is_interval(kind: &DataType) -> bool {
    matches!(kind, DataType::Interval(_))
}

fn has_list(kind: &DataType) -> bool {
    match kind {
        DataType::List(_) => true,
        DataType::Struct(fields) => fields.iter().any(|field| has_list(field.data_type())),
        _ => false,
    }
}

fn rewrite(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => Ok(interval_text(array)),
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let values = rewrite(list.values())?;
            let item = Arc::new(Field::clone(item).with_data_type(values.data_type().clone()));
            let list = ListArray::try_new(item, list.offsets().clone(), values, list.nulls().cloned())?;
            Ok(Arc::new(list))
        }
        DataType::Struct(fields) => {
            let rows = array.as_struct();
            let mut new_fields = Vec::with_capacity(fields.len());
            let mut columns = Vec::with_capacity(fields.len());
            for (field, column) in fields.iter().zip(rows.columns()) {
                let column = rewrite(&under_nulls(column, rows.nulls())?)?;
                new_fields.push(Arc::new(Field::clone(field).with_data_type(column.data_type().clone())));
                columns.push(column);
            }
            Ok(Arc::new(StructArray::try_new(new_fields.into(), columns, rows.nulls().cloned())?))
        }
        _ => Ok(Arc::clone(array)),
    }
}

/// The array with NULL wherever its parent is NULL.
fn under_nulls(array: &ArrayRef, parent: Option<&NullBuffer>) -> Result<ArrayRef, ArrowError> {
    let Some(parent) = parent else { return Ok(Arc::clone(array)) };
    if let Some(bytes) = array.as_any().downcast_ref::<FixedSizeBinaryArray>() {
        let nulls = NullBuffer::union(bytes.nulls(), Some(parent));
        return Ok(Arc::new(FixedSizeBinaryArray::try_new(bytes.value_length(), bytes.values().clone(), nulls)?));
    }
    let nulls = NullBuffer::union(array.nulls(), Some(parent));
    Ok(make_array(array.to_data().into_builder().nulls(nulls).build()?))
}

/// An interval as text that DuckDB reads back exactly: its three parts, each with its own sign.
fn interval_text(array: &ArrayRef) -> ArrayRef {
    let mut text = StringBuilder::new();
    for value in array.as_primitive::<IntervalMonthDayNanoType>() {
        match value {
            None => text.append_null(),
            Some(value) => text.append_value(format!(
                "{} months {} days {} microseconds",
                value.months,
                value.days,
                value.nanoseconds / 1_000
            )),
        }
    }
    Arc::new(text.finish())
}
