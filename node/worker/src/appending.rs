//! One Append call: its parts checked, admitted and handed to their partitions' leaderships.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use raftduck_engine::{arrow_schema, batch, values};
use raftduck_model::{
    BodyDigest, GroupId, KeyDigest, Part, PartitionId, SchemaVersion, StoreId, Table, TableId, limits,
};
use raftduck_wal::Room;
use raftduck_wire::http::Space;
use raftduck_wire::proto::store::{
    AppendRequest, AppendResponse, NotLeader, PartOutcome, Refused, RowsPart, Written, part_outcome, refused,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::leadership::{Write, WriteOutcome};
use crate::member::{Member, permits};

/// The longest a call may wait, whatever it asks for.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// What a client is told to wait when this store has more rows than it can hold.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Appends every part; each gets its own outcome, in order.
pub async fn append(member: &Arc<Member>, request: AppendRequest) -> AppendResponse {
    let deadline = Instant::now() + Duration::from_millis(request.timeout_ms.into()).min(MAX_WAIT);
    let outcomes = join_all(request.parts.into_iter().map(|part| async move {
        let partition = part.partition;
        let outcome = match one(member, part, deadline).await {
            Ok(written) => part_outcome::Outcome::Written(written),
            Err(Failure::NotLeader(leader)) => part_outcome::Outcome::NotLeader(NotLeader {
                epoch: member.meta.borrow().epoch.0,
                leader_store: leader.map(|store| store.to_string()).unwrap_or_default(),
            }),
            Err(Failure::Refused(code, detail)) => part_outcome::Outcome::Refused(Refused {
                code: code.into(),
                detail,
                retry_after_ms: match code {
                    refused::Code::Busy | refused::Code::DiskFull => RETRY_AFTER.as_millis() as u32,
                    _ => 0,
                },
            }),
        };
        PartOutcome { partition, outcome: Some(outcome) }
    }));
    AppendResponse { outcomes: outcomes.await }
}

enum Failure {
    NotLeader(Option<StoreId>),
    Refused(refused::Code, String),
}

fn refuse(code: refused::Code, detail: impl Into<String>) -> Failure {
    Failure::Refused(code, detail.into())
}

async fn one(member: &Arc<Member>, part: RowsPart, deadline: Instant) -> Result<Written, Failure> {
    let hosted = member.group(GroupId(part.partition)).ok_or(Failure::NotLeader(None))?;
    let leadership = hosted.leadership().ok_or_else(|| Failure::NotLeader(hosted.leader_store()))?;
    if member.wal.room() == Room::Full || *member.space.borrow() != Space::Enough {
        let detail = "the volume of its leader's store is nearly full: add space, or drop a table";
        return Err(refuse(refused::Code::DiskFull, detail));
    }
    let table = table_at(member, TableId(part.table), SchemaVersion(part.schema_version), deadline).await?;
    let part = checked(part, &table)?;
    let bytes = part.data.len();
    let permit = timeout_at(deadline, member.unapplied.clone().acquire_many_owned(permits(bytes))).await;
    let Ok(Ok(permit)) = permit else {
        return Err(refuse(refused::Code::Busy, "more rows wait to be applied here than this store may hold"));
    };
    let (reply, outcome) = oneshot::channel();
    if leadership.submit(Write { table, part, reply, permit }).is_err() {
        return match hosted.is_ready() {
            true => Err(refuse(refused::Code::Busy, "more requests wait for this partition than it may hold")),
            false => Err(Failure::NotLeader(hosted.leader_store())),
        };
    }
    match timeout_at(deadline, outcome).await {
        Ok(Ok(WriteOutcome::Written { index, duplicate })) => Ok(Written { log_index: index, duplicate }),
        Ok(Ok(WriteOutcome::KeyReused)) => {
            Err(refuse(refused::Code::KeyReused, "the idempotency key was used for another body"))
        }
        Ok(Ok(WriteOutcome::Unknown) | Err(_)) | Err(_) => {
            Err(refuse(refused::Code::UnknownOutcome, "no quorum answered in time: repeat it with the same key"))
        }
    }
}

/// The table's definition at exactly the version the rows follow; waits for this store to hear of it.
async fn table_at(
    member: &Member,
    id: TableId,
    version: SchemaVersion,
    deadline: Instant,
) -> Result<Arc<Table>, Failure> {
    let mut meta = member.meta.clone();
    let told = timeout_at(
        deadline,
        meta.wait_for(|meta| match meta.tables.get(&id) {
            Some(table) => table.version >= version,
            None => id < meta.next_table,
        }),
    );
    let Ok(Ok(meta)) = told.await else {
        return Err(refuse(refused::Code::SchemaBehind, format!("this store has not heard of table {id} yet")));
    };
    match meta.tables.get(&id) {
        Some(table) => Ok(Arc::new(table.at(version))),
        None => Err(refuse(refused::Code::TableDropped, "the table was dropped")),
    }
}

/// The rows, once they are known to be what the log may carry: applying them cannot fail.
fn checked(part: RowsPart, table: &Table) -> Result<Part, Failure> {
    let invalid = |detail: String| refuse(refused::Code::Invalid, detail);
    let key = <[u8; 16]>::try_from(&*part.key).map_err(|_| invalid("a key has 16 bytes".into()))?;
    if part.data.len() > limits::ENTRY_BYTES {
        let detail = format!("{} bytes of rows for one partition, {} at most", part.data.len(), limits::ENTRY_BYTES);
        return Err(invalid(detail));
    }
    let rows = batch::decode(part.data.clone(), &arrow_schema::of_table(table))
        .map_err(|error| invalid(format!("rows of partition {}: {error}", PartitionId(part.partition))))?;
    values::check(&rows).map_err(|error| invalid(format!("rows of partition {}: {error}", part.partition)))?;
    if rows.num_rows() != part.rows as usize {
        return Err(invalid(format!("{} rows announced, {} sent", part.rows, rows.num_rows())));
    }
    let null =
        table.columns.iter().zip(rows.columns()).find(|(column, values)| !column.nullable && values.null_count() > 0);
    if let Some((column, _)) = null {
        return Err(invalid(format!("column {:?} is NOT NULL", column.name)));
    }
    Ok(Part {
        key: KeyDigest(u128::from_le_bytes(key)),
        body: BodyDigest(part.body_digest),
        rows: part.rows,
        data: part.data,
    })
}
