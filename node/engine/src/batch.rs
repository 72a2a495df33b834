//! Record batches on the wire and in the log: one Arrow IPC record batch message, without the
//! schema that both ends know already, LZ4-compressed where that pays.
//!
//! The bytes are the IPC format's encapsulated message: the marker `ffffffff`, the length of the
//! metadata, the metadata, padding to 8 bytes, the body.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message};
use arrow::ipc::{CompressionType, MessageHeader, MetadataVersion, root_as_message};
use bytes::Bytes;

/// Below this, LZ4's own frames cost more than they save.
const COMPRESS_FROM: usize = 2 << 10;
/// What one batch may unpack to: 16 times the largest body that is ever sent
/// ([`raftduck_model::limits::FRAME_BYTES`]). Beyond it the input is damaged or hostile.
pub const UNPACKED_BYTES: usize = 64 << 20;
/// Rows or nested values that one array of a batch may claim: one bit each of [`UNPACKED_BYTES`].
const ARRAY_LENGTH: i64 = (UNPACKED_BYTES as i64) * 8;

const MARKER: [u8; 4] = [0xff; 4];

/// Why a batch could not be encoded.
#[derive(Debug, thiserror::Error)]
#[error("rows cannot be put into Arrow's format")]
pub struct EncodeError(#[source] ArrowError);

/// Why bytes are no batch of the schema.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The message's frame or metadata is damaged.
    #[error("damaged Arrow message: {0}")]
    Damaged(&'static str),
    /// The metadata does not verify.
    #[error("damaged Arrow metadata: {0}")]
    Metadata(String),
    /// It would unpack to more than [`UNPACKED_BYTES`].
    #[error("the rows unpack to more than {UNPACKED_BYTES} bytes: send fewer at once")]
    TooLarge,
    /// The arrays contradict themselves or the schema.
    #[error("the rows are not of the table's schema")]
    Rows(#[source] ArrowError),
}

/// The batch's bytes, without its schema.
pub fn encode(batch: &RecordBatch) -> Result<Bytes, EncodeError> {
    let compression = (batch.get_array_memory_size() >= COMPRESS_FROM).then_some(CompressionType::LZ4_FRAME);
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)
        .and_then(|options| options.try_with_compression(compression))
        .map_err(EncodeError)?;
    let (_, message) = IpcDataGenerator::default()
        .encode(batch, &mut DictionaryTracker::new(false), &options, &mut IpcWriteContext::default())
        .map_err(EncodeError)?;
    let mut bytes = Vec::with_capacity(message.ipc_message.len() + message.arrow_data.len() + 16);
    write_message(&mut bytes, message, &options).map_err(EncodeError)?;
    Ok(bytes.into())
}

/// The batch in `bytes`, whose rows are of `schema`.
///
/// No input makes this panic or take memory beyond [`UNPACKED_BYTES`]: Arrow's reader trusts the
/// message's offsets and lengths, so all of them are checked here before it sees them.
pub fn decode(bytes: Bytes, schema: &SchemaRef) -> Result<RecordBatch, DecodeError> {
    let head = bytes.get(..8).ok_or(DecodeError::Damaged("shorter than its head"))?;
    let (marker, length) = head.split_at(4);
    if marker != MARKER {
        return Err(DecodeError::Damaged("it has no marker"));
    }
    let length = length.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let metadata =
        bytes.get(8..8_usize.saturating_add(length)).ok_or(DecodeError::Damaged("shorter than its metadata"))?;
    let body = bytes.slice(8 + length..);

    let message = root_as_message(metadata).map_err(|error| DecodeError::Metadata(error.to_string()))?;
    if message.header_type() != MessageHeader::RecordBatch {
        return Err(DecodeError::Damaged("it is no record batch"));
    }
    let batch = message.header_as_record_batch().ok_or(DecodeError::Damaged("it has no record batch"))?;
    check_lengths(&batch, &body)?;
    read_record_batch(&Buffer::from(body), batch, Arc::clone(schema), &HashMap::new(), None, &message.version())
        .map_err(DecodeError::Rows)
}

fn check_lengths(batch: &arrow::ipc::RecordBatch<'_>, body: &Bytes) -> Result<(), DecodeError> {
    if !(0..=ARRAY_LENGTH).contains(&batch.length()) {
        return Err(DecodeError::Damaged("its row count is out of range"));
    }
    for node in batch.nodes().ok_or(DecodeError::Damaged("it has no arrays"))? {
        if !(0..=ARRAY_LENGTH).contains(&node.length()) || !(0..=node.length()).contains(&node.null_count()) {
            return Err(DecodeError::Damaged("an array's length is out of range"));
        }
    }
    let mut unpacked = 0_usize;
    for buffer in batch.buffers().ok_or(DecodeError::Damaged("it has no buffers"))? {
        let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let bytes = range
            .and_then(|(offset, length)| body.get(offset..offset.checked_add(length)?))
            .ok_or(DecodeError::Damaged("a buffer lies outside of it"))?;
        unpacked = unpacked.saturating_add(match batch.compression() {
            Some(_) => unpacked_length(bytes)?,
            None => bytes.len(),
        });
    }
    match unpacked <= UNPACKED_BYTES {
        true => Ok(()),
        false => Err(DecodeError::TooLarge),
    }
}

/// What a compressed buffer says it unpacks to: eight bytes before it, -1 where it is not
/// compressed after all.
fn unpacked_length(buffer: &[u8]) -> Result<usize, DecodeError> {
    if buffer.is_empty() {
        return Ok(0);
    }
    let prefix = buffer.first_chunk::<8>().ok_or(DecodeError::Damaged("a compressed buffer has no length"))?;
    match i64::from_le_bytes(*prefix) {
        -1 => Ok(buffer.len() - 8),
        length => usize::try_from(length).map_err(|_| DecodeError::Damaged("a compressed buffer's length is negative")),
    }
}

/// The IPC message of a schema alone, as an answer's first frame carries it.
pub fn encode_schema(schema: &Schema) -> Bytes {
    let options = IpcWriteOptions::default();
    let mut dictionaries = DictionaryTracker::new(false);
    let message =
        IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(schema, &mut dictionaries, &options);
    message.ipc_message.into()
}

/// The schema in [`encode_schema`]'s bytes.
pub fn decode_schema(bytes: &[u8]) -> Result<SchemaRef, DecodeError> {
    let message = root_as_message(bytes).map_err(|error| DecodeError::Metadata(error.to_string()))?;
    let schema = message.header_as_schema().ok_or(DecodeError::Damaged("it is no schema"))?;
    arrow::ipc::convert::try_fb_to_schema(schema).map(Arc::new).map_err(DecodeError::Rows)
}

#[cfg(test)]
#[path = "tests/batch.rs"]
mod tests;
