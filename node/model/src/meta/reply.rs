//! What commands come to.

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterId, StoreId};
use crate::table::Table;

/// What a command came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum MetaReply {
    /// Done, or nothing to do.
    Done,
    /// So many groups.
    Groups {
        /// How many.
        count: usize,
    },
    /// The table as it now is.
    Table {
        /// The table.
        table: Table,
    },
}

/// Why a command changed nothing. Deterministic: every replica says the same.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum MetaError {
    /// The stores were bootstrapped as another cluster.
    #[error("this is cluster {found}, not {asked}: name the right stores, or empty ones")]
    OtherCluster {
        /// The cluster the stores belong to.
        found: ClusterId,
        /// The one asked for.
        asked: ClusterId,
    },
    /// The bootstrap request cannot be met.
    #[error("{reason}")]
    BadBootstrap {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The command needs a cluster, and there is none yet.
    #[error("the cluster was not bootstrapped yet: run `raftduck bootstrap`")]
    NotBootstrapped,
    /// The store was retired.
    #[error("store {store} was retired: set its data aside and let it join empty, as another store")]
    Retired {
        /// The store.
        store: StoreId,
    },
    /// Another store is being restarted.
    #[error("store {store} has the permit to restart: one store at a time")]
    RestartTaken {
        /// The one that has it.
        store: StoreId,
    },
    /// The copies of a partition could not all be placed any more.
    #[error("{copies} copies of each partition need as many stores, {left} would be left: start another store first")]
    TooFewStores {
        /// Stores that would be left.
        left: usize,
        /// Copies of each partition.
        copies: u32,
    },
    /// A release too old or too new for the cluster.
    #[error(
        "this is a release of level {level}, and the cluster is at level {cluster}: releases of that level and of the \
         next may work on it"
    )]
    WrongLevel {
        /// The release's.
        level: u32,
        /// The cluster's.
        cluster: u32,
    },
    /// Some stores' releases do not know the level.
    #[error("every store must run a release that knows level {level}; these do not: {}", named(stores))]
    StoresBehind {
        /// The level.
        level: u32,
        /// The stores.
        stores: Vec<StoreId>,
    },
    /// No such store.
    #[error("there is no store {store}: `raftduck status` shows those there are")]
    NoSuchStore {
        /// The store.
        store: StoreId,
    },
    /// A table of that name exists.
    #[error("table {name:?} exists already")]
    TableExists {
        /// The name.
        name: String,
    },
    /// No table of that name.
    #[error("there is no table {name:?}")]
    NoSuchTable {
        /// The name.
        name: String,
    },
    /// A column of that name exists.
    #[error("table {table:?} has a column {column:?} already")]
    ColumnExists {
        /// The table's name.
        table: String,
        /// The column's name.
        column: String,
    },
    /// The table would have too many columns.
    #[error("a table has at most {limit} columns, this would be {columns}")]
    TooManyColumns {
        /// How many it would be.
        columns: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The cluster would have too many tables.
    #[error("a cluster has at most {limit} tables: drop one first")]
    TooManyTables {
        /// How many there may be.
        limit: usize,
    },
    /// The command does not hold together.
    #[error("{reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
}

fn named(stores: &[StoreId]) -> String {
    stores.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
