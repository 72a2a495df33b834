//! One Append call: its parts handed to their partitions' leaderships, as the worker does it, without
//! looking into the rows.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use raftduck_model::{BodyDigest, GroupId, KeyDigest, LogIndex, Part, StoreId, TableId};
use raftduck_wire::proto::store::{
    AppendRequest, AppendResponse, NotLeader, PartOutcome, Refused, RowsPart, Written, part_outcome, refused,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::leadership::{Write, WriteOutcome};
use crate::member::Member;
use crate::seat::Break;

/// As the worker's.
pub async fn append(member: &Arc<Member>, request: AppendRequest) -> AppendResponse {
    let deadline = Instant::now() + Duration::from_millis(request.timeout_ms.into());
    let outcomes = join_all(request.parts.into_iter().map(|part| async move {
        let partition = part.partition;
        let outcome = match one(member, part, deadline).await {
            Ok(written) => part_outcome::Outcome::Written(written),
            Err(Failure::NotLeader(leader)) => part_outcome::Outcome::NotLeader(NotLeader {
                epoch: member.meta.borrow().epoch.0,
                leader_store: leader.map(|store| store.to_string()).unwrap_or_default(),
            }),
            Err(Failure::Refused(code)) => {
                let detail = String::new();
                part_outcome::Outcome::Refused(Refused { code: code.into(), detail, retry_after_ms: 0 })
            }
        };
        PartOutcome { partition, outcome: Some(outcome) }
    }));
    AppendResponse { outcomes: outcomes.await }
}

enum Failure {
    NotLeader(Option<StoreId>),
    Refused(refused::Code),
}

async fn one(member: &Arc<Member>, part: RowsPart, deadline: Instant) -> Result<Written, Failure> {
    let hosted = member.group(GroupId(part.partition)).ok_or(Failure::NotLeader(None))?;
    let leadership = hosted.leadership().ok_or_else(|| Failure::NotLeader(hosted.leader_store()))?;
    let table = member.meta.borrow().tables.get(&TableId(part.table)).cloned();
    let table = Arc::new(table.ok_or(Failure::Refused(refused::Code::SchemaBehind))?);
    let permit = timeout_at(deadline, member.unapplied.clone().acquire_owned()).await;
    let Ok(Ok(permit)) = permit else { return Err(Failure::Refused(refused::Code::Busy)) };
    let key = <[u8; 16]>::try_from(&*part.key).map_err(|_| Failure::Refused(refused::Code::Invalid))?;
    let part = Part {
        key: KeyDigest(u128::from_le_bytes(key)),
        body: BodyDigest(part.body_digest),
        rows: part.rows,
        data: part.data,
    };
    let (reply, outcome) = oneshot::channel();
    if leadership.submit(Write { table, part, reply, permit }).is_err() {
        return Err(Failure::Refused(refused::Code::Busy));
    }
    if member.seat.breaks == Some(Break::AcknowledgeBeforeQuorum) {
        let last = hosted.group.status().borrow().last.map_or(0, |last| last.0);
        member.seat.check.acknowledged(member, &hosted, LogIndex(last + 1));
        return Ok(Written { log_index: last + 1, duplicate: false });
    }
    match timeout_at(deadline, outcome).await {
        Ok(Ok(WriteOutcome::Written { index, duplicate })) => {
            member.seat.check.acknowledged(member, &hosted, LogIndex(index));
            Ok(Written { log_index: index, duplicate })
        }
        Ok(Ok(WriteOutcome::KeyReused)) => Err(Failure::Refused(refused::Code::KeyReused)),
        Ok(Ok(WriteOutcome::Unknown) | Err(_)) | Err(_) => Err(Failure::Refused(refused::Code::UnknownOutcome)),
    }
}
