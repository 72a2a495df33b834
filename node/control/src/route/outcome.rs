//! What a store's answer means for one part: done, once more, or never.

use raftduck_model::StoreId;
use raftduck_wire::proto::store::part_outcome::Outcome;
use raftduck_wire::proto::store::refused::Code;

/// Why a part is not in, and no repetition within this request will change it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Final {
    /// The key was used for another body.
    KeyReused,
    /// The table was dropped meanwhile.
    TableDropped,
    /// The leader's volume is too full for more rows.
    DiskFull(String),
    /// The store cannot read what we sent: a fault of ours.
    Invalid(String),
}

/// Why a part is not in yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Waiting {
    /// Nobody is known to lead the partition.
    #[default]
    NoLeader,
    /// Too many bytes wait at the leader.
    Busy {
        /// When it may pass.
        retry_after_ms: u32,
    },
    /// The leader does not know the table's version yet.
    Schema,
    /// No answer, or one that leaves the outcome open.
    Unanswered,
}

/// What becomes of a part next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Next {
    Written {
        duplicate: bool,
    },
    Failed(Final),
    /// Try again; `uncertain` says that this attempt may have been written all the same.
    Again {
        why: Waiting,
        hint: Option<StoreId>,
        uncertain: bool,
    },
}

/// Judges one answer; an answer without an outcome leaves everything open.
pub(super) fn judge(outcome: Option<Outcome>) -> Next {
    let again = |why, uncertain| Next::Again { why, hint: None, uncertain };
    match outcome {
        Some(Outcome::Written(written)) => Next::Written { duplicate: written.duplicate },
        Some(Outcome::NotLeader(other)) => {
            Next::Again { why: Waiting::NoLeader, hint: other.leader_store.parse().ok(), uncertain: false }
        }
        Some(Outcome::Refused(refused)) => match Code::try_from(refused.code).unwrap_or(Code::Unspecified) {
            Code::Busy => again(Waiting::Busy { retry_after_ms: refused.retry_after_ms }, false),
            Code::KeyReused => Next::Failed(Final::KeyReused),
            Code::SchemaBehind => again(Waiting::Schema, false),
            Code::TableDropped => Next::Failed(Final::TableDropped),
            Code::DiskFull => Next::Failed(Final::DiskFull(refused.detail)),
            Code::Invalid => Next::Failed(Final::Invalid(refused.detail)),
            // A code of a newer store's: whether it wrote is unknown, so ask again under the key.
            Code::UnknownOutcome | Code::Unspecified => again(Waiting::Unanswered, true),
        },
        None => again(Waiting::Unanswered, true),
    }
}
