//! Who is in a group, and how that changes: one step at a time, each from a membership that was seen.

use std::collections::{BTreeMap, BTreeSet};

use openraft::ChangeMembers;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::raft::Precondition;
use openraft::type_config::async_runtime::watch::WatchReceiver;
use raftduck_model::meta::Replica;
use raftduck_model::{LogId, ReplicaId};

use crate::group::{Group, Stopped};
use crate::types::{Node, from_raft, to_raft};

/// A group's members, as of the last membership in a replica's log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Members {
    /// The entry that made it; none before the group was initialised.
    pub at: Option<LogId>,
    /// Whether that entry is known to be committed. One that is not may yet be another.
    pub committed: bool,
    /// All that vote; between two sets of voters, those of both.
    pub voters: Vec<Replica>,
    /// They copy and do not vote.
    pub learners: Vec<Replica>,
    /// Between two sets of voters: majorities of both decide. [`MemberStep::SetVoters`] ends it.
    pub joint: bool,
}

impl Members {
    /// Whether the replica votes.
    pub fn votes(&self, replica: ReplicaId) -> bool {
        self.voters.iter().any(|voter| voter.id == replica)
    }

    /// Whether the replica copies without a vote.
    pub fn learns(&self, replica: ReplicaId) -> bool {
        self.learners.iter().any(|learner| learner.id == replica)
    }
}

/// One step from one membership to the next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemberStep {
    /// A replica begins to copy.
    AddLearner(Replica),
    /// A replica that does not vote is in the group no more.
    RemoveLearner(ReplicaId),
    /// These vote from now on; each is a member already. Voters that are not named leave. Through a
    /// joint membership (Ongaro's thesis §4.3), so it may change any number of them. Nothing here looks
    /// at whether they have the log: whoever asks does.
    SetVoters(BTreeSet<ReplicaId>),
}

/// Why a membership was not changed, or not wholly.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChangeError {
    /// Another replica leads, or none.
    #[error("this replica does not lead its group")]
    NotLeader,
    /// The group's membership is not, or not yet for certain, the one that was seen: look again.
    #[error("the group's membership has changed meanwhile")]
    Superseded,
    /// The step makes no sense for these members.
    #[error("{0}")]
    Refused(String),
    /// The replica stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Group {
    /// The group's members, as far as this replica knows.
    pub fn members(&self) -> Members {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let stored = &metrics.membership_config;
        let membership = stored.membership();
        let known = |id: u64| membership.get_node(&id).map(|node| Replica { id: ReplicaId(id), store: node.store });
        let at = *stored.log_id();
        Members {
            at: at.map(from_raft),
            committed: at.is_some() && at <= metrics.local_committed,
            voters: membership.voter_ids().filter_map(known).collect(),
            learners: membership.learner_ids().filter_map(known).collect(),
            joint: membership.get_joint_config().len() > 1,
        }
    }

    /// Takes one step from the members `seen`; returns once it is committed and applied here. Only the
    /// leader can. Without a quorum it does not return: the caller bounds the wait, and looks at the
    /// members again after it gave up, since the step may yet be taken, by half even.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change_members(&self, seen: &Members, step: MemberStep) -> Result<(), ChangeError> {
        let last_membership_log_id = seen.at.map(to_raft);
        let unchanged = Precondition::LastMembershipLogId { last_membership_log_id };
        let change = match step {
            MemberStep::AddLearner(replica) => {
                ChangeMembers::AddNodes(BTreeMap::from([(replica.id.0, Node { store: replica.store })]))
            }
            MemberStep::RemoveLearner(replica) => ChangeMembers::RemoveNodes(BTreeSet::from([replica.0])),
            MemberStep::SetVoters(voters) => {
                ChangeMembers::ReplaceAllVoters(voters.into_iter().map(|replica| replica.0).collect())
            }
        };
        match self.raft().change_membership_if(change, false, [unchanged]).await {
            Ok(_) => Ok(()),
            Err(RaftError::Fatal(_)) => Err(Stopped.into()),
            Err(RaftError::APIError(error)) => Err(match error {
                ClientWriteError::ForwardToLeader(_) | ClientWriteError::LogEntryDiscarded(_) => ChangeError::NotLeader,
                ClientWriteError::PreconditionFailed(_)
                | ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)) => {
                    ChangeError::Superseded
                }
                error => ChangeError::Refused(error.to_string()),
            }),
        }
    }
}
