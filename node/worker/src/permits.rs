//! Whether the cluster goes on without a store: every group keeps a majority of voters that have its
//! log and answer.
//!
//! Each group's leader alone knows that, so all stores are asked, when somebody wants to know.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use raftduck_consensus::Role;
use raftduck_model::{GroupId, StoreId};
use raftduck_wire::proto::store::{QuorumsRequest, QuorumsResponse};
use tokio::time::timeout;

use crate::changes::{Seen, is_close};
use crate::hosted::Hosted;
use crate::member::Member;

/// How long a restart may take before another store may have its turn.
pub const LASTS: Duration = Duration::from_secs(600);
const ANSWER: Duration = Duration::from_secs(2);

/// The groups of which no leader says that they keep a quorum without the store.
pub async fn lost_without(member: &Arc<Member>, without: StoreId) -> Vec<GroupId> {
    let meta = member.meta.borrow().clone();
    let ask = |store: StoreId| async move {
        let mut client = member.directory.client(store).ok()?;
        let request = QuorumsRequest { without: without.to_string() };
        timeout(ANSWER, client.quorums(request)).await.ok()?.ok().map(tonic::Response::into_inner)
    };
    let answers = join_all(meta.stores.keys().map(|store| ask(*store))).await;
    let (mut kept, mut lost) = (BTreeSet::new(), BTreeSet::new());
    for answer in answers.into_iter().flatten() {
        kept.extend(answer.kept);
        lost.extend(answer.lost);
    }
    // Two may take themselves for one group's leader: the doubt counts.
    meta.groups().filter(|group| !kept.contains(&group.0) || lost.contains(&group.0)).collect()
}

/// The answer for the groups this store leads.
pub fn led(member: &Member, without: StoreId) -> QuorumsResponse {
    let leads = |hosted: &Hosted| hosted.group.status().borrow().role == Role::Leader;
    let (kept, lost): (Vec<Hosted>, Vec<Hosted>) =
        member.hosted().into_iter().filter(leads).partition(|hosted| keeps_quorum(hosted, without));
    let ids = |groups: Vec<Hosted>| groups.iter().map(|hosted| hosted.id().0).collect();
    QuorumsResponse { kept: ids(kept), lost: ids(lost) }
}

fn keeps_quorum(hosted: &Hosted, without: StoreId) -> bool {
    let members = hosted.group.members();
    let status = hosted.group.status();
    let status = status.borrow();
    let seen = Seen { me: hosted.replica.id, members: &members, followers: &status.followers, last: status.last };
    let stays = members.voters.iter().filter(|voter| voter.store != without);
    let there = stays.filter(|voter| voter.id == hosted.replica.id || is_close(voter.id, seen)).count();
    // Between two sets of voters both would have to be counted: wait until that is over.
    !members.joint && 2 * there > members.voters.len()
}
