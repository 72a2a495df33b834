//! The process on a store, from its volume on: the log, the groups' core, the worker's tasks and services.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use raftduck_consensus::{Host, HostConfig, Timing};
use raftduck_model::meta::{LEVEL, Meta};
use raftduck_model::{GroupId, StoreId};
use raftduck_wal::{Options, Room, Round, Wal};
use raftduck_wire::credential::OnService;
use raftduck_wire::http::Space;
use raftduck_wire::proto::store::store_server::StoreServer;
use raftduck_wire::rpc;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use turmoil::net::TcpListener;

use crate::clock;
use crate::directory::Directory;
use crate::joining::Joining;
use crate::member::{Config, Member};
use crate::network::{PORT, incoming};
use crate::replicas::Recorded;
use crate::seat::{Break, Process, Seat, cluster, credential};
use crate::service::StoreService;
use crate::tasks;
use crate::volume::Membership;

/// Small, so that segments come and go, and entries are read from the disk.
const LOG: Options =
    Options { segment_bytes: 64 << 10, batch_bytes: 16 << 10, cache_bytes: 16 << 10, queue_bytes: 1 << 20 };
/// A group's entries are purged although a follower needs them once they take this much: it gets a snapshot.
const LOG_BYTES: u64 = 24 << 10;
/// How long a store may be silent before it is replaced.
const REPLACE_AFTER: Duration = Duration::from_secs(4);
/// A sync takes up to this.
const SYNC: Duration = Duration::from_millis(5);
/// Between two checkpoints.
const CHECKPOINT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1500));
/// Between two looks whether the machine has stood still.
const LOOK: Duration = Duration::from_millis(10);

/// Runs until it is killed.
///
/// # Errors
/// Where the process ends by itself, which none should.
pub async fn run(seat: Arc<Seat>, membership: Membership) -> anyhow::Result<()> {
    clock::set_off(seat.clock.clone());
    if seat.breaks == Some(Break::ForgetKeys) {
        seat.rows.forget_keys();
    }
    let disk = Arc::new(seat.disk.lock().clone());
    let hook = seat.clone();
    let opened = Wal::open_driven(disk, "/log".as_ref(), LOG, Box::new(move |fatal| hook.log_ended(&fatal)));
    let (wal, log) = opened.context("the log does not open")?;
    let member = Arc::new(open(&seat, membership, wal)?);
    seat.note_durable(&member);
    *seat.process.lock() = Some(Process { member: member.clone(), log });
    tokio::spawn(write(seat.clone()));
    tokio::spawn(checkpoint(seat.clone()));
    tokio::spawn(stand_still(seat.clone()));
    if let Some(replica) = member.recorded_meta() {
        member.open_replica(GroupId::META, replica).await?;
        tokio::spawn(initialize(member.clone()));
    }
    tasks::start(&member);
    serve(member).await
}

fn open(seat: &Arc<Seat>, membership: Membership, wal: Wal) -> anyhow::Result<Member> {
    let (publish_meta, meta) = watch::channel(Arc::new(Meta::default()));
    let directory = Arc::new(Directory::new(meta.clone(), membership.seeds.iter().cloned(), credential()));
    let (admits, says) = (wal.clone(), seat.clone());
    let host = Host::new(
        HostConfig {
            cluster: cluster(),
            store: seat.store,
            timing: Timing::default(),
            credential: credential(),
            snapshots: seat.folder.join("incoming"),
            accepts_entries: Arc::new(move || admits.room() != Room::Full && !says.refuses.load(Ordering::Relaxed)),
        },
        wal.clone(),
        directory.clone(),
    );
    Ok(Member {
        store: seat.store,
        recorded: Recorded::read(seat.records.clone(), wal.groups())?,
        config: Config { advertise: seat.address(), replace_after: REPLACE_AFTER, log_bytes: LOG_BYTES, level: LEVEL },
        membership,
        meta,
        directory,
        host,
        engine: seat.rows.clone(),
        wal,
        unapplied: Arc::new(Semaphore::new(1024)),
        space: watch::channel(Space::Enough).1,
        groups_changed: watch::Sender::new(()),
        stop: CancellationToken::new(),
        groups: Default::default(),
        publish_meta,
        meta_machine: Default::default(),
        seat: seat.clone(),
    })
}

/// Does the log thread's work: as much as waits, once in the time that a sync takes.
async fn write(seat: Arc<Seat>) {
    loop {
        tokio::time::sleep(Duration::from_millis(1) + seat.chance.up_to(SYNC)).await;
        if clock::elapsed() < *seat.stalled.lock() {
            continue;
        }
        let mut process = seat.process.lock();
        let Some(Process { member, log }) = process.as_mut() else { return };
        let mut wrote = false;
        while log.round() == Round::Done {
            wrote = true;
        }
        if wrote {
            seat.note_durable(member);
        }
    }
}

/// Makes the meta group, on its first store, as the bootstrap does: once, however often it is tried.
async fn initialize(member: Arc<Member>) {
    let replicas = member.membership.meta.clone();
    let Some(hosted) = member.group(GroupId::META) else { return };
    if replicas.first() == Some(&hosted.replica) && hosted.group.initialize(replicas).await.is_ok() {
        tracing::info!("the meta group is made");
    }
}

async fn checkpoint(seat: Arc<Seat>) {
    loop {
        tokio::time::sleep(seat.chance.between(CHECKPOINT.0, CHECKPOINT.1)).await;
        seat.rows.checkpoint();
    }
}

/// Jumps forward in time with everything that runs here, as a machine does that was suspended.
async fn stand_still(seat: Arc<Seat>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let leap = std::mem::take(&mut *seat.leap.lock());
        if !leap.is_zero() {
            tokio::time::advance(leap).await;
        }
    }
}

async fn serve(member: Arc<Member>) -> anyhow::Result<()> {
    let slot = Arc::new(OnceLock::new());
    slot.get_or_init(|| member.clone());
    let store = StoreServer::new(StoreService::new(slot, Arc::new(Joining(member.clone()))))
        .max_decoding_message_size(rpc::MESSAGE_BYTES)
        .max_encoding_message_size(rpc::MESSAGE_BYTES);
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let serving = Server::builder()
        .initial_stream_window_size(rpc::WINDOW_BYTES)
        .initial_connection_window_size(rpc::WINDOW_BYTES)
        .add_service(InterceptedService::new(store, OnService(credential())))
        .add_service(member.host.service())
        .serve_with_incoming(incoming(listener));
    tokio::select! {
        served = serving => served.context("the server ended"),
        () = member.stop.cancelled() => anyhow::bail!("a background task of {} ended", member.store),
    }
}

/// What every volume is told of the cluster: the first stores hold the meta group.
pub fn membership(stores: &[(StoreId, String)], replicas: usize) -> Membership {
    let meta = stores
        .iter()
        .take(replicas)
        .zip(1..)
        .map(|((store, _), id)| raftduck_model::meta::Replica { id: raftduck_model::ReplicaId(id), store: *store });
    Membership { cluster: cluster(), level: LEVEL, meta: meta.collect(), seeds: stores.to_vec() }
}
