//! Where this store leads a group whose replicas are to change: does the change, step by step.

use std::sync::Arc;
use std::time::Duration;

use raftduck_model::GroupId;
use raftduck_model::meta::{Change, MetaCommand};
use tokio::time::{Instant, timeout};

use crate::changes::{Next, Seen, next};
use crate::hosted::Hosted;
use crate::member::Member;
use crate::news::News;

/// Between two looks at a group that is being changed.
const LOOK: Duration = Duration::from_millis(100);
/// For one step through Raft. It may yet be taken after that; the next look shows it.
const STEP: Duration = Duration::from_secs(2);
/// For telling the meta group.
const REPORT: Duration = Duration::from_secs(5);

/// Until the process stops.
pub async fn run(member: Arc<Member>) {
    let mut news = News::of(&member);
    loop {
        let now = news.take();
        let mut busy = false;
        for id in now.groups() {
            let Some((_, Some(change))) = now.group(id) else { continue };
            if let Some(hosted) = member.group(id).filter(Hosted::is_ready) {
                busy = true;
                advance(&member, &hosted, id, &change).await;
            }
        }
        if news.wait(busy.then_some(LOOK)).await.is_none() {
            return;
        }
    }
}

async fn advance(member: &Arc<Member>, hosted: &Hosted, group: GroupId, change: &Change) {
    let members = hosted.group.members();
    let next = {
        let status = hosted.group.status();
        let status = status.borrow();
        let seen = Seen { me: hosted.replica.id, members: &members, followers: &status.followers, last: status.last };
        next(change, seen)
    };
    match next {
        Next::Wait => {}
        Next::HandOver(to) => match hosted.hand_over(to).await {
            Ok(()) => tracing::info!(%group, %to, "this store's replica is to go: another leads"),
            Err(error) => tracing::warn!(%group, %to, %error, "a leader that is to go could not be handed over"),
        },
        Next::Step(step) => {
            tracing::info!(%group, ?step, "a group's members change");
            match timeout(STEP, hosted.group.change_members(&members, step)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%group, %error, "a group's members were not changed, looking again"),
                Err(_) => tracing::warn!(%group, "a group's members were not changed in time, looking again"),
            }
        }
        Next::Report(voters) => {
            let command = MetaCommand::EndChange { group, change: *change, voters };
            match member.meta_anywhere(&command, Instant::now() + REPORT).await {
                // The state that says so arrives on its own.
                Ok(Ok(_)) => tracing::info!(%group, "a group's members have changed"),
                Ok(Err(error)) => tracing::error!(%group, %error, "the meta group refuses a change that was made"),
                Err(error) => tracing::warn!(%group, %error, "a change could not be reported yet"),
            }
        }
    }
}
