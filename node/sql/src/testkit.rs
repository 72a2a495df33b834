//! What the tests of several modules share: recorded trees and a small catalog.

use std::collections::BTreeMap;

use raftduck_model::ids::{ClusterId, ReplicaId, SchemaVersion, StoreId, TableId};
use raftduck_model::meta::{Meta, MetaCommand, Replica, StoreInfo};
use raftduck_model::table::{Column, Table};

use crate::tree::Tree;

/// The tree that `tests/trees/record.py` recorded for a statement.
pub(crate) fn tree(sql: &str) -> Tree {
    let recorded = include_str!("../tests/trees/trees.jsonl");
    let trees: BTreeMap<String, String> = recorded
        .lines()
        .map(|line| serde_json::from_str::<BTreeMap<String, String>>(line).unwrap())
        .map(|mut entry| (entry.remove("sql").unwrap(), entry.remove("tree").unwrap()))
        .collect();
    Tree::parse(trees.get(sql).unwrap_or_else(|| panic!("not recorded: {sql}"))).unwrap()
}

pub(crate) fn store(number: u128) -> StoreId {
    StoreId(format!("00000000-0000-0000-0000-{number:012}").parse().unwrap())
}

/// Three stores, twelve partitions on each; tables t(k, a, b), u(k, c), v(current_date).
pub(crate) fn catalog() -> Meta {
    let mut meta = Meta::default();
    let stores: Vec<_> = (1..=3).map(|number| (store(number), StoreInfo::at(format!("s{number}:1")))).collect();
    let replicas =
        stores.iter().zip(1..).map(|((store, _), id)| Replica { id: ReplicaId(id), store: *store }).collect();
    let cluster = ClusterId(store(9).0);
    meta.apply(MetaCommand::Bootstrap { cluster, stores, replicas, partitions: 12, replication: 3 }).unwrap();
    for (id, name, columns) in [
        (1, "t", vec!["k TIMESTAMP", "a BIGINT", "b VARCHAR"]),
        (2, "u", vec!["k TIMESTAMP", "c BIGINT"]),
        (3, "v", vec!["current_date BIGINT"]),
    ] {
        let columns = columns.iter().map(|column| column.split_once(' ').unwrap()).map(|(name, kind)| Column {
            name: name.to_owned(),
            kind: kind.parse().unwrap(),
            nullable: true,
            default: None,
        });
        let (id, version) = (TableId(id), SchemaVersion(1));
        meta.tables.insert(id, Table { id, name: name.to_owned(), version, columns: columns.collect(), key: 0 });
    }
    meta
}
