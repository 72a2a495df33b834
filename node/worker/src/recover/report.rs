//! What one store has left, as it travels to the others: a JSON file with a format number.

use raftduck_model::meta::{Meta, Replica};
use raftduck_model::{ClusterId, GroupId, LogId, ReplicaId, StoreId, Table};
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    format: u32,
    /// The cluster that the volume belongs to.
    pub cluster: ClusterId,
    /// The volume's level.
    pub level: u32,
    /// The store.
    pub store: StoreId,
    /// Its replicas.
    pub replicas: Vec<ReplicaReport>,
    /// The cluster's state, with the last entry of this store's log of the meta group applied; none
    /// where the store has no replica of it.
    pub meta: Option<Meta>,
    /// The newest version of each table that a partition here knows and none has dropped.
    pub tables: Vec<Table>,
}

/// One replica on the volume.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// Its group.
    pub group: GroupId,
    /// Its id.
    pub replica: ReplicaId,
    /// The highest term it knows of.
    pub term: u64,
    /// Where its log ends; none where it holds nothing.
    pub last: Option<LogId>,
    /// Up to where it knows that its group had committed.
    pub committed: Option<LogId>,
    /// Up to where its rows are in the store's file.
    pub applied: Option<LogId>,
    /// The group's sets of voters, as it last heard: majorities of all of them decide.
    pub voters: Vec<Vec<Replica>>,
    /// The group's replicas without a vote.
    pub learners: Vec<Replica>,
}

/// Why a report cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Not JSON, or not a report's.
    #[error("this is no report of `raftduck recover`")]
    Damaged(#[from] serde_json::Error),
    /// Another release's.
    #[error("the report has format {0}, this build reads {FORMAT}: use one release for all of the recovery")]
    Format(u32),
}

impl Report {
    /// A report with nothing in it yet.
    pub fn new(cluster: ClusterId, level: u32, store: StoreId) -> Self {
        Self { format: FORMAT, cluster, level, store, replicas: Vec::new(), meta: None, tables: Vec::new() }
    }

    /// The store's replica of a group, if it has one.
    pub fn replica(&self, group: GroupId) -> Option<&ReplicaReport> {
        self.replicas.iter().find(|replica| replica.group == group)
    }

    /// The report's text.
    ///
    /// # Errors
    /// None that a report can cause.
    pub fn encode(&self) -> Result<Vec<u8>, ReportError> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// What [`Self::encode`] wrote.
    ///
    /// # Errors
    /// See [`ReportError`].
    pub fn decode(text: &[u8]) -> Result<Self, ReportError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        match serde_json::from_slice::<Head>(text)?.format {
            FORMAT => Ok(serde_json::from_slice(text)?),
            other => Err(ReportError::Format(other)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_report_has_this_text_and_another_format_is_refused() {
        let store = StoreId(Uuid::from_u128(5));
        let voter = Replica { id: ReplicaId(3), store };
        let at = |index| Some(LogId { term: 2, leader: ReplicaId(3), index });
        let replica = ReplicaReport {
            group: GroupId(1),
            replica: voter.id,
            term: 4,
            last: at(9),
            committed: at(8),
            applied: at(7),
            voters: vec![vec![voter]],
            learners: vec![],
        };
        let report = Report { replicas: vec![replica], ..Report::new(ClusterId(Uuid::from_u128(7)), 1, store) };
        let text = report.encode().unwrap();
        let dense: String = String::from_utf8(text.clone()).unwrap().split_whitespace().collect();
        assert_eq!(
            dense,
            r#"{"format":1,"cluster":"00000000-0000-0000-0000-000000000007","level":1,"store":"00000000-0000-0000-0000-000000000005","replicas":[{"group":1,"replica":3,"term":4,"last":{"term":2,"leader":3,"index":9},"committed":{"term":2,"leader":3,"index":8},"applied":{"term":2,"leader":3,"index":7},"voters":[[{"id":3,"store":"00000000-0000-0000-0000-000000000005"}]],"learners":[]}],"meta":null,"tables":[]}"#
        );
        assert_eq!(Report::decode(&text).unwrap(), report);
        let newer = dense.replace("\"format\":1", "\"format\":2,\"more\":{}");
        assert!(matches!(Report::decode(newer.as_bytes()), Err(ReportError::Format(2))));
        assert!(matches!(Report::decode(b"{"), Err(ReportError::Damaged(_))));
    }
}
