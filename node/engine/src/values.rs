//! Values that Arrow's types hold and DuckDB's do not: refused before they reach the log, since to append one would
//! fail, or mean something else, on every store alike.

use arrow::array::{Array, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;

/// 24:00:00, which DuckDB takes.
const DAY_MICROS: i64 = 86_400_000_000;
/// 290309-12-22 (BC) 00:00:00, DuckDB's first (`Timestamp::TIMESTAMP_MIN`); below it only minus infinity is one.
const FIRST_MICROS: i64 = -9_223_372_022_400_000_000;
/// Minus infinity, as a timestamp and as a date; the numbers below are none.
const BEFORE_MICROS: i64 = -i64::MAX;
const BEFORE_DAYS: i32 = -i32::MAX;

/// The first such value of some rows.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("row {row}, column {column:?}: {what}")]
pub struct ValueError {
    /// The row, from 1.
    pub row: u64,
    /// The column's name.
    pub column: String,
    /// What the value is, and what it is not.
    pub what: String,
}

/// Whether a store can append all of the rows.
///
/// # Errors
/// The first value of the first column that it cannot.
pub fn check(rows: &RecordBatch) -> Result<(), ValueError> {
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if let Some((row, what)) = first_bad(column, None) {
            return Err(ValueError { row: row as u64 + 1, column: field.name().clone(), what });
        }
    }
    Ok(())
}

/// The first bad value's place and what is wrong with it, but those under a NULL of the parent, which are none.
pub(crate) fn first_bad(array: &dyn Array, parent: Option<&NullBuffer>) -> Option<(usize, String)> {
    let nulls = NullBuffer::union(array.nulls(), parent);
    let there = |place: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(place));
    match array.data_type() {
        DataType::Decimal128(precision, _) => {
            let limit = 10_u128.checked_pow(u32::from(*precision)).unwrap_or(u128::MAX);
            let values = array.as_primitive::<Decimal128Type>().values();
            let place =
                values.iter().zip(0..).position(|(value, place)| value.unsigned_abs() >= limit && there(place))?;
            Some((place, format!("it has more than {precision} digits")))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let values = array.as_primitive::<Time64MicrosecondType>().values();
            let bad = |value: &i64| !(0..=DAY_MICROS).contains(value);
            let place = values.iter().zip(0..).position(|(value, place)| bad(value) && there(place))?;
            Some((place, "it is no time between 00:00:00 and 24:00:00".to_owned()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values();
            let bad = |value: i64| value < FIRST_MICROS && value != BEFORE_MICROS;
            let place = values.iter().zip(0..).position(|(value, place)| bad(*value) && there(place))?;
            Some((place, "it is before the first timestamp, in the year 290309 BC".to_owned()))
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().values();
            let place = values.iter().zip(0..).position(|(value, place)| *value < BEFORE_DAYS && there(place))?;
            Some((place, "it is before the first date, in the year 5877642 BC".to_owned()))
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            columns.filter_map(|column| first_bad(column, nulls.as_ref())).min_by_key(|(place, _)| *place)
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            // Those of a NULL list are appended with the others.
            let (first, last) = (list.offsets().first(), list.offsets().last());
            let (from, to) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
            let (place, what) = first_bad(&list.values().slice(from, to.checked_sub(from)?), None)?;
            let ends_before = |end: &i32| usize::try_from(*end).is_ok_and(|end| end <= from + place);
            Some((list.offsets().iter().skip(1).take_while(|end| ends_before(end)).count(), what))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "tests/values.rs"]
mod tests;
