//! Levels: which releases work on a cluster together, and how far one can be taken back.
//!
//! A release reads and writes what its own level says and what the one before it does, and goes by the cluster's. So
//! the stores can be moved to a release of the next level one by one, and back, until the cluster's level is raised.

use crate::ids::StoreId;
use crate::meta::{Meta, MetaError, MetaReply, StoreInfo};

/// The level of what this build writes on disk and on the wire. Whoever raises it keeps the one below working.
pub const LEVEL: u32 = 1;

/// What a store's level is where nothing says so.
pub(super) fn first() -> u32 {
    1
}

pub(super) fn is_first(level: &u32) -> bool {
    *level == first()
}

impl StoreInfo {
    /// A store of this build.
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: address.into(), level: LEVEL }
    }
}

impl Meta {
    /// Whether a release of this level may work on the cluster.
    ///
    /// # Errors
    /// Where it knows too little, or no longer what the cluster goes by.
    pub fn admits(&self, level: u32) -> Result<(), MetaError> {
        match (self.level..=self.level.saturating_add(1)).contains(&level) || self.cluster.is_none() {
            true => Ok(()),
            false => Err(MetaError::WrongLevel { level, cluster: self.level }),
        }
    }

    /// The next level, where every store knows it.
    pub fn next_level(&self) -> Option<u32> {
        let next = self.level.checked_add(1)?;
        (self.cluster.is_some() && self.behind(next).is_empty()).then_some(next)
    }

    fn behind(&self, level: u32) -> Vec<StoreId> {
        self.stores.iter().filter(|(_, info)| info.level < level).map(|(store, _)| *store).collect()
    }

    pub(super) fn raise_level(&mut self, to: u32) -> Result<MetaReply, MetaError> {
        if self.cluster.is_none() {
            return Err(MetaError::NotBootstrapped);
        }
        if to <= self.level {
            return Ok(MetaReply::Done);
        }
        let next = self.level.saturating_add(1);
        if to > next {
            let reason = format!("a level is raised by one: the next is {next}, not {to}");
            return Err(MetaError::Invalid { reason });
        }
        let stores = self.behind(to);
        if !stores.is_empty() {
            return Err(MetaError::StoresBehind { level: to, stores });
        }
        self.level = to;
        self.epoch.0 += 1;
        Ok(MetaReply::Done)
    }
}
