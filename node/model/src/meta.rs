//! The meta group's state machine: one plain struct, one pure [`Meta::apply`].
//!
//! Serialised as JSON with a version, in its log, in its snapshot and to whoever watches it;
//! `tests/golden.rs` holds the text. Field names are on volumes: add, never rename or reuse.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterId, Epoch, PartitionId, ReplicaId, SchemaVersion, StoreId, TableId};
use crate::limits;
use crate::table::{Column, Table};

/// The level of everything this build writes on disk and on the wire.
pub const LEVEL: u32 = 1;

/// The catalog, the stores and the partition map.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Meta {
    /// None until the cluster was bootstrapped.
    pub cluster: Option<ClusterId>,
    /// Binaries of this level and of the one below may work on the cluster.
    pub level: u32,
    /// Raised by every change of `stores`, `replicas` or `partitions`.
    pub epoch: Epoch,
    /// Raised by every change of `tables`.
    pub catalog_version: u64,
    /// Every store that ever registered and was not retired.
    pub stores: BTreeMap<StoreId, StoreInfo>,
    /// The meta group's own replicas.
    pub replicas: Vec<Replica>,
    /// Partition `p` stands at index `p - 1`.
    pub partitions: Vec<Partition>,
    /// Every table that was not dropped, at its newest version.
    pub tables: BTreeMap<TableId, Table>,
    /// The next replica id that was never used.
    pub next_replica: ReplicaId,
    /// The next table id that was never used.
    pub next_table: TableId,
}

/// One store, as it registered itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreInfo {
    /// `host:port`, resolved afresh at every connection.
    pub address: String,
}

/// One copy of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Replica {
    /// Never reused.
    pub id: ReplicaId,
    /// The store that holds it.
    pub store: StoreId,
}

/// One partition of the map.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Partition {
    /// Its number, from 1.
    pub id: PartitionId,
    /// Its voters; the first is the one that initialises the group, and is preferred to lead it.
    pub replicas: Vec<Replica>,
    /// Whether its group was initialised; it is never initialised again.
    pub state: PartitionState,
}

/// How far a partition's creation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    /// Its replicas wait for the first of them to initialise the group.
    Creating,
    /// The group elected a leader once: a replica without its data is lost, not new.
    Created,
}

/// One change of [`Meta`]. Every command may arrive twice; the second time changes nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum MetaCommand {
    /// Makes the cluster: its stores, its partitions and who holds them.
    Bootstrap {
        /// The new cluster.
        cluster: ClusterId,
        /// Its stores, in the order the operator named them.
        stores: Vec<(StoreId, StoreInfo)>,
        /// The meta group's replicas, already initialised.
        replicas: Vec<Replica>,
        /// How many partitions, for ever.
        partitions: u32,
        /// Copies of each partition.
        replication: u32,
    },
    /// A store says who and where it is.
    RegisterStore {
        /// The store.
        store: StoreId,
        /// Where it is.
        info: StoreInfo,
    },
    /// A partition's group has a leader.
    PartitionCreated {
        /// The partition.
        partition: PartitionId,
    },
    /// CREATE TABLE.
    CreateTable {
        /// The name people will use.
        name: String,
        /// Its columns.
        columns: Vec<Column>,
        /// The partition key's index in `columns`.
        key: usize,
        /// IF NOT EXISTS.
        if_not_exists: bool,
    },
    /// DROP TABLE.
    DropTable {
        /// The table's name.
        name: String,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// ALTER TABLE … ADD COLUMN.
    AddColumn {
        /// The table's name.
        table: String,
        /// What to add, at the end.
        column: Column,
        /// IF NOT EXISTS.
        if_not_exists: bool,
    },
}

/// What a command came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum MetaReply {
    /// Done, or nothing to do.
    Done,
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
    /// The command does not hold together.
    #[error("{reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
}

impl Meta {
    /// The partition's entry in the map.
    pub fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get((id.0 as usize).checked_sub(1)?)
    }

    /// The table of that name, without regard to ASCII case.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.values().find(|table| table.name.eq_ignore_ascii_case(name))
    }

    /// The one door through which this state changes.
    pub fn apply(&mut self, command: MetaCommand) -> Result<MetaReply, MetaError> {
        match command {
            MetaCommand::Bootstrap { cluster, stores, replicas, partitions, replication } => {
                self.bootstrap(cluster, stores, replicas, partitions, replication)
            }
            MetaCommand::RegisterStore { store, info } => {
                if self.stores.get(&store) != Some(&info) {
                    self.stores.insert(store, info);
                    self.epoch.0 += 1;
                }
                Ok(MetaReply::Done)
            }
            MetaCommand::PartitionCreated { partition } => {
                let index = (partition.0 as usize).wrapping_sub(1);
                let Some(entry) = self.partitions.get_mut(index) else {
                    return Err(MetaError::Invalid { reason: format!("there is no partition {partition}") });
                };
                if entry.state == PartitionState::Creating {
                    entry.state = PartitionState::Created;
                    self.epoch.0 += 1;
                }
                Ok(MetaReply::Done)
            }
            MetaCommand::CreateTable { name, columns, key, if_not_exists } => {
                self.create_table(name, columns, key, if_not_exists)
            }
            MetaCommand::DropTable { name, if_exists } => match self.table(&name).map(|table| table.id) {
                Some(id) => {
                    self.tables.remove(&id);
                    self.catalog_version += 1;
                    Ok(MetaReply::Done)
                }
                None if if_exists => Ok(MetaReply::Done),
                None => Err(MetaError::NoSuchTable { name }),
            },
            MetaCommand::AddColumn { table, column, if_not_exists } => self.add_column(table, column, if_not_exists),
        }
    }

    fn bootstrap(
        &mut self,
        cluster: ClusterId,
        stores: Vec<(StoreId, StoreInfo)>,
        replicas: Vec<Replica>,
        partitions: u32,
        replication: u32,
    ) -> Result<MetaReply, MetaError> {
        if let Some(found) = self.cluster {
            return if found == cluster {
                Ok(MetaReply::Done)
            } else {
                Err(MetaError::OtherCluster { found, asked: cluster })
            };
        }
        if partitions == 0 || replication == 0 || replication as usize > stores.len() {
            let reason = format!(
                "{partitions} partitions of {replication} copies cannot be placed on {} stores: \
                 it takes at least one partition and as many stores as copies",
                stores.len()
            );
            return Err(MetaError::BadBootstrap { reason });
        }
        self.cluster = Some(cluster);
        self.level = LEVEL;
        self.next_replica = ReplicaId(replicas.iter().map(|replica| replica.id.0 + 1).max().unwrap_or(1));
        self.next_table = TableId(1);
        self.replicas = replicas;
        let order: Vec<StoreId> = stores.iter().map(|(id, _)| *id).collect();
        self.stores.extend(stores);
        self.partitions = (0..partitions)
            .map(|index| Partition {
                id: PartitionId(index + 1),
                replicas: (0..replication)
                    .map(|copy| self.new_replica(order[(index + copy) as usize % order.len()]))
                    .collect(),
                state: PartitionState::Creating,
            })
            .collect();
        self.epoch.0 += 1;
        Ok(MetaReply::Done)
    }

    fn new_replica(&mut self, store: StoreId) -> Replica {
        let id = self.next_replica;
        self.next_replica.0 += 1;
        Replica { id, store }
    }

    fn create_table(
        &mut self,
        name: String,
        columns: Vec<Column>,
        key: usize,
        if_not_exists: bool,
    ) -> Result<MetaReply, MetaError> {
        if let Some(table) = self.table(&name) {
            return match if_not_exists {
                true => Ok(MetaReply::Table { table: table.clone() }),
                false => Err(MetaError::TableExists { name }),
            };
        }
        check_columns(columns.len())?;
        if key >= columns.len() {
            return Err(MetaError::Invalid { reason: format!("table {name:?} has no column {key} to partition by") });
        }
        let id = self.next_table;
        self.next_table.0 += 1;
        let table = Table { id, name, version: SchemaVersion(1), columns, key };
        self.tables.insert(id, table.clone());
        self.catalog_version += 1;
        Ok(MetaReply::Table { table })
    }

    fn add_column(&mut self, name: String, column: Column, if_not_exists: bool) -> Result<MetaReply, MetaError> {
        let Some(table) = self.tables.values_mut().find(|table| table.name.eq_ignore_ascii_case(&name)) else {
            return Err(MetaError::NoSuchTable { name });
        };
        if table.column(&column.name).is_some() {
            return match if_not_exists {
                true => Ok(MetaReply::Table { table: table.clone() }),
                false => Err(MetaError::ColumnExists { table: name, column: column.name }),
            };
        }
        check_columns(table.columns.len() + 1)?;
        if !column.nullable && column.default.is_none() {
            let reason = format!("column {:?} is NOT NULL, so it needs a DEFAULT for the rows that are there", column.name);
            return Err(MetaError::Invalid { reason });
        }
        table.columns.push(column);
        table.version.0 += 1;
        let table = table.clone();
        self.catalog_version += 1;
        Ok(MetaReply::Table { table })
    }
}

fn check_columns(columns: usize) -> Result<(), MetaError> {
    match columns <= limits::COLUMNS {
        true => Ok(()),
        false => Err(MetaError::TooManyColumns { columns, limit: limits::COLUMNS }),
    }
}
