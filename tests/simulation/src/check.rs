//! What must stay true, checked as it goes, by one who sees everything.
//!
//! The numbers are those of the design's "What must stay true".

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use parking_lot::Mutex;
use raftduck_model::meta::Meta;
use raftduck_model::{GroupId, LogId, LogIndex, PartitionId, ReplicaId, StoreId};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::clock;
use crate::hosted::Hosted;
use crate::member::Member;

/// What happened in a simulation.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Figures {
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Writes that were acknowledged again, under the same key.
    pub repeated: u64,
    /// Linearizable reads of one partition.
    pub reads: u64,
    /// Entries applied, on all stores together.
    pub applied: u64,
    /// Processes that ended without warning.
    pub crashes: u64,
    /// Other faults.
    pub faults: u64,
    /// Replicas that were deleted because another took their place.
    pub removed: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, repeated, reads, applied, crashes, faults, removed } = self;
        write!(f, "acknowledged {acknowledged} repeated {repeated} reads {reads} applied {applied} ")?;
        write!(f, "crashes {crashes} faults {faults} removed {removed}")
    }
}

/// See the module.
#[derive(Default)]
pub struct Check(Mutex<State>);

#[derive(Default)]
struct State {
    violations: Vec<String>,
    trace: Xxh3,
    figures: Figures,
    /// What every index of every group says, once somebody has applied it.
    applied: BTreeMap<(GroupId, u64), (LogId, u64)>,
    /// What a partition's state is after an index.
    states: BTreeMap<(PartitionId, u64), u64>,
    /// What every version of the cluster's state is.
    metas: BTreeMap<(u64, u64), u64>,
    /// How far each store's log of a group is on its disk.
    durable: BTreeMap<(StoreId, GroupId), LogId>,
    /// Replicas that were deleted and not looked at yet.
    removals: Vec<(StoreId, GroupId, ReplicaId)>,
    rows: BTreeMap<PartitionId, Rows>,
}

/// A partition's rows, as its clients know them.
#[derive(Default)]
struct Rows {
    /// Whatever was acknowledged or seen, in that order.
    must: Vec<u64>,
    known: BTreeSet<u64>,
    /// The newest entry with an acknowledged row.
    newest: u64,
}

impl Rows {
    fn learn(&mut self, row: u64) {
        if self.known.insert(row) {
            self.must.push(row);
        }
    }
}

impl State {
    fn note(&mut self, what: &str, store: Option<StoreId>, numbers: &[u64]) {
        let now = clock::elapsed();
        let store = store.map_or(0, |store| store.0.as_u128() as u64);
        tracing::trace!(target: "simulation", ?now, what, store, ?numbers);
        self.trace.update(what.as_bytes());
        for number in [now.as_micros() as u64, store].iter().chain(numbers) {
            self.trace.update(&number.to_le_bytes());
        }
    }

    fn fail(&mut self, violation: String) {
        let violation = format!("{:?}: {violation}", clock::elapsed());
        tracing::error!(target: "simulation", violation);
        self.violations.push(violation);
    }
}

impl Check {
    /// Something that must stay true is not.
    pub fn fail(&self, violation: String) {
        self.0.lock().fail(violation);
    }

    /// What was found so far.
    pub fn violations(&self) -> Vec<String> {
        self.0.lock().violations.clone()
    }

    /// Whether everything is as it must be so far.
    pub fn is_fine(&self) -> bool {
        self.0.lock().violations.is_empty()
    }

    /// Everything that happened and when, as one number.
    pub fn trace(&self) -> u64 {
        self.0.lock().trace.digest()
    }

    pub fn figures(&self) -> Figures {
        self.0.lock().figures
    }

    /// A fault begins or ends.
    pub fn fault(&self, what: &str, numbers: &[u64]) {
        let mut state = self.0.lock();
        state.figures.faults += 1;
        state.note(what, None, numbers);
    }

    pub fn crashed(&self, store: StoreId) {
        let mut state = self.0.lock();
        state.figures.crashes += 1;
        state.note("crash", Some(store), &[]);
    }

    /// 3: every replica applies the same entry at an index.
    pub fn applied(&self, store: StoreId, group: GroupId, id: LogId, content: u64) {
        let mut state = self.0.lock();
        state.figures.applied += 1;
        state.note("applied", Some(store), &[group.0.into(), id.term, id.index, content]);
        let first = *state.applied.entry((group, id.index)).or_insert((id, content));
        if first != (id, content) {
            state.fail(format!("3: {store} applies {id} in group {group} where another applied {}", first.0));
        }
    }

    /// 3: replicas at the same applied index hold the same rows.
    pub fn state(&self, store: StoreId, partition: PartitionId, last: LogId, digest: u64) {
        let mut state = self.0.lock();
        state.note("state", Some(store), &[partition.0.into(), last.index, digest]);
        if *state.states.entry((partition, last.index)).or_insert(digest) != digest {
            state.fail(format!("3: {store} has other rows of partition {partition} after {last} than another had"));
        }
    }

    /// 3 and 5: stores that know the same version of the cluster's state know the same, and no partition
    /// has fewer copies than it should.
    pub fn meta(&self, store: StoreId, meta: &Meta) {
        let digest = xxh3_64(&serde_json::to_vec(meta).unwrap_or_default());
        let mut state = self.0.lock();
        state.note("meta", Some(store), &[meta.epoch.0, meta.catalog_version, digest]);
        if *state.metas.entry((meta.epoch.0, meta.catalog_version)).or_insert(digest) != digest {
            state.fail(format!("3: {store} has another cluster state of epoch {}", meta.epoch));
        }
        for partition in meta.partitions.iter().filter(|found| found.replicas.len() < meta.replication as usize) {
            let copies = partition.replicas.len();
            state.fail(format!("5: partition {} is down to {copies} copies in epoch {}", partition.id, meta.epoch));
        }
    }

    /// A store's log of a group is on its disk up to here.
    pub fn durable(&self, store: StoreId, group: GroupId, last: Option<LogId>) {
        let mut state = self.0.lock();
        match last {
            Some(last) => state.durable.insert((store, group), last),
            None => state.durable.remove(&(store, group)),
        };
    }

    /// How far a store's log of a group is on its disk.
    pub fn durable_last(&self, store: StoreId, group: GroupId) -> Option<LogId> {
        self.0.lock().durable.get(&(store, group)).copied()
    }

    /// 1 and 6: nothing is acknowledged that is not on a quorum's disks.
    pub fn acknowledged(&self, member: &Member, hosted: &Hosted, index: LogIndex) {
        let members = hosted.group.members();
        let mut state = self.0.lock();
        state.note("acknowledged", Some(member.store), &[hosted.id().0.into(), index.0]);
        let has = |store: StoreId| state.durable.get(&(store, hosted.id())).is_some_and(|last| last.index >= index.0);
        let on = members.voters.iter().filter(|voter| has(voter.store)).count();
        // Between two sets of voters it takes a majority of each, which the members do not say.
        if !members.joint && 2 * on <= members.voters.len() {
            let voters = members.voters.len();
            state.fail(format!(
                "6: {} acknowledges entry {index} of group {}, which is on the disks of {on} of {voters} voters",
                member.store,
                hosted.id()
            ));
        }
    }

    /// A client has its answer.
    pub fn answered(&self, partition: PartitionId, rows: &[u64], index: u64, again: bool) {
        let mut state = self.0.lock();
        state.note("answered", None, &[partition.0.into(), index, rows.first().copied().unwrap_or_default()]);
        match again {
            true => state.figures.repeated += 1,
            false => state.figures.acknowledged += 1,
        }
        let known = state.rows.entry(partition).or_default();
        known.newest = known.newest.max(index);
        rows.iter().for_each(|row| known.learn(*row));
    }

    /// What a read of the partition that begins now has to see.
    pub fn begin_read(&self, partition: PartitionId) -> usize {
        self.0.lock().rows.get(&partition).map_or(0, |rows| rows.must.len())
    }

    /// 1 and 4: a read sees whatever was acknowledged, or seen by another, before it began.
    pub fn end_read(&self, store: StoreId, partition: PartitionId, begun: usize, seen: &[u64]) {
        let mut state = self.0.lock();
        state.figures.reads += 1;
        state.note("read", Some(store), &[partition.0.into(), seen.len() as u64]);
        let seen: BTreeSet<u64> = seen.iter().copied().collect();
        let rows = state.rows.entry(partition).or_default();
        let missed = rows.must.iter().take(begun).filter(|row| !seen.contains(row)).count();
        seen.iter().for_each(|row| rows.learn(*row));
        if missed > 0 {
            state.fail(format!("4: a read of partition {partition} at {store} misses {missed} of {begun} rows"));
        }
    }

    /// What a replica of the partition must hold in the end.
    pub fn must(&self, partition: PartitionId) -> Vec<u64> {
        self.0.lock().rows.get(&partition).map(|rows| rows.must.clone()).unwrap_or_default()
    }

    /// The newest entry with an acknowledged row.
    pub fn newest(&self, partition: PartitionId) -> u64 {
        self.0.lock().rows.get(&partition).map_or(0, |rows| rows.newest)
    }

    /// A store has deleted a replica.
    pub fn removed(&self, store: StoreId, group: GroupId, replica: ReplicaId) {
        let mut state = self.0.lock();
        state.figures.removed += 1;
        state.note("removed", Some(store), &[group.0.into(), replica.0]);
        state.removals.push((store, group, replica));
    }

    /// The deletions since the last call.
    pub fn take_removals(&self) -> Vec<(StoreId, GroupId, ReplicaId)> {
        std::mem::take(&mut self.0.lock().removals)
    }
}
