//! What a snapshot's folder says of itself.
//!
//! The bytes travel between stores and may lie in backups: they have a version, golden bytes in a
//! test, and a hash of their own at the end. Numbers are little-endian.

use std::fmt;

use bytes::{BufMut, Bytes};
use raftduck_model::codec::{DecodeError, Reader, Write};
use raftduck_model::{LogId, LogTime, PartitionId, Table, TableId};
use xxhash_rust::xxh3::xxh3_64;

/// The manifest's name in the folder.
pub(crate) const FILE: &str = "manifest";
/// The longest manifest that is written or read: thousands of versions of the widest table.
pub(crate) const MAX_BYTES: usize = 256 << 20;

const MAGIC: &[u8; 8] = b"raftsnap";
const VERSION: u8 = 1;
const KEYS: u8 = 1;
const ROWS: u8 = 2;
/// The hash at the end.
const HASH_BYTES: usize = 8;
/// The least that a file's entry takes.
const ENTRY_BYTES: usize = 33;

/// A snapshot of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Manifest {
    pub partition: PartitionId,
    /// The last entry whose effects are in it; none before the first.
    pub last: Option<LogId>,
    /// The log time at `last`.
    pub time: LogTime,
    /// The membership at `last`, as it came; empty before the first.
    pub membership: Bytes,
    /// Every version of every table that the partition knows, older versions first.
    pub tables: Vec<Table>,
    pub files: Vec<DataFile>,
}

/// One file beside the manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DataFile {
    pub content: Content,
    /// Its place among the files of the same content.
    pub number: u32,
    pub rows: u64,
    /// Bytes.
    pub length: u64,
    /// xxh3-64.
    pub hash: u64,
}

/// What a file holds rows of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// The idempotency keys.
    Keys,
    /// A table, in the columns of its newest version here.
    Rows(TableId),
}

impl DataFile {
    /// Its name, which is made from its content, so that no manifest can lead out of the folder.
    pub fn name(&self) -> String {
        format!("{}-{}.parquet", self.content, self.number)
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys => f.write_str("keys"),
            Self::Rows(table) => f.write_str(&table.physical_name()),
        }
    }
}

impl Manifest {
    /// The newest version here of each table.
    pub fn newest(&self) -> impl Iterator<Item = &Table> {
        self.tables
            .iter()
            .filter(|table| !self.tables.iter().any(|other| other.id == table.id && other.version > table.version))
    }

    /// The manifest's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut out = Vec::new();
        out.put_slice(MAGIC);
        out.put_u8(VERSION);
        out.put_u32_le(self.partition.0);
        out.put_option(self.last, |out, last| out.put_log_id(last));
        out.put_u64_le(self.time.0);
        out.put_bytes_with_length(&self.membership);
        out.put_u32_le(self.tables.len() as u32);
        for table in &self.tables {
            out.put_bytes_with_length(serde_json::to_string(table)?.as_bytes());
        }
        out.put_u32_le(self.files.len() as u32);
        for file in &self.files {
            let (tag, table) = match file.content {
                Content::Keys => (KEYS, 0),
                Content::Rows(table) => (ROWS, table.0),
            };
            out.put_u8(tag);
            out.put_u32_le(table);
            out.put_u32_le(file.number);
            out.put_u64_le(file.rows);
            out.put_u64_le(file.length);
            out.put_u64_le(file.hash);
        }
        out.put_u64_le(xxh3_64(&out));
        Ok(out)
    }

    /// What [`Self::encode`] wrote.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let split = bytes.len().saturating_sub(HASH_BYTES);
        let (content, mut hash) = (bytes.slice(..split), Reader::new(bytes.slice(split..)));
        // Whoever wrote another version may have put its hash elsewhere, so the version comes first.
        let mut input = Reader::new(content.clone());
        if content.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(DecodeError::Invalid("it does not begin as a snapshot's manifest"));
        }
        for _ in MAGIC {
            input.u8("magic")?;
        }
        match input.u8("manifest version")? {
            VERSION => {}
            other => return Err(DecodeError::Unknown { what: "manifest version", value: other.into() }),
        }
        if hash.u64("manifest's hash")? != xxh3_64(&content) {
            return Err(DecodeError::Invalid("the manifest's bytes do not have the manifest's hash"));
        }

        let partition = PartitionId(input.u32("partition")?);
        let last = input.option("last entry", |input| input.log_id())?;
        let time = LogTime(input.u64("log time")?);
        let membership = input.bytes("membership")?;
        let tables = (0..input.count("tables", 4)?)
            .map(|_| {
                let definition = input.text("table")?;
                serde_json::from_str(&definition).map_err(|_| DecodeError::Invalid("a table's definition is damaged"))
            })
            .collect::<Result<_, _>>()?;
        let files =
            (0..input.count("files", ENTRY_BYTES)?).map(|_| decode_file(&mut input)).collect::<Result<_, _>>()?;
        input.finish()?;
        Ok(Self { partition, last, time, membership, tables, files })
    }
}

fn decode_file(input: &mut Reader) -> Result<DataFile, DecodeError> {
    let tag = input.u8("file's content")?;
    let table = TableId(input.u32("file's table")?);
    let content = match tag {
        KEYS => Content::Keys,
        ROWS => Content::Rows(table),
        other => return Err(DecodeError::Unknown { what: "file's content", value: other.into() }),
    };
    Ok(DataFile {
        content,
        number: input.u32("file's number")?,
        rows: input.u64("file's rows")?,
        length: input.u64("file's length")?,
        hash: input.u64("file's hash")?,
    })
}

#[cfg(test)]
#[path = "../tests/manifest.rs"]
mod tests;
