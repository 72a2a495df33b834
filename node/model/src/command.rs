//! What a partition's log carries, and its bytes.
//!
//! The format is on volumes: a number that was ever written is never given another meaning, and
//! `tests/golden.rs` holds the bytes of every version.

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{DecodeError, Reader, Write};
use crate::ids::{BodyDigest, KeyDigest, LogTime, SchemaVersion, TableId};
use crate::table::Table;

/// The format's version, its first byte.
pub const COMMAND_VERSION: u8 = 1;

const TAG_APPEND: u8 = 1;
const TAG_SET_SCHEMA: u8 = 2;
const TAG_DROP_TABLE: u8 = 3;

/// One command to a partition's state machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The clock the state machine goes by.
    pub time: LogTime,
    /// What to do.
    pub body: CommandBody,
}

/// What a [`Command`] does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandBody {
    /// Adds rows.
    Append(Append),
    /// Makes a table's version known to the partition, before the first row of that version.
    SetSchema(Table),
    /// The table is gone from the catalog: its rows of this partition go too.
    DropTable(TableId),
}

/// Rows of one table and version, from one or more requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// The table the rows belong to.
    pub table: TableId,
    /// The version their columns follow.
    pub version: SchemaVersion,
    /// One for each request, in order.
    pub parts: Vec<Part>,
}

/// One request's rows in an [`Append`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The request's idempotency key.
    pub key: KeyDigest,
    /// What was sent under the key.
    pub body: BodyDigest,
    /// How many rows `data` holds.
    pub rows: u32,
    /// An Arrow IPC record batch message without its schema (see `raftduck_wire::batch`).
    pub data: Bytes,
}

impl Command {
    /// The command's bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(COMMAND_VERSION);
        out.put_u64_le(self.time.0);
        match &self.body {
            CommandBody::Append(append) => {
                out.reserve(32 + append.parts.iter().map(|part| 32 + part.data.len()).sum::<usize>());
                out.put_u8(TAG_APPEND);
                out.put_u32_le(append.table.0);
                out.put_u32_le(append.version.0);
                out.put_u32_le(append.parts.len() as u32);
                for part in &append.parts {
                    out.put_u128_le(part.key.0);
                    out.put_u64_le(part.body.0);
                    out.put_u32_le(part.rows);
                    out.put_bytes_with_length(&part.data);
                }
            }
            CommandBody::SetSchema(table) => {
                out.put_u8(TAG_SET_SCHEMA);
                table.encode(&mut out);
            }
            CommandBody::DropTable(table) => {
                out.put_u8(TAG_DROP_TABLE);
                out.put_u32_le(table.0);
            }
        }
        out.freeze()
    }

    /// The command in `bytes`; the parts' data shares their memory.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        match input.u8("command version")? {
            COMMAND_VERSION => {}
            other => return Err(DecodeError::Unknown { what: "command version", value: other.into() }),
        }
        let time = LogTime(input.u64("log time")?);
        let body = match input.u8("command")? {
            TAG_APPEND => {
                let table = TableId(input.u32("table")?);
                let version = SchemaVersion(input.u32("schema version")?);
                let parts = (0..input.count("parts", 32)?)
                    .map(|_| {
                        Ok(Part {
                            key: KeyDigest(input.u128("key")?),
                            body: BodyDigest(input.u64("body digest")?),
                            rows: input.u32("rows")?,
                            data: input.bytes("rows' data")?,
                        })
                    })
                    .collect::<Result<_, DecodeError>>()?;
                CommandBody::Append(Append { table, version, parts })
            }
            TAG_SET_SCHEMA => CommandBody::SetSchema(Table::decode(&mut input)?),
            TAG_DROP_TABLE => CommandBody::DropTable(TableId(input.u32("table")?)),
            other => return Err(DecodeError::Unknown { what: "command", value: other.into() }),
        };
        input.finish()?;
        Ok(Self { time, body })
    }
}

impl Table {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u32_le(self.id.0);
        out.put_bytes_with_length(self.name.as_bytes());
        out.put_u32_le(self.version.0);
        out.put_u32_le(self.key as u32);
        out.put_u32_le(self.columns.len() as u32);
        for column in &self.columns {
            out.put_bytes_with_length(column.name.as_bytes());
            out.put_bytes_with_length(column.kind.to_string().as_bytes());
            out.put_u8(column.nullable.into());
            out.put_option(column.default.as_deref(), |out, text| out.put_bytes_with_length(text.as_bytes()));
        }
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let id = TableId(input.u32("table")?);
        let name = input.text("table name")?;
        let version = SchemaVersion(input.u32("schema version")?);
        let key = input.u32("key column")? as usize;
        let columns = (0..input.count("columns", 10)?)
            .map(|_| {
                Ok(crate::table::Column {
                    name: input.text("column name")?,
                    kind: input
                        .text("column type")?
                        .parse()
                        .map_err(|_| DecodeError::Invalid("unknown column type"))?,
                    nullable: match input.u8("nullable")? {
                        0 => false,
                        1 => true,
                        other => return Err(DecodeError::Unknown { what: "nullable", value: other.into() }),
                    },
                    default: input.option("default", |input| input.text("default"))?,
                })
            })
            .collect::<Result<Vec<_>, DecodeError>>()?;
        if key >= columns.len() {
            return Err(DecodeError::Invalid("the key is none of the table's columns"));
        }
        Ok(Self { id, name, version, columns, key })
    }
}
