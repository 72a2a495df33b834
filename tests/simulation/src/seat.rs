//! A machine with a volume: what is there when the process on it crashes, and what its faults are.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use raftduck_model::{ClusterId, GroupId, LogId, StoreId};
use raftduck_wal::Driver;
use raftduck_wal::testing::MemDisk;
use raftduck_wire::credential::Credential;
use uuid::Uuid;

use crate::chance::Chance;
use crate::check::Check;
use crate::member::Member;
use crate::network::PORT;
use crate::rows::Rows;
use crate::volume::Records;

/// A part of the simulation that is wrong on purpose, to see that the checks notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Break {
    /// A leader answers a write when it has proposed it.
    AcknowledgeBeforeQuorum,
    /// The idempotency keys are gone after a restart.
    ForgetKeys,
    /// Reads do not ask the leader how far they have to be.
    ReadWithoutIndex,
}

/// See the module.
pub struct Seat {
    pub store: StoreId,
    /// The host's name on the network.
    pub name: String,
    pub check: Arc<Check>,
    pub breaks: Option<Break>,
    pub chance: Chance,
    /// Files that are not in the simulated disk.
    pub folder: PathBuf,
    pub rows: Rows,
    pub records: Records,
    /// What the wall clock is off by, in microseconds.
    pub clock: Arc<AtomicI64>,
    /// How far the machine stands still, or its clocks jump, the next time the process looks.
    pub leap: Mutex<Duration>,
    /// Until when no sync ends.
    pub stalled: Mutex<Duration>,
    /// Whether entries and snapshots are refused, as on a full volume.
    pub refuses: AtomicBool,
    pub disk: Mutex<MemDisk>,
    pub process: Mutex<Option<Process>>,
    /// The power is about to go: what fails now fails because of that.
    dying: AtomicBool,
}

/// What runs on a seat.
pub struct Process {
    pub member: Arc<Member>,
    pub log: Driver,
}

/// The cluster of every simulation.
pub fn cluster() -> ClusterId {
    ClusterId(Uuid::from_u128(0xC1))
}

/// What its processes show each other.
pub fn credential() -> Credential {
    Credential::new("the cluster's token")
}

impl Seat {
    /// A machine with an empty volume.
    pub fn new(
        number: usize,
        seed: u64,
        folder: &Path,
        check: Arc<Check>,
        breaks: Option<Break>,
    ) -> std::io::Result<Self> {
        let folder = folder.join(format!("store-{number}"));
        std::fs::create_dir_all(&folder)?;
        let store = StoreId(Uuid::from_u128(0x500 + number as u128));
        let chance = Chance::new(seed, 100 + number as u64);
        Ok(Self {
            store,
            name: format!("store-{number}"),
            rows: Rows::new(store, check.clone(), folder.clone(), chance.clone()),
            records: Records::new(store, check.clone(), folder.clone()),
            check,
            breaks,
            chance,
            folder,
            clock: Arc::default(),
            leap: Mutex::default(),
            stalled: Mutex::default(),
            refuses: AtomicBool::new(false),
            disk: Mutex::new(MemDisk::new()),
            process: Mutex::default(),
            dying: AtomicBool::new(false),
        })
    }

    pub fn address(&self) -> String {
        format!("{}:{PORT}", self.name)
    }

    pub fn member(&self) -> Option<Arc<Member>> {
        self.process.lock().as_ref().map(|process| process.member.clone())
    }

    /// The log says that it cannot go on.
    pub fn log_ended(&self, why: &raftduck_wal::Fatal) {
        if !self.dying.load(Ordering::Relaxed) {
            self.check.fail(format!("{}: the log has ended: {why}", self.store));
        }
    }

    /// The power goes: what was not synced may be on the disk or not, sector by sector. The process itself
    /// is for the caller to end.
    pub fn power_cut(&self, midst: bool) {
        self.dying.store(true, Ordering::Relaxed);
        let process = self.process.lock().take();
        let mut disk = self.disk.lock();
        if let Some(mut process) = process.filter(|_| midst) {
            // Whatever waits is being written, and no sync ends any more.
            disk.fail_sync(0);
            process.log.round();
        }
        let survivor = disk.crash(|| self.chance.percent(50));
        *disk = survivor;
        self.rows.crash();
        self.dying.store(false, Ordering::Relaxed);
        self.check.crashed(self.store);
    }

    /// The log was synced: notes how far every group's is on the disk now.
    pub fn note_durable(&self, member: &Member) {
        for group in member.wal.groups() {
            self.check.durable(self.store, group, member.wal.group(group).state().last);
        }
    }

    /// How far this store has the group's entries, in its log or in its rows, even while nothing runs here.
    pub fn holds(&self, group: GroupId) -> Option<LogId> {
        let rows = group.partition().and_then(|partition| self.rows.durable_last(partition));
        rows.max(self.check.durable_last(self.store, group))
    }
}
