//! The data set that this program carries: see `data/README.md`.

use anyhow::Context;
use bytes::{Bytes, BytesMut};

/// All flights from New York's airports in 2013, as CSV with a header, chronological.
const COMPRESSED: &[u8] = include_bytes!("../../data/flights.csv.zst");
/// Bounds the decompressed text; it is 15.7 MB.
const MOST_BYTES: usize = 32 << 20;

/// The data set's text.
///
/// # Errors
/// Where this program's copy is damaged.
pub fn csv() -> anyhow::Result<Bytes> {
    let text = zstd::bulk::decompress(COMPRESSED, MOST_BYTES).context("the built-in data set is damaged")?;
    Ok(text.into())
}

/// Parts of at most `rows` rows, each with the header, and how many rows each has.
pub fn batches(csv: &Bytes, rows: usize) -> Vec<(Bytes, usize)> {
    let mut lines = csv.split_inclusive(|byte| *byte == b'\n');
    let header = lines.next().unwrap_or_default();
    let lines: Vec<&[u8]> = lines.collect();
    let batch = |chunk: &[&[u8]]| {
        let mut body = BytesMut::from(header);
        chunk.iter().for_each(|line| body.extend_from_slice(line));
        (body.freeze(), chunk.len())
    };
    lines.chunks(rows.max(1)).map(batch).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_batches_hold_every_flight_once() {
        let csv = csv().unwrap();
        let batches = batches(&csv, 20_000);
        assert_eq!(batches.iter().map(|(_, rows)| rows).sum::<usize>(), 336_776);
        let header = b"scheduled,carrier,flight,origin,dest,dep_delay,arr_delay,air_time,distance\n";
        assert!(batches.iter().all(|(body, _)| body.starts_with(header)));
        let text: usize = batches.iter().map(|(body, _)| body.len() - header.len()).sum();
        assert_eq!(text + header.len(), csv.len());
    }
}
