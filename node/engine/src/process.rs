//! Statements that a store may not run, in a process of their own.
//!
//! DuckDB's memory limit does not bound every function (`repeat`, `range`, …); the operating
//! system's does. The process lowers its own limits before it opens DuckDB, reads the statement
//! and its tables from stdin, and writes the answer to stdout. When it dies, nobody else notices.
//!
//! Both ends are this build, but the frames have a version and bounds all the same:
//! `tag: u8, length: u32, bytes`, little-endian.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod child;
mod parent;

pub use child::run_child;
pub use parent::{ProcessAnswer, QueryProcess};

use crate::batch;

/// The version of the frames below.
const VERSION: u32 = 1;
/// The longest frame: a batch's worth.
const FRAME_BYTES: usize = batch::UNPACKED_BYTES;

/// What a query process may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Its memory, by the operating system's count of private writable memory.
    pub memory_bytes: u64,
    /// DuckDB's threads in it.
    pub threads: usize,
    /// How long it may run, from its start to the last row.
    pub time: Duration,
}

/// Why a query process gave no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The statement's fault.
    #[error("{0}")]
    Statement(String),
    /// It ran out of memory, or somebody killed it.
    #[error("the query needs more than its {0} bytes of memory, or was killed: ask for less")]
    Killed(u64),
    /// Its time ran out.
    #[error("the time for the query ran out: ask for less, or allow more time")]
    Timeout,
    /// It could not be started or spoken to.
    #[error("the query process failed")]
    Io(#[source] io::Error),
    /// It said something that nobody understands.
    #[error("the query process failed: {0}")]
    Broken(String),
}

/// The first frame.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    sql: String,
    max_rows: Option<u64>,
    memory_bytes: u64,
    threads: usize,
    time_millis: u64,
}

/// Frames to the child.
mod ask {
    pub const HEAD: u8 = 1;
    pub const TABLE: u8 = 2;
    pub const ROWS: u8 = 3;
    pub const RUN: u8 = 4;
}

/// Frames from the child.
mod answer {
    pub const SCHEMA: u8 = 1;
    pub const ROWS: u8 = 2;
    pub const END: u8 = 3;
    pub const STATEMENT: u8 = 4;
    pub const MEMORY: u8 = 5;
    pub const BROKEN: u8 = 6;
}

fn frame_head(tag: u8, length: usize) -> io::Result<[u8; 5]> {
    let length = u32::try_from(length).map_err(|_| io::Error::other("a frame is longer than any can be"))?;
    let [a, b, c, d] = length.to_le_bytes();
    Ok([tag, a, b, c, d])
}

fn read_head([tag, a, b, c, d]: [u8; 5]) -> io::Result<(u8, usize)> {
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    match length <= FRAME_BYTES {
        true => Ok((tag, length)),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is longer than any may be")),
    }
}
