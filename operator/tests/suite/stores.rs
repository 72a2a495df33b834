//! Stores that keep no rows: the real cluster state and the real planner, and a script for everything else.

use std::collections::{BTreeMap, BTreeSet};

use raftduck_model::meta::{Meta, MetaCommand, MetaError, MetaReply, Replica, StoreInfo};
use raftduck_model::placement::{Observed, depends_on, plan};
use raftduck_model::{ClusterId, GroupId, ReplicaId, StoreId};
use raftduck_wire::http::{BootstrapRequest, Identity, Space};
use uuid::Uuid;

/// What a worker finds on its volume.
#[derive(Clone, Debug)]
struct Volume {
    store: StoreId,
    cluster: Option<ClusterId>,
}

/// One cluster's stores.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    /// What they agree on.
    pub meta: Meta,
    volumes: BTreeMap<u8, Volume>,
    running: BTreeSet<u8>,
    /// A worker that takes itself for the leader of one group more than it leads.
    pub mistaken: Option<u8>,
    made: u128,
    level: u32,
}

impl Stores {
    pub fn new() -> Self {
        Self { level: 1, ..Self::default() }
    }

    /// A worker starts, on the volume that it had if that is still there.
    pub fn start(&mut self, ordinal: u8) {
        if self.volumes.get(&ordinal).is_none_or(|volume| self.meta.retired.contains(&volume.store)) {
            self.made += 1;
            self.volumes.insert(ordinal, Volume { store: StoreId(Uuid::from_u128(self.made)), cluster: None });
        }
        self.running.insert(ordinal);
    }

    /// A worker that runs asks the others to take it in.
    pub fn join(&mut self, ordinal: u8, address: &str) {
        let store = self.volumes[&ordinal].store;
        let known = self.meta.stores.contains_key(&store);
        if !known && self.meta.cluster.is_some() && self.has_quorum() {
            self.meta.apply(MetaCommand::RegisterStore { store, info: self.info(address) }).unwrap();
            self.volumes.get_mut(&ordinal).unwrap().cluster = self.meta.cluster;
        }
    }

    /// A worker ends.
    pub fn stop(&mut self, ordinal: u8) {
        self.running.remove(&ordinal);
    }

    /// A volume is deleted.
    pub fn lose(&mut self, ordinal: u8) {
        self.volumes.remove(&ordinal);
    }

    pub fn runs(&self, ordinal: u8) -> bool {
        self.running.contains(&ordinal)
    }

    /// The store on that worker's volume.
    pub fn on(&self, ordinal: u8) -> Option<StoreId> {
        self.volumes.get(&ordinal).map(|volume| volume.store)
    }

    fn info(&self, address: &str) -> StoreInfo {
        StoreInfo { address: address.to_owned(), level: self.level }
    }

    fn reachable(&self) -> BTreeSet<StoreId> {
        self.running.iter().filter_map(|ordinal| self.on(*ordinal)).collect()
    }

    /// Whether a majority of the meta group runs.
    pub fn has_quorum(&self) -> bool {
        self.is_majority(&self.meta.replicas)
    }

    fn is_majority(&self, voters: &[Replica]) -> bool {
        let reachable = self.reachable();
        2 * voters.iter().filter(|voter| reachable.contains(&voter.store)).count() > voters.len()
    }

    /// The planner's turn, then at most `moves` changes come to their end.
    pub fn work(&mut self, moves: usize) {
        if self.meta.cluster.is_none() || !self.has_quorum() {
            return;
        }
        let seen = Observed { reachable: self.reachable(), ..Observed::default() };
        for command in plan(&self.meta, &seen) {
            self.meta.apply(command).unwrap();
        }
        let changing: Vec<GroupId> = self
            .meta
            .groups()
            .filter(|group| self.meta.group(*group).is_some_and(|(_, change)| change.is_some()))
            .collect();
        for group in changing.into_iter().take(moves) {
            let (voters, change) = self.meta.group(group).unwrap();
            let change = change.unwrap();
            let comes = change.add.filter(|_| !change.cancelled);
            if !self.is_majority(voters) || comes.is_some_and(|replica| !seen.reachable.contains(&replica.store)) {
                continue;
            }
            let goes = change.remove.filter(|_| !change.cancelled);
            let stay = voters.iter().filter(|voter| Some(voter.id) != goes).copied();
            let voters: Vec<Replica> = stay.chain(comes).collect();
            self.meta.apply(MetaCommand::EndChange { group, change, voters }).unwrap();
        }
        for partition in self.meta.partitions.clone() {
            let _ = self.meta.apply(MetaCommand::PartitionCreated { partition: partition.id });
        }
    }

    /// What a worker answers for itself.
    pub fn identity(&self, ordinal: u8) -> Option<Identity> {
        let volume = self.volumes.get(&ordinal).filter(|_| self.runs(ordinal))?;
        let reachable = self.reachable();
        // Each group is led by the first of its voters that runs, where a majority does.
        let leads = |group: &GroupId| {
            let (voters, _) = self.meta.group(*group).unwrap();
            let first = voters.iter().find(|voter| reachable.contains(&voter.store));
            self.is_majority(voters) && first.is_some_and(|voter| voter.store == volume.store)
        };
        let made = self.meta.cluster.is_some();
        let led = self.meta.groups().filter(|group| made && leads(group)).count() as u32;
        Some(Identity {
            store: volume.store,
            cluster: volume.cluster,
            level: self.level,
            version: "0.1.0".to_owned(),
            leads: led + u32::from(self.mistaken == Some(ordinal)),
            leads_meta: made && leads(&GroupId::META),
            space: Space::Enough,
        })
    }

    /// As `POST bootstrap`: may be done again.
    pub fn bootstrap(&mut self, request: &BootstrapRequest, ordinal_at: impl Fn(&str) -> u8) {
        let ordinals: Vec<u8> = request.stores.iter().map(|address| ordinal_at(address)).collect();
        assert!(ordinals.iter().all(|ordinal| self.runs(*ordinal)), "a store that does not answer");
        let info = |address: &String| self.info(address);
        let stores: Vec<(StoreId, StoreInfo)> = ordinals
            .iter()
            .zip(&request.stores)
            .map(|(ordinal, address)| (self.on(*ordinal).unwrap(), info(address)))
            .collect();
        let meta = if stores.len() >= 5 { 5 } else { stores.len().min(3) };
        let replica =
            |(at, (store, _)): (usize, &(StoreId, StoreInfo))| Replica { id: ReplicaId(at as u64 + 1), store: *store };
        let replicas = stores.iter().take(meta).enumerate().map(replica).collect();
        for ordinal in &ordinals {
            let volume = self.volumes.get_mut(ordinal).unwrap();
            assert!(volume.cluster.is_none_or(|cluster| cluster == request.cluster_uuid), "another cluster's volume");
            volume.cluster = Some(request.cluster_uuid);
        }
        self.meta
            .apply(MetaCommand::Bootstrap {
                cluster: request.cluster_uuid,
                stores,
                replicas,
                partitions: request.partitions,
                replication: request.replication,
            })
            .unwrap();
    }

    /// A command to the meta group, through any store.
    pub fn command(&mut self, command: MetaCommand) -> Option<Result<MetaReply, MetaError>> {
        self.has_quorum().then(|| self.meta.apply(command))
    }

    /// In how many groups the store has a replica.
    pub fn held_by(&self, store: StoreId) -> usize {
        depends_on(&self.meta, store)
    }

    /// Whether every group keeps a majority of running voters without that store.
    pub fn goes_without(&self, store: StoreId) -> bool {
        let mut reachable = self.reachable();
        reachable.remove(&store);
        self.meta.groups().all(|group| {
            let (voters, _) = self.meta.group(group).unwrap();
            2 * voters.iter().filter(|voter| reachable.contains(&voter.store)).count() > voters.len()
        })
    }
}
