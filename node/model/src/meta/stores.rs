//! Stores that come, move, are emptied and go.

use crate::ids::StoreId;
use crate::meta::{Location, Meta, MetaError, MetaReply, RestartPermit, StoreInfo};

impl Meta {
    pub(super) fn register_store(&mut self, store: StoreId, info: StoreInfo) -> Result<MetaReply, MetaError> {
        if self.retired.contains(&store) {
            return Err(MetaError::Retired { store });
        }
        self.admits(info.level)?;
        if self.stores.get(&store) != Some(&info) {
            self.stores.insert(store, info);
            self.epoch.0 += 1;
        }
        Ok(MetaReply::Done)
    }

    pub(super) fn drain_store(&mut self, store: StoreId, draining: bool) -> Result<MetaReply, MetaError> {
        self.known(store)?;
        let left = self.stores.keys().filter(|other| **other != store && !self.draining.contains(other)).count();
        if draining && !self.draining.contains(&store) && left < self.replication as usize {
            return Err(MetaError::TooFewStores { left, copies: self.replication });
        }
        let changed = match draining {
            true => self.draining.insert(store),
            false => self.draining.remove(&store),
        };
        self.epoch.0 += u64::from(changed);
        Ok(MetaReply::Done)
    }

    /// Its replicas stay in the map until they are replaced: a group without them would be smaller.
    pub(super) fn retire_store(&mut self, store: StoreId) -> Result<MetaReply, MetaError> {
        if self.retired.contains(&store) {
            return Ok(MetaReply::Done);
        }
        if self.cluster.is_none() {
            // The bootstrap could name it, and it would be retired and registered.
            return Err(MetaError::NotBootstrapped);
        }
        self.known(store)?;
        self.stores.remove(&store);
        self.draining.remove(&store);
        self.locations.remove(&store);
        self.restart = self.restart.filter(|held| held.store != store);
        self.retired.insert(store);
        self.epoch.0 += 1;
        Ok(MetaReply::Done)
    }

    pub(super) fn permit_restart(&mut self, store: StoreId, now: u64, until: u64) -> Result<MetaReply, MetaError> {
        self.known(store)?;
        let permit = Some(RestartPermit { store, until });
        match self.restart {
            Some(held) if held.store != store && held.until > now => {
                return Err(MetaError::RestartTaken { store: held.store });
            }
            held if held != permit => {
                self.restart = permit;
                self.epoch.0 += 1;
            }
            _ => {}
        }
        Ok(MetaReply::Done)
    }

    pub(super) fn end_restart(&mut self, store: StoreId) -> Result<MetaReply, MetaError> {
        if self.restart.is_some_and(|held| held.store == store) {
            self.restart = None;
            self.epoch.0 += 1;
        }
        Ok(MetaReply::Done)
    }

    pub(super) fn locate_store(&mut self, store: StoreId, location: Location) -> Result<MetaReply, MetaError> {
        self.known(store)?;
        if self.locations.get(&store) != Some(&location) {
            self.locations.insert(store, location);
            self.epoch.0 += 1;
        }
        Ok(MetaReply::Done)
    }

    fn known(&self, store: StoreId) -> Result<(), MetaError> {
        match self.stores.contains_key(&store) {
            true => Ok(()),
            false => Err(MetaError::NoSuchStore { store }),
        }
    }
}
