//! What one store alone holds of a partition.

use anyhow::{Context, Result, bail};
use raftduck_model::Table;
use raftduck_wire::credential::Credential;
use raftduck_wire::http::TableInfo;
use raftduck_wire::proto::store::query_frame::Frame;
use raftduck_wire::proto::store::{Consistency, PartitionBound, QueryRequest};
use raftduck_wire::rpc;

use crate::launch;

/// What one replica answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The partition's applied index under the read.
    pub index: Option<u64>,
    /// The rows, as the store encoded them.
    pub batches: Vec<Vec<u8>>,
}

/// One store's answer to `sql` over one partition, as its own bytes, and the applied index
/// that it was read at. Replicas at one index must give the same bytes.
///
/// # Errors
/// Where the store does not answer, or with an error.
pub async fn ask(address: &str, table: &TableInfo, partition: u32, sql: &str) -> Result<Reading> {
    let mut store = rpc::store(address, &Credential::new(launch::CLUSTER_TOKEN))?;
    let request = QueryRequest {
        sql: sql.to_owned(),
        tables: vec![serde_json::to_vec(&model_table(table)?)?.into()],
        partitions: vec![PartitionBound { partition, least_index: 0 }],
        consistency: Consistency::Stale.into(),
        timeout_ms: 20_000,
        ..QueryRequest::default()
    };
    let mut frames = store.query(request).await.context("asking a replica")?.into_inner();
    let mut reading = Reading::default();
    while let Some(frame) = frames.message().await.context("reading a replica's answer")? {
        match frame.frame {
            Some(Frame::Start(start)) => {
                reading.index = start.answered.iter().find(|bound| bound.partition == partition).map(|b| b.least_index);
            }
            Some(Frame::Batch(batch)) => reading.batches.push(batch.to_vec()),
            Some(Frame::End(_)) => return Ok(reading),
            Some(Frame::Error(error)) => bail!("{address}, partition {partition}: {}", error.detail),
            None => {}
        }
    }
    bail!("{address}, partition {partition}: the answer has no end")
}

fn model_table(info: &TableInfo) -> Result<Table> {
    let columns = info.columns.iter().map(|column| {
        Ok(raftduck_model::Column {
            name: column.name.clone(),
            kind: column.kind.parse().map_err(|_| anyhow::anyhow!("column type {:?}", column.kind))?,
            nullable: column.nullable,
            default: column.default.clone(),
        })
    });
    let key = info.columns.iter().position(|column| column.name == info.partition_key);
    Ok(Table {
        id: raftduck_model::TableId(info.id),
        name: info.name.clone(),
        version: raftduck_model::SchemaVersion(info.version),
        columns: columns.collect::<Result<_>>()?,
        key: key.context("the table has no key column")?,
    })
}
