//! What tasks act on: the cluster's state, and the groups of this store.

use std::sync::Arc;
use std::time::Duration;

use raftduck_model::meta::Meta;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::directory::MetaView;
use crate::member::Member;

/// One task's place in the news. Whatever changes while it acts is news when it next waits.
pub struct News {
    meta: MetaView,
    groups: watch::Receiver<()>,
}

impl News {
    /// From now on.
    pub fn of(member: &Member) -> Self {
        Self { meta: member.meta.clone(), groups: member.groups_changed.subscribe() }
    }

    /// The newest state of the cluster; the groups are looked at after this.
    pub fn take(&mut self) -> Arc<Meta> {
        self.groups.borrow_and_update();
        self.meta.borrow_and_update().clone()
    }

    /// Until there is something new, or `at_most` has passed. None when there will be no more.
    pub async fn wait(&mut self, at_most: Option<Duration>) -> Option<()> {
        let pause = async {
            match at_most {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.meta.changed() => changed.ok(),
            changed = self.groups.changed() => changed.ok(),
            () = pause => Some(()),
        }
    }
}
