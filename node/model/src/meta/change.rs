//! Replicas that come and go.
//!
//! The map says what is wanted and what was last reported; the group's committed membership is the
//! truth. A change is begun here, done by the group's leader through Raft, and ended here with what
//! it came to. Whoever finds one half done goes on from the group's membership.

use std::collections::BTreeSet;

use crate::ids::{GroupId, ReplicaId, StoreId};
use crate::meta::{Change, Meta, MetaError, MetaReply, PartitionState, Replica};

impl Meta {
    pub(super) fn begin_change(
        &mut self,
        group: GroupId,
        add: Option<StoreId>,
        remove: Option<ReplicaId>,
    ) -> Result<MetaReply, MetaError> {
        if self.cluster.is_none() {
            return Err(MetaError::NotBootstrapped);
        }
        let (voters, change) = self.group(group).ok_or_else(|| no_group(group))?;
        if let Some(change) = change {
            let same = change.add.map(|replica| replica.store) == add && change.remove == remove && !change.cancelled;
            return if same { Ok(MetaReply::Done) } else { Err(invalid(group, "a change of it is under way")) };
        }
        self.check_change(group, voters, add, remove).map_err(|reason| invalid(group, reason))?;
        let add = add.map(|store| self.new_replica(store));
        *self.change_of(group)? = Some(Change { add, remove, cancelled: false });
        self.epoch.0 += 1;
        Ok(MetaReply::Done)
    }

    fn check_change(
        &self,
        group: GroupId,
        voters: &[Replica],
        add: Option<StoreId>,
        remove: Option<ReplicaId>,
    ) -> Result<(), &'static str> {
        let creating = |id| self.partition(id).is_some_and(|found| found.state == PartitionState::Creating);
        if group.partition().is_some_and(creating) {
            return Err("it was not created yet");
        }
        match add {
            Some(store) if !self.stores.contains_key(&store) => return Err("the store to add is not registered"),
            Some(store) if voters.iter().any(|voter| voter.store == store) => {
                return Err("the store to add holds a replica of it");
            }
            None if remove.is_none() => return Err("nothing is to be changed"),
            None if voters.len() <= 1 => return Err("its only replica cannot go"),
            _ => {}
        }
        match remove {
            Some(gone) if !voters.iter().any(|voter| voter.id == gone) => Err("the replica to remove is none of it"),
            _ => Ok(()),
        }
    }

    pub(super) fn cancel_change(&mut self, group: GroupId) -> Result<MetaReply, MetaError> {
        let raised = match self.change_of(group)? {
            Some(change) if !change.cancelled => {
                change.cancelled = true;
                1
            }
            _ => 0,
        };
        self.epoch.0 += raised;
        Ok(MetaReply::Done)
    }

    pub(super) fn end_change(
        &mut self,
        group: GroupId,
        ended: Change,
        voters: &[Replica],
    ) -> Result<MetaReply, MetaError> {
        let known = |change: &Change| (change.add, change.remove) == (ended.add, ended.remove);
        let next = self.next_replica;
        let change = self.change_of(group)?;
        if !change.as_ref().is_some_and(known) {
            // It ended before, and this is the report again.
            return Ok(MetaReply::Done);
        }
        let ids: BTreeSet<ReplicaId> = voters.iter().map(|voter| voter.id).collect();
        let stores: BTreeSet<StoreId> = voters.iter().map(|voter| voter.store).collect();
        if voters.is_empty() || ids.len() < voters.len() || stores.len() < voters.len() || ids.last() >= Some(&next) {
            return Err(invalid(group, "a group has voters, each on a store of its own, with ids that were given out"));
        }
        *change = None;
        let replicas = match group.partition() {
            None => &mut self.replicas,
            Some(id) => match self.partitions.get_mut((id.0 as usize).wrapping_sub(1)) {
                Some(partition) => &mut partition.replicas,
                None => return Err(no_group(group)),
            },
        };
        *replicas = in_place(replicas, voters);
        self.epoch.0 += 1;
        Ok(MetaReply::Done)
    }

    fn change_of(&mut self, group: GroupId) -> Result<&mut Option<Change>, MetaError> {
        match group.partition() {
            None => Ok(&mut self.change),
            Some(id) => match self.partitions.get_mut((id.0 as usize).wrapping_sub(1)) {
                Some(partition) => Ok(&mut partition.change),
                None => Err(no_group(group)),
            },
        }
    }
}

/// The new voters in the old ones' order, new ones where one is gone: so the first, which is
/// preferred to lead, stays spread over the stores.
fn in_place(old: &[Replica], voters: &[Replica]) -> Vec<Replica> {
    let mut new = voters.iter().filter(|voter| !old.contains(voter));
    let kept = old.iter().filter_map(|replica| if voters.contains(replica) { Some(replica) } else { new.next() });
    let mut ordered: Vec<Replica> = kept.copied().collect();
    ordered.extend(new);
    ordered
}

fn no_group(group: GroupId) -> MetaError {
    MetaError::Invalid { reason: format!("there is no group {group}") }
}

fn invalid(group: GroupId, reason: &str) -> MetaError {
    MetaError::Invalid { reason: format!("group {group} is not changed: {reason}") }
}
