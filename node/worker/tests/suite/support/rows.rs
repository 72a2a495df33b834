//! Tables, rows and questions, as a control would send them.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use raftduck_engine::{arrow_schema, batch};
use raftduck_model::meta::{MetaCommand, MetaReply};
use raftduck_model::{Column, ColumnType, KeyDigest, PartitionId, Table};
use raftduck_wire::proto::store::{
    AppendRequest, MetaRequest, PartitionBound, QueryRequest, RowsPart, Written, meta_response, part_outcome,
    query_frame,
};

use super::{Workers, eventually};

impl Workers {
    /// A table of one BIGINT column that is NOT NULL.
    pub async fn create_table(&self, name: &str) -> Arc<Table> {
        let columns = vec![Column { name: "v".into(), kind: ColumnType::BigInt, nullable: false, default: None }];
        let command = MetaCommand::CreateTable { name: name.into(), columns, key: 0, if_not_exists: true };
        let command: Bytes = serde_json::to_vec(&command).unwrap().into();
        let ask_all = async || {
            for store in 0..self.0.len() {
                let Ok(response) = self.client(store).meta(MetaRequest { command: command.clone() }).await else {
                    continue;
                };
                if let Some(meta_response::Outcome::Reply(reply)) = response.into_inner().outcome {
                    return Ok(reply);
                }
            }
            Err("no meta leader")
        };
        let reply = eventually(ask_all).await;
        let MetaReply::Table { table } = serde_json::from_slice(&reply).unwrap() else { panic!("{reply:?}") };
        Arc::new(table)
    }

    pub fn part(&self, table: &Table, partition: PartitionId, key: KeyDigest, values: &[i64]) -> RowsPart {
        let values: Vec<Option<i64>> = values.iter().copied().map(Some).collect();
        RowsPart {
            partition: partition.0,
            table: table.id.0,
            schema_version: table.version.0,
            key: key.0.to_le_bytes().to_vec().into(),
            body_digest: 1,
            rows: values.len() as u32,
            data: rows(table, &values),
        }
    }

    /// Sends one part to one store, once.
    pub async fn try_send(&self, store: usize, part: RowsPart, wait: Duration) -> part_outcome::Outcome {
        let request = AppendRequest { parts: vec![part], timeout_ms: wait.as_millis() as u32 };
        let response = self.client(store).append(request).await.unwrap().into_inner();
        response.outcomes.into_iter().next().unwrap().outcome.unwrap()
    }

    /// Sends one part to whoever leads its partition, again and again with the same key, until it
    /// is written or refused for a reason of its own.
    pub async fn send(&self, part: RowsPart) -> part_outcome::Outcome {
        eventually(async || {
            for store in (0..self.0.len()).filter(|store| self.0[*store].running.is_some()) {
                let outcome = self.try_send(store, part.clone(), Duration::from_secs(1)).await;
                let again = match &outcome {
                    part_outcome::Outcome::NotLeader(_) => true,
                    part_outcome::Outcome::Refused(refusal) => {
                        use raftduck_wire::proto::store::refused::Code;
                        matches!(refusal.code(), Code::UnknownOutcome | Code::SchemaBehind | Code::Busy)
                    }
                    part_outcome::Outcome::Written(_) => false,
                };
                if !again {
                    return Ok(outcome);
                }
            }
            Err("nobody takes the rows")
        })
        .await
    }

    pub async fn append(&self, table: &Table, partition: PartitionId, key: KeyDigest, values: &[i64]) -> Written {
        match self.send(self.part(table, partition, key, values)).await {
            part_outcome::Outcome::Written(written) => written,
            other => panic!("{other:?}"),
        }
    }

    /// `count(*)` and `sum(v)` over all partitions, asked of one store.
    pub async fn count_and_sum(&self, store: usize, table: &Table) -> (i64, i64) {
        let partitions = (1..=self.partitions().await).map(PartitionId);
        self.ask_of(store, table, partitions).await
    }

    /// `count(*)` of one partition, asked of one store.
    pub async fn count_of(&self, store: usize, table: &Table, partition: PartitionId) -> i64 {
        self.ask_of(store, table, [partition]).await.0
    }

    async fn ask_of(
        &self,
        store: usize,
        table: &Table,
        partitions: impl IntoIterator<Item = PartitionId>,
    ) -> (i64, i64) {
        let request = QueryRequest {
            sql: format!("SELECT count(*), coalesce(sum(v), 0)::BIGINT FROM {}", table.name),
            tables: vec![serde_json::to_vec(table).unwrap().into()],
            partitions: partitions.into_iter().map(|id| PartitionBound { partition: id.0, least_index: 0 }).collect(),
            timeout_ms: 10_000,
            ..QueryRequest::default()
        };
        eventually(async || self.ask(store, request.clone()).await.ok_or(format!("store {store} does not answer")))
            .await
    }

    async fn ask(&self, store: usize, request: QueryRequest) -> Option<(i64, i64)> {
        let mut frames = self.client(store).query(request).await.ok()?.into_inner();
        let (mut schema, mut answer) = (None, None);
        while let Some(frame) = frames.message().await.ok()? {
            match frame.frame? {
                query_frame::Frame::Start(start) => schema = Some(batch::decode_schema(&start.schema).unwrap()),
                query_frame::Frame::Batch(bytes) => {
                    let batch = batch::decode(bytes, schema.as_ref()?).unwrap();
                    let value = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(0);
                    answer = Some((value(0), value(1)));
                }
                query_frame::Frame::End(_) => return answer,
                query_frame::Frame::Error(_) => return None,
            }
        }
        None
    }
}

/// The bytes of rows of the table that [`Workers::create_table`] makes.
pub fn rows(table: &Table, values: &[Option<i64>]) -> Bytes {
    let schema = arrow_schema::of_table(table);
    let fields = schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap();
    batch::encode(&batch).unwrap()
}
