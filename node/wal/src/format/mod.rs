//! The log's bytes on a volume, as pure functions over byte slices.
//!
//! A segment is a file of fixed length, zero-filled when it is made: a [`segment`] header, then
//! [`frame`]s, one for each sync, then zeros. A frame carries [`record`]s and the payloads that
//! its entry records announce. All numbers are little-endian; a number that was ever written is
//! never given another meaning, and `tests/golden.rs` holds the bytes.
//!
//! No decoder here panics, and none allocates beyond the size of its input, whatever the input.

pub mod frame;
pub mod record;
pub mod sectors;
pub mod segment;
