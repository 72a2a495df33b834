//! What becomes of the cluster, from the reports of all stores that are left.

use std::collections::{BTreeMap, BTreeSet};

use raftduck_model::hash::body_digest;
use raftduck_model::meta::{
    LEVEL, Meta, MetaCommand, MetaError, PartitionState, RecoveredPartition, Recovery, Replica,
};
use raftduck_model::{ClusterId, Epoch, GroupId, LogId, ReplicaId, StoreId, Table, TableId};
use serde::{Deserialize, Serialize};

use crate::recover::report::{ReplicaReport, Report};

/// The lost stores may have given out numbers that nobody left has seen. No cluster gives out so many
/// of one kind between two entries of the meta group's log.
const UNSEEN: u32 = 1_000_000;

/// One plan for all stores that are left; the same reports make the same plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Tells this plan from any other, one of other reports among them.
    pub id: String,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its level.
    pub level: u32,
    /// What the meta group's state becomes.
    pub recovery: Recovery,
    /// Every group, the meta group first.
    pub groups: Vec<GroupPlan>,
    /// The stores that are given up, and where they were.
    pub given_up: Vec<(StoreId, String)>,
    /// The stores that are left, and where they were, as far as is known.
    pub seeds: Vec<(StoreId, String)>,
}

/// What becomes of one group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupPlan {
    /// The group.
    pub group: GroupId,
    /// Its only voter, a replica that never was; its store has the newest of the logs that are left.
    pub replica: Replica,
    /// The term that it led.
    pub term: u64,
    /// Where that log ends; none where nothing of the group is left, and it begins empty.
    pub last: Option<LogId>,
    /// Up to where it was known to be committed. What follows was perhaps never acknowledged, and stays.
    pub committed: Option<LogId>,
    /// The stores that are left do not make a majority of the group: it may have acknowledged more.
    pub lost_quorum: bool,
    /// The copy that is taken had a vote, as far as it knew. One without may be far behind.
    pub voted: bool,
    /// The logs of it that are left, the one that is taken first.
    pub logs: Vec<(StoreId, Option<LogId>)>,
}

impl GroupPlan {
    /// Whether nothing is left of a group that was.
    pub fn is_lost(&self) -> bool {
        self.last.is_none() && self.lost_quorum
    }
}

/// Why there is no plan.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// The reports are of several clusters.
    #[error("the reports are of clusters {0} and {1}: give those of one cluster")]
    OtherCluster(ClusterId, ClusterId),
    /// A store is there twice.
    #[error("there are two reports of store {0}: give one, made after its worker ended")]
    Twice(StoreId),
    /// A newer release finalised the cluster.
    #[error("the cluster is at level {0}, this build knows {LEVEL}: recover with the release that it ran")]
    TooNew(u32),
    /// Nobody has the catalog and the map.
    #[error(
        "none of these stores has a replica of the meta group, which holds the tables and who has what: \
         find a volume that has one; without it nothing here can be served"
    )]
    NoMeta,
    /// The cluster was retired from under a store.
    #[error("store {0} was retired: leave its report out, and start it empty afterwards")]
    Retired(StoreId),
    /// There is a quorum of everything.
    #[error("every group has a majority on these stores: nothing is lost. Start them, with the others or without")]
    NothingLost,
    /// The state refuses it.
    #[error(transparent)]
    Meta(#[from] MetaError),
}

/// See the module.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(reports: &[Report]) -> Result<Plan, PlanError> {
    let mut reports: Vec<&Report> = reports.iter().collect();
    reports.sort_by_key(|report| report.store);
    for pair in reports.windows(2) {
        if let [a, b] = pair {
            if a.store == b.store {
                return Err(PlanError::Twice(a.store));
            }
            if a.cluster != b.cluster {
                return Err(PlanError::OtherCluster(a.cluster, b.cluster));
            }
        }
    }
    let newest = newest(&reports, GroupId::META).first().and_then(|(report, _)| report.meta.as_ref());
    let state = newest.ok_or(PlanError::NoMeta)?;
    let Some(cluster) = state.cluster else { return Err(MetaError::NotBootstrapped.into()) };
    if state.level > LEVEL {
        return Err(PlanError::TooNew(state.level));
    }
    if let Some(retired) = reports.iter().find(|report| state.retired.contains(&report.store)) {
        return Err(PlanError::Retired(retired.store));
    }

    let stores: BTreeSet<StoreId> = reports.iter().map(|report| report.store).collect();
    let mut ids = first_id(state, &reports)..;
    let mut held: BTreeMap<StoreId, usize> = stores.iter().map(|store| (*store, 0)).collect();
    let mut groups = Vec::new();
    for group in state.groups() {
        let id = ReplicaId(ids.next().unwrap_or(u64::MAX));
        groups.push(begin(state, &reports, group, id, &mut held));
    }
    if !groups.iter().any(|group| group.lost_quorum) {
        return Err(PlanError::NothingLost);
    }
    let recovery = recovery(state, &reports, stores, &groups, ReplicaId(ids.next().unwrap_or(u64::MAX)));
    let mut recovered = state.clone();
    recovered.apply(MetaCommand::Recover(recovery.clone()))?;
    let place = |(store, info): (&StoreId, &raftduck_model::meta::StoreInfo)| (*store, info.address.clone());
    let mut plan = Plan {
        id: String::new(),
        cluster,
        level: state.level,
        given_up: state.stores.iter().filter(|(store, _)| !recovered.stores.contains_key(store)).map(place).collect(),
        seeds: recovered.stores.iter().map(place).collect(),
        recovery,
        groups,
    };
    // A plan holds nothing that JSON does not.
    plan.id = format!("{:016x}", body_digest(&serde_json::to_vec(&plan).unwrap_or_default()).0);
    Ok(plan)
}

/// The group's logs that are left, the newest first: as Raft compares them, so that what a quorum of
/// the stores that are left acknowledged is in the first.
fn newest<'a>(reports: &[&'a Report], group: GroupId) -> Vec<(&'a Report, &'a ReplicaReport)> {
    let replicas = reports.iter().filter_map(|report| Some((*report, report.replica(group)?)));
    let mut logs: Vec<_> = replicas.filter(|(_, replica)| replica.last.is_some()).collect();
    // Of equals the first store's.
    logs.sort_by_key(|(_, replica)| std::cmp::Reverse(replica.last));
    logs
}

fn begin(
    state: &Meta,
    reports: &[&Report],
    group: GroupId,
    id: ReplicaId,
    held: &mut BTreeMap<StoreId, usize>,
) -> GroupPlan {
    let logs = newest(reports, group);
    let seen = reports.iter().filter_map(|report| report.replica(group)).map(|replica| replica.term).max();
    let fewest = held.iter().min_by_key(|(store, count)| (**count, **store)).map(|(store, _)| *store);
    let best = logs.first().copied();
    let store = best.map(|(report, _)| report.store).or(fewest).unwrap_or(StoreId(uuid::Uuid::nil()));
    *held.entry(store).or_default() += usize::from(group != GroupId::META);
    GroupPlan {
        group,
        replica: Replica { id, store },
        term: seen.unwrap_or_default().saturating_add(UNSEEN.into()),
        last: best.and_then(|(_, replica)| replica.last),
        committed: best.and_then(|(_, replica)| replica.committed),
        lost_quorum: match best {
            Some((_, replica)) => !has_quorum(&replica.voters, &logs),
            None => group.partition().and_then(|id| state.partition(id)).is_some_and(was_created),
        },
        voted: best
            .is_some_and(|(_, replica)| replica.voters.iter().flatten().any(|voter| voter.id == replica.replica)),
        logs: logs.iter().map(|(report, replica)| (report.store, replica.last)).collect(),
    }
}

/// A partition that was still to be created has lost nothing.
fn was_created(partition: &raftduck_model::meta::Partition) -> bool {
    partition.state == PartitionState::Created
}

fn has_quorum(voters: &[Vec<Replica>], logs: &[(&Report, &ReplicaReport)]) -> bool {
    let left = |voter: &&Replica| {
        logs.iter().any(|(report, replica)| report.store == voter.store && replica.replica == voter.id)
    };
    !voters.is_empty() && voters.iter().all(|set| set.iter().filter(left).count() * 2 > set.len())
}

/// The first replica id that cannot have been given out.
fn first_id(state: &Meta, reports: &[&Report]) -> u64 {
    let replicas = reports.iter().flat_map(|report| &report.replicas);
    let seen = replicas.flat_map(|replica| {
        let members = replica.voters.iter().flatten().chain(&replica.learners).map(|member| member.id.0);
        members.chain([replica.replica.0])
    });
    let next = seen.max().map_or(0, |id| id.saturating_add(1));
    next.max(state.next_replica.0).saturating_add(UNSEEN.into())
}

fn recovery(
    state: &Meta,
    reports: &[&Report],
    stores: BTreeSet<StoreId>,
    groups: &[GroupPlan],
    next_replica: ReplicaId,
) -> Recovery {
    let one = |group: &GroupPlan| RecoveredPartition { replica: group.replica, empty: group.last.is_none() };
    let tables = tables(state, reports);
    let known = reports.iter().flat_map(|report| &report.tables).map(|table| table.id.0.saturating_add(1)).max();
    Recovery {
        stores,
        meta: groups
            .first()
            .map_or(Replica { id: ReplicaId(0), store: StoreId(uuid::Uuid::nil()) }, |meta| meta.replica),
        partitions: groups.iter().skip(1).map(one).collect(),
        tables,
        epoch: Epoch(state.epoch.0.saturating_add(UNSEEN.into())),
        catalog_version: state.catalog_version.saturating_add(UNSEEN.into()),
        next_replica,
        next_table: TableId(state.next_table.0.max(known.unwrap_or_default()).saturating_add(UNSEEN)),
    }
}

/// Tables that the partitions know better than the catalog, whose last entries are perhaps among the
/// lost: without them their rows would be cleared away as a dropped table's.
fn tables(state: &Meta, reports: &[&Report]) -> Vec<Table> {
    let mut newest: BTreeMap<TableId, &Table> = BTreeMap::new();
    for table in reports.iter().flat_map(|report| &report.tables) {
        let known = newest.entry(table.id).or_insert(table);
        if known.version < table.version {
            *known = table;
        }
    }
    let better = newest.into_values().filter_map(|table| match state.tables.get(&table.id) {
        Some(known) => (known.version < table.version).then(|| table.clone()),
        None if table.id < state.next_table => None,
        // The name's older table was dropped by an entry that is lost; both are kept.
        None if state.table(&table.name).is_some() => {
            Some(Table { name: format!("{}_{}", table.name, table.id), ..table.clone() })
        }
        None => Some(table.clone()),
    });
    better.collect()
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
