//! One batch into parts, each for one partition and small enough for one log entry.
//!
//! A retry must split alike, on whatever control it arrives: a part's key is the request's key and the part's ordinal
//! in its partition. So the cut is a function of the rows alone, by sizes that no encoder has a say in, and a part's
//! digest holds the whole layout: if a later version ever cut differently, the keys would be refused as used for
//! another body, and nothing would be written twice.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use bytes::Bytes;
use raftduck_engine::batch::EncodeError;
use raftduck_model::hash::{BodyHasher, KeyValue, key_digest, partition_of};
use raftduck_model::{BodyDigest, KeyDigest, PartitionId, Table, limits};

/// Where a part is cut, by the rows' own sizes; below an entry's limit by what Arrow's headers and padding add.
const PART_BYTES: u64 = limits::ENTRY_BYTES as u64 / 4 * 3;
/// What a row counts beyond its values.
const ROW_BYTES: u64 = 8;

/// A write's identity.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The `Idempotency-Key`, the client's or ours.
    pub key: &'a str,
    /// The digest of the body as the client sent it, after decompression.
    pub digest: BodyDigest,
}

/// One partition's rows, as one log entry's part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The partition all its rows belong to.
    pub partition: PartitionId,
    /// Never used for other rows.
    pub key: KeyDigest,
    /// What the key stands for.
    pub digest: BodyDigest,
    /// How many rows.
    pub rows: u32,
    /// They, encoded.
    pub data: Bytes,
}

/// Why a batch has no parts.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// A row that no log entry holds.
    #[error("a row takes more than {} bytes", limits::ENTRY_BYTES)]
    RowTooLarge,
    /// A key column whose Arrow form has no canonical bytes.
    #[error("column {0:?} cannot be a partition key")]
    NoKey(String),
    /// The rows cannot be picked out of the batch.
    #[error("the rows cannot be picked out of their batch")]
    Take(#[from] ArrowError),
    /// The rows cannot be encoded.
    #[error("the rows cannot be encoded")]
    Encode(#[from] EncodeError),
}

/// Cuts `batch`, which has the table's columns, into parts; `encode` makes an entry's bytes of rows.
pub fn split(
    batch: &RecordBatch,
    table: &Table,
    partitions: NonZeroU32,
    request: Request<'_>,
    encode: &dyn Fn(&RecordBatch) -> Result<Bytes, EncodeError>,
) -> Result<Vec<Part>, SplitError> {
    let name = || SplitError::NoKey(table.key_column().map(|column| column.name.clone()).unwrap_or_default());
    let column = batch.columns().get(table.key).ok_or_else(name)?;
    let mut rows: BTreeMap<PartitionId, Vec<u32>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let key = key_at(column.as_ref(), row).ok_or_else(name)?;
        rows.entry(partition_of(key, partitions)).or_default().push(row as u32);
    }
    let sizes = row_sizes(batch);
    let mut parts = Vec::new();
    for (partition, rows) in rows {
        let mut encoded = Vec::new();
        for chunk in cut(&rows, &sizes) {
            encode_chunk(batch, chunk, encode, &mut encoded)?;
        }
        let count = encoded.len();
        for (ordinal, (rows, data)) in encoded.into_iter().enumerate() {
            let key = match ordinal {
                0 => key_digest(table.id, request.key),
                // No header holds a NUL, so no other request's key looks like this.
                _ => key_digest(table.id, &format!("{}\0{ordinal}", request.key)),
            };
            let mut digest = BodyHasher::new();
            for number in [request.digest.0, count as u64, ordinal as u64, u64::from(rows)] {
                digest.update(&number.to_le_bytes());
            }
            parts.push(Part { partition, key, digest: digest.finish(), rows, data });
        }
    }
    Ok(parts)
}

/// Runs of rows that stay below [`PART_BYTES`]; at least one row each.
fn cut<'a>(rows: &'a [u32], sizes: &[u64]) -> Vec<&'a [u32]> {
    let (mut chunks, mut start, mut bytes) = (Vec::new(), 0, 0_u64);
    for (place, row) in rows.iter().enumerate() {
        let size = sizes.get(*row as usize).copied().unwrap_or(ROW_BYTES);
        if place > start && bytes.saturating_add(size) > PART_BYTES {
            chunks.extend(rows.get(start..place));
            (start, bytes) = (place, 0);
        }
        bytes = bytes.saturating_add(size);
    }
    chunks.extend(rows.get(start..).filter(|rest| !rest.is_empty()));
    chunks
}

/// Encodes a chunk, in halves where it came out too large after all.
fn encode_chunk(
    batch: &RecordBatch,
    rows: &[u32],
    encode: &dyn Fn(&RecordBatch) -> Result<Bytes, EncodeError>,
    out: &mut Vec<(u32, Bytes)>,
) -> Result<(), SplitError> {
    let data = encode(&take_record_batch(batch, &UInt32Array::from(rows.to_vec()))?)?;
    match rows.split_at_checked(rows.len() / 2) {
        _ if data.len() <= limits::ENTRY_BYTES => out.push((rows.len() as u32, data)),
        Some((front, back)) if !front.is_empty() => {
            encode_chunk(batch, front, encode, out)?;
            encode_chunk(batch, back, encode, out)?;
        }
        _ => return Err(SplitError::RowTooLarge),
    }
    Ok(())
}

/// The canonical value of a partition key column in one row; none where its type has none.
pub fn key_at(column: &dyn Array, row: usize) -> Option<KeyValue<'_>> {
    if column.is_null(row) {
        return Some(KeyValue::Null);
    }
    macro_rules! integer {
        ($kind:ty) => {
            KeyValue::Integer(i128::from(column.as_primitive::<$kind>().value(row)))
        };
    }
    Some(match column.data_type() {
        DataType::Boolean => KeyValue::Boolean(column.as_boolean().value(row)),
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 => integer!(UInt8Type),
        DataType::UInt16 => integer!(UInt16Type),
        DataType::UInt32 => integer!(UInt32Type),
        DataType::UInt64 => integer!(UInt64Type),
        DataType::Decimal128(_, 0) => integer!(Decimal128Type),
        DataType::Utf8 => KeyValue::Text(column.as_string::<i32>().value(row)),
        DataType::FixedSizeBinary(16) => {
            KeyValue::Uuid(uuid::Uuid::from_slice(column.as_fixed_size_binary().value(row)).ok()?)
        }
        DataType::Date32 => KeyValue::Date(column.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None) => {
            KeyValue::Timestamp(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        _ => return None,
    })
}

/// What each row counts: its values' own bytes, NULLs nothing.
fn row_sizes(batch: &RecordBatch) -> Vec<u64> {
    let mut sizes = vec![ROW_BYTES; batch.num_rows()];
    batch.columns().iter().for_each(|column| add_sizes(column.as_ref(), &mut sizes));
    sizes
}

fn add_sizes(array: &dyn Array, sizes: &mut [u64]) {
    let mut add = |of: &dyn Fn(usize) -> u64| {
        for (row, size) in sizes.iter_mut().enumerate() {
            if array.is_valid(row) {
                *size = size.saturating_add(of(row));
            }
        }
    };
    match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            add(&|row| 4 + array.value_length(row) as u64);
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            add(&|row| 4 + array.value_length(row) as u64);
        }
        DataType::List(_) => {
            let array = array.as_list::<i32>();
            let mut items = vec![0; array.values().len()];
            add_sizes(array.values().as_ref(), &mut items);
            let offsets = array.value_offsets();
            add(&|row| {
                let bounds = offsets.get(row).zip(offsets.get(row + 1));
                let items = bounds.and_then(|(start, end)| items.get(*start as usize..*end as usize));
                4 + items.map(|items| items.iter().sum()).unwrap_or(0)
            });
        }
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|field| add_sizes(field.as_ref(), sizes)),
        DataType::Boolean => add(&|_| 1),
        other => {
            let width = other.primitive_width().unwrap_or(16) as u64;
            add(&|_| width);
        }
    }
}

#[cfg(test)]
mod tests;
