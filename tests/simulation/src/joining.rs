//! Simulated stores are members from the start.

use std::sync::Arc;

use anyhow::bail;
use raftduck_model::StoreId;

use crate::member::{Config, Member};
use crate::volume::Membership;

/// As the worker's.
pub struct Joining(pub Arc<Member>);

#[allow(clippy::unused_async)] // As the worker's.
impl Joining {
    pub fn store(&self) -> StoreId {
        self.0.store
    }

    pub fn config(&self) -> &Config {
        &self.0.config
    }

    pub fn membership(&self) -> Option<&Membership> {
        Some(&self.0.membership)
    }

    pub async fn join(&self, _: Membership) -> anyhow::Result<Arc<Member>> {
        bail!("this store is a member")
    }
}
