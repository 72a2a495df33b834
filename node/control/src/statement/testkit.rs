//! A cluster's view and a table for the tests here.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use raftduck_model::meta::{Meta, Partition, PartitionState, Replica, StoreInfo};
use raftduck_model::{
    ClusterId, Column, ColumnType, Epoch, PartitionId, ReplicaId, SchemaVersion, StoreId, Table, TableId,
};
use raftduck_sql::{Columns, Facts};
use uuid::Uuid;

use crate::view::{ClusterView, StoreView};

pub(super) fn store(number: u128) -> StoreId {
    StoreId(Uuid::from_u128(number))
}

/// t(k BIGINT, name VARCHAR, at TIMESTAMP DEFAULT …, n INTEGER NOT NULL DEFAULT 7), by k.
pub(super) fn table() -> Table {
    let column = |name: &str, kind: ColumnType, nullable, default: Option<&str>| Column {
        name: name.to_owned(),
        kind,
        nullable,
        default: default.map(str::to_owned),
    };
    let columns = vec![
        column("k", ColumnType::BigInt, true, None),
        column("name", ColumnType::Varchar, true, None),
        column("at", ColumnType::Timestamp, true, Some("'2020-01-01 00:00:00'")),
        column("n", ColumnType::Integer, false, Some("7")),
    ];
    Table { id: TableId(1), name: "t".to_owned(), version: SchemaVersion(1), columns, key: 0 }
}

pub(super) fn facts_of_t() -> Facts {
    let mut facts = Facts::default();
    facts.tables = BTreeMap::from([(TableId(1), Columns::All)]);
    facts
}

/// Three stores that hold three partitions each; those named are away.
pub(super) fn view(away: &[u128]) -> ClusterView {
    let replicas: Vec<Replica> = (1..=3).map(|id| Replica { id: ReplicaId(id), store: store(id.into()) }).collect();
    let partition = |id| Partition {
        id: PartitionId(id),
        replicas: replicas.clone(),
        state: PartitionState::Created,
        change: None,
    };
    let meta = Meta {
        cluster: Some(ClusterId(Uuid::from_u128(9))),
        epoch: Epoch(1),
        catalog_version: 1,
        stores: (1..=3).map(|number| (store(number), StoreInfo::at(format!("s{number}:1")))).collect(),
        partitions: (1..=3).map(partition).collect(),
        tables: BTreeMap::from([(TableId(1), table())]),
        next_table: TableId(2),
        ..Meta::default()
    };
    let said = |number| (store(number), StoreView { connected: !away.contains(&number), ..StoreView::default() });
    ClusterView { meta: Arc::new(meta), stores: (1..=3).map(said).collect(), ..ClusterView::default() }
}
