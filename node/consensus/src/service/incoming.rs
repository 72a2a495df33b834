//! A snapshot on its way in: files into a folder, checked, then installed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use openraft::storage::Snapshot as RaftSnapshot;
use raftduck_model::GroupId;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use xxhash_rust::xxh3::Xxh3;

use super::requests::{malformed, stopped};
use super::session::Reply;
use crate::applier::SnapshotData;
use crate::codec::{self, Refusal, RefusalCode, SnapshotChunk, SnapshotHead};
use crate::frame::Kind;
use crate::group::Raft;
use crate::host::Inner;
use crate::machine::Snapshot;
use crate::types::{SnapshotMeta, to_raft};

/// Frames that wait to be written, and the longest of them: 16 MiB. Senders of this build send
/// pieces of 256 KiB, so 4 MiB.
const PIECES: usize = 16;
const PIECE_BYTES: usize = 1 << 20;
/// How long the next piece may take: its sender's turn at sending must not hold up others' here.
const PATIENCE: Duration = Duration::from_secs(60);

/// A snapshot being received; dropping it gives it up and removes its files.
pub(super) struct Incoming(mpsc::Sender<(Kind, Bytes)>);

impl Incoming {
    /// Hands on the next frame of the snapshot, waiting until there is room for it.
    pub(super) async fn feed(&self, kind: Kind, body: Bytes) -> Result<(), Refusal> {
        if body.len() > PIECE_BYTES {
            return Err(damaged("a piece that is too long"));
        }
        let over = |_| Refusal::new(RefusalCode::Stopped, "the snapshot was given up");
        self.0.send((kind, body)).await.map_err(over)
    }
}

/// Begins to receive. Two at a time, so that a store that lost much is not flooded.
pub(super) fn start(
    host: &Arc<Inner>,
    raft: Raft,
    group: GroupId,
    head: SnapshotHead,
    reply: Reply,
) -> Result<Incoming, Refusal> {
    let busy = |_| Refusal::new(RefusalCode::Busy, "other snapshots are being received");
    let turn = host.incoming.clone().try_acquire_owned().map_err(busy)?;
    let number = host.next_incoming.fetch_add(1, Ordering::Relaxed);
    let folder = host.config.snapshots.join(format!("group-{group}-{number}"));
    tracing::debug!(%group, "a snapshot is being received");
    let (sender, frames) = mpsc::channel(PIECES);
    tokio::spawn(receive(raft, head, folder, frames, reply, turn));
    Ok(Incoming(sender))
}

async fn receive(
    raft: Raft,
    head: SnapshotHead,
    folder: PathBuf,
    frames: mpsc::Receiver<(Kind, Bytes)>,
    reply: Reply,
    _turn: OwnedSemaphorePermit,
) {
    // From here on the files go whatever happens.
    let snapshot = Snapshot::new(Some(head.last), codec::encode_stored_membership(&head.membership), folder);
    match collect_and_install(raft, head, snapshot, frames, &reply).await {
        Ok(Some(body)) => {
            reply.answer(body).await;
        }
        Ok(None) => {}
        Err(refusal) => {
            tracing::warn!(%refusal, "a snapshot was refused");
            reply.refuse(refusal).await;
        }
    }
}

/// The answer once the snapshot is installed; none where its sender gave it up.
async fn collect_and_install(
    raft: Raft,
    head: SnapshotHead,
    snapshot: Snapshot,
    mut frames: mpsc::Receiver<(Kind, Bytes)>,
    reply: &Reply,
) -> Result<Option<Bytes>, Refusal> {
    let mut writer = blocking({
        let (head, folder) = (head.clone(), snapshot.folder().to_owned());
        move || Writer::begin(head, folder)
    })
    .await?;
    reply.answer(codec::encode_snapshot_ack(0)).await;
    loop {
        let silent = |_| Refusal::new(RefusalCode::Stopped, "the rest of the snapshot did not come");
        let Some((kind, body)) = timeout(PATIENCE, frames.recv()).await.map_err(silent)? else { return Ok(None) };
        if kind == Kind::SnapshotEnd {
            let hashes = codec::decode_snapshot_end(body).map_err(malformed)?;
            blocking(move || writer.finish(&hashes)).await?;
            break;
        }
        let chunk = codec::decode_snapshot_chunk(body).map_err(malformed)?;
        writer = blocking(move || writer.write(&chunk)).await?;
        reply.answer(codec::encode_snapshot_ack(writer.written)).await;
    }
    let meta = SnapshotMeta { last_log_id: Some(to_raft(head.last)), last_membership: head.membership };
    let snapshot = RaftSnapshot { meta, snapshot: SnapshotData::Received(snapshot) };
    let answer = raft.install_full_snapshot(head.vote, snapshot).await.map_err(stopped)?;
    Ok(Some(codec::encode_snapshot_answer(&answer.vote)))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    let stopped = |_| Refusal::new(RefusalCode::Stopped, "this store stops");
    crate::blocking::blocking(work).await.map_err(stopped)?
}

/// Writes the pieces, which must come without gaps, and hashes them on the way.
struct Writer {
    head: SnapshotHead,
    folder: PathBuf,
    /// The file that is being written, its hash and its length so far.
    current: Option<(File, Xxh3, u64)>,
    hashes: Vec<u64>,
    written: u64,
}

fn unwritable(error: io::Error) -> Refusal {
    Refusal::new(RefusalCode::NoRoom, format!("the snapshot cannot be written: {error}"))
}

fn damaged(what: impl Into<String>) -> Refusal {
    Refusal::new(RefusalCode::Damaged, what)
}

impl Writer {
    fn begin(head: SnapshotHead, folder: PathBuf) -> Result<Self, Refusal> {
        fs::create_dir_all(&folder).map_err(unwritable)?;
        let mut writer = Self { head, folder, current: None, hashes: Vec::new(), written: 0 };
        writer.open_next()?;
        Ok(writer)
    }

    /// Opens the next file that has content; files without any are made on the way.
    fn open_next(&mut self) -> Result<(), Refusal> {
        while let Some(next) = self.head.files.get(self.hashes.len()) {
            let path = self.folder.join(&next.name);
            let file = File::options().write(true).create_new(true).open(path).map_err(unwritable)?;
            if next.size > 0 {
                self.current = Some((file, Xxh3::new(), 0));
                return Ok(());
            }
            self.hashes.push(Xxh3::new().digest());
        }
        Ok(())
    }

    fn write(mut self, chunk: &SnapshotChunk) -> Result<Self, Refusal> {
        let number = self.hashes.len();
        let size = self.head.files.get(number).map_or(0, |file| file.size);
        let Some((file, hash, length)) = &mut self.current else {
            return Err(damaged("more pieces than files"));
        };
        let fits = size.checked_sub(*length).is_some_and(|left| chunk.data.len() as u64 <= left);
        if chunk.file as usize != number || chunk.offset != *length || !fits || chunk.data.is_empty() {
            return Err(damaged("a piece that does not follow the one before it"));
        }
        file.write_all(&chunk.data).map_err(unwritable)?;
        hash.update(&chunk.data);
        *length += chunk.data.len() as u64;
        self.written += chunk.data.len() as u64;
        if *length == size {
            self.hashes.push(hash.digest());
            self.current = None;
            self.open_next()?;
        }
        Ok(self)
    }

    fn finish(self, hashes: &[u64]) -> Result<(), Refusal> {
        if self.hashes.len() != self.head.files.len() {
            return Err(damaged("the snapshot ends inside a file"));
        }
        match self.hashes == hashes {
            true => Ok(()),
            false => Err(damaged("a file is not what was sent: its hash differs")),
        }
    }
}
