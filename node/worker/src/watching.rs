//! What this store tells whoever watches it: the cluster's state, and who leads its groups.
//!
//! Pushed when it changes, so nobody polls: 64 workers and 512 partitions are silent while nothing
//! happens.

use std::sync::Arc;

use futures::Stream;
use raftduck_consensus::Role;
use raftduck_model::meta::Meta;
use raftduck_wire::http::Space;
use raftduck_wire::proto::store::{self, WatchUpdate};
use tonic::Status;

use crate::hosted::Hosted;
use crate::member::Member;
use crate::news::News;

/// The stream of one watcher. A slow one gets fewer updates, never an old one.
pub fn updates(member: Arc<Member>) -> impl Stream<Item = Result<WatchUpdate, Status>> + Send + use<> {
    let state = Watcher { news: News::of(&member), member, sent_meta: None, sent_groups: None };
    futures::stream::unfold(state, |mut watcher| async move {
        let update = watcher.next().await?;
        Some((update, watcher))
    })
}

struct Watcher {
    member: Arc<Member>,
    news: News,
    sent_meta: Option<Arc<Meta>>,
    sent_groups: Option<(Vec<store::GroupStatus>, bool)>,
}

impl Watcher {
    /// The next update that says something new; none once the store stops.
    async fn next(&mut self) -> Option<Result<WatchUpdate, Status>> {
        loop {
            let meta = self.news.take();
            let groups: Vec<_> = self.member.hosted().iter().map(group_status).collect();
            let new_meta = self.sent_meta.as_ref().is_none_or(|sent| !Arc::ptr_eq(sent, &meta));
            // How far they are changes with every row, and is told along with other news.
            let lasting: Vec<_> = groups.iter().map(|group| store::GroupStatus { applied: 0, ..*group }).collect();
            let tight = *self.member.space.borrow() != Space::Enough;
            let new_groups = self.sent_groups.as_ref() != Some(&(lasting.clone(), tight));
            if new_meta || new_groups {
                let text = match new_meta {
                    true => serde_json::to_vec(&*meta).map_err(|error| Status::internal(error.to_string())),
                    false => Ok(Vec::new()),
                };
                self.sent_meta = Some(meta);
                self.sent_groups = Some((lasting, tight));
                let store = self.member.store.to_string();
                return Some(text.map(|text| WatchUpdate { meta: text.into(), store, groups, tight }));
            }
            tokio::select! {
                changed = self.news.wait(None) => changed?,
                () = self.member.stop.cancelled() => return None,
            }
        }
    }
}

fn group_status(hosted: &Hosted) -> store::GroupStatus {
    let status = hosted.group.status();
    let status = status.borrow();
    store::GroupStatus {
        group: hosted.id().0,
        replica: hosted.replica.id.0,
        role: match status.role {
            Role::Learner => store::Role::Learner,
            Role::Follower => store::Role::Follower,
            Role::Candidate => store::Role::Candidate,
            Role::Leader => store::Role::Leader,
        }
        .into(),
        term: status.term,
        leader_replica: status.leader.map_or(0, |(replica, _)| replica.0),
        applied: status.applied.map_or(0, |index| index.0),
        ready: hosted.is_ready(),
    }
}
