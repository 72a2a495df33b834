//! A store that belongs to a cluster: everything its services and background tasks share.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use raftduck_consensus::{Host, HostConfig};
use raftduck_engine::Store as Engine;
use raftduck_model::meta::Meta;
use raftduck_model::{GroupId, StoreId};
use raftduck_wal::{Options, RealDisk, Room, Wal, abort_process};
use raftduck_wire::http::Space;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::config::WorkerConfig;
use crate::directory::{Directory, MetaView};
use crate::hosted::Hosted;
use crate::metamachine::{self, MetaMachine};
use crate::partition::engine_options;
use crate::replicas::Recorded;
use crate::space;
use crate::volume::{Membership, Volume};

/// A running member of a cluster.
pub struct Member {
    /// Who it is.
    pub store: StoreId,
    /// What its volume says of the cluster.
    pub membership: Membership,
    /// How it was told to run.
    pub config: WorkerConfig,
    /// The newest cluster state it knows.
    pub meta: MetaView,
    /// Where the others are.
    pub directory: Arc<Directory>,
    /// The groups' core.
    pub host: Host,
    /// The rows.
    pub engine: Engine,
    /// The log.
    pub wal: Wal,
    /// Bytes between proposed and applied, in KiB.
    pub unapplied: Arc<Semaphore>,
    /// How full the volume is.
    pub space: watch::Receiver<Space>,
    /// Says whenever the volume's level, or a group's role, term, leader or readiness changed.
    pub groups_changed: watch::Sender<()>,
    /// Cancelled when the process is to end.
    pub stop: CancellationToken,
    /// The volume's records, and whose data is on it.
    pub recorded: Recorded,
    pub(crate) groups: RwLock<BTreeMap<GroupId, Hosted>>,
    pub(crate) publish_meta: watch::Sender<Arc<Meta>>,
    pub(crate) meta_machine: RwLock<Option<Arc<MetaMachine>>>,
}

impl Member {
    /// Opens the log and the rows of `volume` and the groups' core; opens no group yet.
    pub fn open(
        volume: &Volume,
        membership: Membership,
        config: WorkerConfig,
        stop: CancellationToken,
    ) -> anyhow::Result<Arc<Self>> {
        let wal = Wal::open(
            Arc::new(RealDisk),
            &volume.subfolder("log")?,
            Options { cache_bytes: WorkerConfig::LOG_CACHE_BYTES, ..Default::default() },
            abort_process(),
        )?;
        let engine =
            Engine::open(&volume.subfolder("rows")?, engine_options(&config, volume.subfolder("spill")?, &stop))?;
        let (publish_meta, meta) = watch::channel(Arc::new(Meta::default()));
        let seeds = membership.seeds.iter().cloned();
        let directory = Arc::new(Directory::new(meta.clone(), seeds, config.credential.clone()));
        let (admits, (say_space, space)) = (wal.clone(), watch::channel(Space::Enough));
        let room = space.clone();
        let host = Host::new(
            HostConfig {
                cluster: membership.cluster,
                store: volume.store(),
                timing: config.timing.clone(),
                credential: config.credential.clone(),
                snapshots: volume.subfolder("incoming")?,
                accepts_entries: Arc::new(move || admits.room() != Room::Full && *room.borrow() != Space::Full),
            },
            wal.clone(),
            directory.clone(),
        );
        let recorded = Recorded::read(volume.records(), wal.groups())?;
        let groups_changed = watch::Sender::new(());
        let (folder, changed) = (config.data.clone(), groups_changed.clone());
        tokio::spawn({
            let stop = stop.clone();
            async move {
                let watching = space::watch(folder, say_space, || changed.send_replace(()));
                stop.run_until_cancelled(watching).await
            }
        });
        Ok(Arc::new(Self {
            store: volume.store(),
            space,
            recorded,
            membership,
            config,
            meta,
            directory,
            host,
            engine,
            wal,
            unapplied: Arc::new(Semaphore::new(WorkerConfig::UNAPPLIED_BYTES / KIB)),
            groups_changed,
            stop,
            groups: RwLock::default(),
            publish_meta,
            meta_machine: RwLock::default(),
        }))
    }

    /// The group's replica here, if there is one and it runs.
    pub fn group(&self, group: GroupId) -> Option<Hosted> {
        self.groups.read().get(&group).cloned()
    }

    /// Every replica that runs here.
    pub fn hosted(&self) -> Vec<Hosted> {
        self.groups.read().values().cloned().collect()
    }

    /// The meta group's state machine, where this store is one of its replicas.
    pub fn meta_machine(&self) -> Option<Arc<MetaMachine>> {
        self.meta_machine.read().clone()
    }

    /// Takes over a cluster state that another store told, unless this one's is newer.
    pub fn learn_meta(&self, told: Meta) {
        metamachine::publish(&self.publish_meta, &told);
    }
}

const KIB: usize = 1024;

/// How many permits of [`Member::unapplied`] a write of `bytes` takes.
pub fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(KIB).max(1)).unwrap_or(u32::MAX)
}
