//! A snapshot on its way out: a folder's files in pieces, a bounded number of them under way, no
//! faster than it may be.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use raftduck_model::StoreId;
use tokio::time::{Instant, sleep_until, timeout};
use xxhash_rust::xxh3::Xxh3;

use super::call::{Call, CallError};
use super::link::Links;
use crate::applier::SnapshotData;
use crate::blocking::blocking;
use crate::codec::{self, FileHead, SnapshotChunk, SnapshotHead};
use crate::frame::{Address, Class, Kind};
use crate::machine::Snapshot;
use crate::types::Vote;

/// One piece of a file.
const CHUNK_BYTES: usize = 256 << 10;
/// Pieces sent and not yet written by the receiver: 4 MiB.
const CHUNKS: usize = 16;

/// Why a snapshot did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// The state machine could not make it.
    #[error("it could not be made: {0}")]
    Make(#[source] io::Error),
    /// Its files could not be read.
    #[error("it could not be read: {0}")]
    Read(#[source] io::Error),
    /// It holds something that is no plain file.
    #[error("{0:?} in it is no plain file with a plain name")]
    NotAFile(PathBuf),
    /// The receiver did not take it.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl From<SendError> for CallError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Call(error) => error,
            // Not openraft's `StorageError`, which would end the leader for a follower's sake.
            _ => CallError::Broken,
        }
    }
}

/// Sends a snapshot and returns the receiver's vote once it has installed it.
pub(super) async fn send(
    links: &Arc<Links>,
    peer: StoreId,
    address: Address,
    vote: Vote,
    snapshot: SnapshotData,
) -> Result<Vote, SendError> {
    let _turn = links.snapshots.acquire().await.map_err(|_| CallError::Broken)?;
    let snapshot = match snapshot {
        SnapshotData::Live(machine) => machine.snapshot().await.map_err(SendError::Make)?,
        SnapshotData::Received(snapshot) => snapshot,
    };
    let head = head(&snapshot, vote).await?;
    let timing = links.timing();
    let mut sending = Sending {
        call: links.get(peer, Class::Snapshot).open(address),
        under_way: 0,
        patience: timing.snapshot_answer,
        rate: timing.snapshot_bytes_per_second.max(1),
        next_at: Instant::now(),
    };
    let began = Instant::now();
    sending.call.send(Kind::SnapshotHead, codec::encode_snapshot_head(&head))?;
    sending.under_way = 1;
    tracing::debug!(group = %address.group, to = %peer, "a snapshot is being sent");
    let mut hashes = Vec::with_capacity(head.files.len());
    for (number, file) in (0u32..).zip(&head.files) {
        hashes.push(sending.file(number, file, &snapshot).await?);
    }
    while sending.under_way > 0 {
        sending.acknowledged().await?;
    }
    sending.call.send(Kind::SnapshotEnd, codec::encode_snapshot_end(&hashes))?;
    tracing::debug!(group = %address.group, to = %peer, "a snapshot was sent");
    let installed = timeout(timing.snapshot_install, sending.call.answer()).await;
    let answer = installed.map_err(|_| CallError::Timeout(timing.snapshot_install))??;
    let vote = codec::decode_snapshot_answer(answer).map_err(CallError::Malformed)?;
    let bytes: u64 = head.files.iter().map(|file| file.size).sum();
    tracing::info!(group = %address.group, to = %peer, last = %head.last, bytes, took = ?began.elapsed(), "a snapshot was installed");
    Ok(vote)
}

async fn head(snapshot: &Snapshot, vote: Vote) -> Result<SnapshotHead, SendError> {
    let nothing = || SendError::Make(io::Error::other("a snapshot before the first entry"));
    let last = snapshot.last.ok_or_else(nothing)?;
    let membership = codec::decode_stored_membership(snapshot.membership.clone());
    let membership = membership.map_err(|error| SendError::Make(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    let folder = snapshot.folder().to_owned();
    let files = blocking(move || list(&folder)).await.map_err(SendError::Read)??;
    Ok(SnapshotHead { vote, last, membership, files })
}

/// The folder's files, by name.
fn list(folder: &Path) -> Result<Vec<FileHead>, SendError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(SendError::Read)? {
        let entry = entry.map_err(SendError::Read)?;
        let metadata = entry.metadata().map_err(SendError::Read)?;
        match entry.file_name().into_string() {
            Ok(name) if metadata.is_file() => files.push(FileHead { name, size: metadata.len() }),
            _ => return Err(SendError::NotAFile(entry.path())),
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// The next bytes of a file, and the file, to go on with.
async fn read(mut file: File, length: usize) -> io::Result<(File, Bytes)> {
    let piece = blocking(move || {
        let mut data = BytesMut::zeroed(length);
        file.read_exact(&mut data).map(|()| (file, data.freeze()))
    });
    piece.await?
}

struct Sending {
    call: Call,
    /// Frames that the receiver has not acknowledged.
    under_way: usize,
    patience: Duration,
    /// Bytes per second.
    rate: u64,
    next_at: Instant,
}

impl Sending {
    /// Sends one file and returns its hash.
    async fn file(&mut self, number: u32, head: &FileHead, snapshot: &Snapshot) -> Result<u64, SendError> {
        let path = snapshot.folder().join(&head.name);
        let mut file = blocking(move || File::open(path)).await.flatten().map_err(SendError::Read)?;
        let (mut hash, mut offset) = (Xxh3::new(), 0);
        while offset < head.size {
            let length = usize::try_from(head.size - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            let data;
            (file, data) = read(file, length).await.map_err(SendError::Read)?;
            hash.update(&data);
            self.chunk(SnapshotChunk { file: number, offset, data }).await?;
            offset += length as u64;
        }
        Ok(hash.digest())
    }

    async fn chunk(&mut self, chunk: SnapshotChunk) -> Result<(), SendError> {
        while self.under_way >= CHUNKS {
            self.acknowledged().await?;
        }
        sleep_until(self.next_at).await;
        let pause = Duration::from_secs_f64(chunk.data.len() as f64 / self.rate as f64);
        self.next_at = self.next_at.max(Instant::now()) + pause;
        self.call.send(Kind::SnapshotChunk, codec::encode_snapshot_chunk(&chunk))?;
        self.under_way += 1;
        Ok(())
    }

    async fn acknowledged(&mut self) -> Result<(), CallError> {
        let answer: Bytes =
            timeout(self.patience, self.call.answer()).await.map_err(|_| CallError::Timeout(self.patience))??;
        codec::decode_snapshot_ack(answer).map_err(CallError::Malformed)?;
        self.under_way = self.under_way.saturating_sub(1);
        Ok(())
    }
}
