//! What a group's leader does next for a change of its replicas: a pure function of what it sees.
//!
//! Every step begins from the group's own membership, so whoever leads next goes on from where the
//! last one stopped, and a step that was taken already is not taken again.

use raftduck_consensus::{Follower, MemberStep, Members};
use raftduck_model::meta::{Change, Replica};
use raftduck_model::{LogIndex, ReplicaId};

/// A learner this many entries behind its leader votes in no time: the rest is under way to it.
const CLOSE: u64 = 64;
/// A follower that has answered within this many milliseconds is there.
const RECENT_MILLIS: u64 = 1_000;

/// What a leader sees of its group.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The leader's own replica.
    pub me: ReplicaId,
    /// The last membership in its log.
    pub members: &'a Members,
    /// Its followers, learners among them.
    pub followers: &'a [Follower],
    /// Its log's end.
    pub last: Option<LogIndex>,
}

/// The next thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing yet: a learner copies, or the last step is not committed.
    Wait,
    /// Another voter is to lead: this one is about to go.
    HandOver(ReplicaId),
    /// A step through Raft.
    Step(MemberStep),
    /// It is done, or undone: the meta group is to know the voters.
    Report(Vec<Replica>),
}

/// See the module.
pub fn next(change: &Change, seen: Seen<'_>) -> Next {
    let members = seen.members;
    if !members.committed {
        return Next::Wait;
    }
    let added = change.add.is_none_or(|replica| members.votes(replica.id));
    let gone = change.remove.is_none_or(|replica| !members.votes(replica));
    if !members.joint && added && gone {
        return settled(members);
    }
    let begun = members.joint || change.add.is_some_and(|replica| members.votes(replica.id));
    if change.cancelled && !begun {
        return settled(members);
    }
    if Some(seen.me) == change.remove {
        let stays = |replica: &Replica| members.votes(replica.id) && Some(replica.id) != change.remove;
        return successor(seen.followers, stays).map_or(Next::Wait, |replica| Next::HandOver(replica.id));
    }
    match change.add {
        Some(replica) if !added && !members.learns(replica.id) => Next::Step(MemberStep::AddLearner(replica)),
        Some(replica) if !added && !is_close(replica.id, seen) => Next::Wait,
        add => {
            let stay = members.voters.iter().map(|voter| voter.id).filter(|voter| Some(*voter) != change.remove);
            Next::Step(MemberStep::SetVoters(stay.chain(add.map(|replica| replica.id)).collect()))
        }
    }
}

/// The voters are as they shall be. A learner that is left has no business in the group.
fn settled(members: &Members) -> Next {
    match members.learners.first() {
        Some(learner) => Next::Step(MemberStep::RemoveLearner(learner.id)),
        None => Next::Report(members.voters.clone()),
    }
}

/// Of the followers that are fit and answer, the one with most of the log: the best to lead next.
pub fn successor(followers: &[Follower], fit: impl Fn(&Replica) -> bool) -> Option<Replica> {
    let answers = |follower: &&Follower| follower.silent_millis.is_some_and(|ms| ms < RECENT_MILLIS);
    let fit = followers.iter().filter(answers).filter(|follower| fit(&follower.replica));
    fit.max_by_key(|follower| follower.matched).map(|follower| follower.replica)
}

/// Whether a follower answers and has nearly all of the log.
pub fn is_close(replica: ReplicaId, seen: Seen<'_>) -> bool {
    let next = |index: Option<LogIndex>| index.map_or(0, |index| index.0 + 1);
    seen.followers.iter().any(|follower| {
        follower.replica.id == replica
            && follower.silent_millis.is_some_and(|ms| ms < RECENT_MILLIS)
            && follower.matched.is_some()
            && next(follower.matched) + CLOSE >= next(seen.last)
    })
}

#[cfg(test)]
mod tests;
