//! The benchmarks' rows: readings of devices, the same at every run.

use std::sync::Arc;

use anyhow::Context;
use arrow::array::{Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;

/// The readings' table.
pub const CREATE: &str =
    "CREATE TABLE readings (device INTEGER, id BIGINT, ts TIMESTAMP, celsius DOUBLE, state VARCHAR)";

const DEVICES: u64 = 10_000;
const STATES: [&str; 4] = ["idle", "running", "alarm", "off"];
/// 2026-01-01T00:00:00Z, in microseconds.
const START: i64 = 1_767_225_600_000_000;

/// Rows `from` to `from + rows`.
///
/// # Errors
/// Never in fact: the columns are of one length.
pub fn batch(from: u64, rows: u32) -> anyhow::Result<RecordBatch> {
    let ids = || from..from + u64::from(rows);
    let schema = Schema::new(vec![
        Field::new("device", DataType::Int32, true),
        Field::new("id", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("celsius", DataType::Float64, true),
        Field::new("state", DataType::Utf8, true),
    ]);
    let state = |id: u64| STATES.get(mix(id) as usize >> 13 & 3).copied().unwrap_or_default();
    let batch = RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(Int32Array::from_iter_values(ids().map(|id| (mix(id) % DEVICES) as i32))),
            Arc::new(Int64Array::from_iter_values(ids().map(|id| id as i64))),
            Arc::new(TimestampMicrosecondArray::from_iter_values(ids().map(|id| START + id as i64 * 1_000))),
            // Quarters add up exactly in any order, so two engines' sums can be compared.
            Arc::new(Float64Array::from_iter_values(ids().map(|id| (mix(id ^ 1) % 200) as f64 / 4.0 - 10.0))),
            Arc::new(StringArray::from_iter_values(ids().map(state))),
        ],
    );
    batch.context("a batch that does not hold together")
}

/// The batch as an Arrow IPC stream.
///
/// # Errors
/// Where it cannot be written to memory.
pub fn stream(batch: &RecordBatch) -> anyhow::Result<Bytes> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    Ok(writer.into_inner()?.into())
}

/// A number that looks random, from `id` alone (splitmix64's finaliser, Steele, Lea and Flood, 2014).
fn mix(id: u64) -> u64 {
    let mut z = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
