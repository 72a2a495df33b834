//! Changing [`Meta`].

use std::collections::BTreeSet;

use crate::ids::{ClusterId, PartitionId, ReplicaId, SchemaVersion, StoreId, TableId};
use crate::limits;
use crate::meta::{Meta, MetaCommand, MetaError, MetaReply, Partition, PartitionState, Replica, StoreInfo};
use crate::placement::depends_on;
use crate::table::{Column, HIDDEN_COLUMNS, Table};

impl Meta {
    /// The one door through which this state changes.
    pub fn apply(&mut self, command: MetaCommand) -> Result<MetaReply, MetaError> {
        match command {
            MetaCommand::Bootstrap { cluster, stores, replicas, partitions, replication } => {
                self.bootstrap(cluster, stores, replicas, partitions, replication)
            }
            MetaCommand::RegisterStore { store, info } => self.register_store(store, info),
            MetaCommand::DrainStore { store, draining } => self.drain_store(store, draining),
            MetaCommand::RetireStore { store } => self.retire_store(store),
            MetaCommand::PermitRestart { store, now, until } => self.permit_restart(store, now, until),
            MetaCommand::EndRestart { store } => self.end_restart(store),
            MetaCommand::LocateStore { store, location } => self.locate_store(store, location),
            MetaCommand::CountGroups { store } => Ok(MetaReply::Groups { count: depends_on(self, store) }),
            MetaCommand::BeginChange { group, add, remove } => self.begin_change(group, add, remove),
            MetaCommand::CancelChange { group } => self.cancel_change(group),
            MetaCommand::EndChange { group, change, voters } => self.end_change(group, change, &voters),
            MetaCommand::RaiseLevel { to } => self.raise_level(to),
            MetaCommand::Recover(to) => self.recover(to),
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
        check_bootstrap(&stores, &replicas, partitions, replication)
            .map_err(|reason| MetaError::BadBootstrap { reason })?;
        self.cluster = Some(cluster);
        // Of all, or a replay by a later release would come to another level.
        self.level = stores.iter().map(|(_, info)| info.level).min().unwrap_or_default();
        self.next_replica = ReplicaId(replicas.iter().map(|replica| replica.id.0).max().unwrap_or_default() + 1);
        self.next_table = TableId(1);
        self.replicas = replicas;
        self.replication = replication;
        let order: Vec<StoreId> = stores.iter().map(|(id, _)| *id).collect();
        self.stores.extend(stores);
        self.partitions = (0..partitions)
            .map(|index| Partition {
                id: PartitionId(index + 1),
                replicas: (0..replication)
                    .map(|copy| self.new_replica(order[(index + copy) as usize % order.len()]))
                    .collect(),
                state: PartitionState::Creating,
                change: None,
            })
            .collect();
        self.epoch.0 += 1;
        Ok(MetaReply::Done)
    }

    pub(super) fn new_replica(&mut self, store: StoreId) -> Replica {
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
        if self.cluster.is_none() {
            return Err(MetaError::NotBootstrapped);
        }
        if let Some(table) = self.table(&name) {
            return match if_not_exists {
                true => Ok(MetaReply::Table { table: table.clone() }),
                false => Err(MetaError::TableExists { name }),
            };
        }
        check_columns(columns.len())?;
        check_table(&name, &columns, key).map_err(|reason| MetaError::Invalid { reason })?;
        if self.tables.len() >= limits::TABLES {
            return Err(MetaError::TooManyTables { limit: limits::TABLES });
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
        check_column_name(&column.name).map_err(|reason| MetaError::Invalid { reason })?;
        if !column.nullable && column.default.is_none() {
            let reason =
                format!("column {:?} is NOT NULL, so it needs a DEFAULT for the rows that are there", column.name);
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

fn check_bootstrap(
    stores: &[(StoreId, StoreInfo)],
    replicas: &[Replica],
    partitions: u32,
    replication: u32,
) -> Result<(), String> {
    let named: BTreeSet<StoreId> = stores.iter().map(|(store, _)| *store).collect();
    if named.len() < stores.len() {
        return Err("a store is named twice: name each once".to_owned());
    }
    if !(1..=limits::PARTITIONS).contains(&partitions) || replication == 0 || replication as usize > stores.len() {
        return Err(format!(
            "{partitions} partitions of {replication} copies cannot be placed on {} stores: \
             it takes 1 to {} partitions and at least as many stores as copies",
            stores.len(),
            limits::PARTITIONS
        ));
    }
    let levels = || stores.iter().map(|(_, info)| info.level);
    if levels().max() > levels().min().map(|lowest| lowest.saturating_add(1)) {
        return Err("the stores' releases are more than one level apart: run one release on all of them".to_owned());
    }
    let holders: BTreeSet<StoreId> = replicas.iter().map(|replica| replica.store).collect();
    let ids: BTreeSet<ReplicaId> = replicas.iter().map(|replica| replica.id).collect();
    let small = 1..=u64::from(u32::MAX); // far from where counting on would overflow
    if replicas.is_empty()
        || holders.len() < replicas.len()
        || ids.len() < replicas.len()
        || !holders.is_subset(&named)
        || !ids.iter().all(|id| small.contains(&id.0))
    {
        let reason = "the meta group takes at least one replica, each on a store of its own among those named, with an \
                      id of its own from 1";
        return Err(reason.to_owned());
    }
    Ok(())
}

fn check_table(name: &str, columns: &[Column], key: usize) -> Result<(), String> {
    check_name("table", name)?;
    let mut names = BTreeSet::new();
    for column in columns {
        check_column_name(&column.name)?;
        if !names.insert(column.name.to_ascii_lowercase()) {
            return Err(format!("table {name:?} has two columns {:?}", column.name));
        }
    }
    match columns.get(key) {
        None => Err(format!("table {name:?} has no column {key} to partition by")),
        Some(column) if !column.kind.is_key() => Err(format!(
            "table {name:?} cannot be partitioned by {:?}, which is {}: a key is an integer, VARCHAR, UUID, DATE, \
             TIMESTAMP or BOOLEAN",
            column.name, column.kind
        )),
        Some(_) => Ok(()),
    }
}

fn check_column_name(name: &str) -> Result<(), String> {
    check_name("column", name)?;
    match HIDDEN_COLUMNS.iter().any(|hidden| hidden.eq_ignore_ascii_case(name)) {
        true => Err(format!("a column cannot be named {name:?}: the name is kept for the system's own")),
        false => Ok(()),
    }
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > limits::NAME_BYTES || name.contains('\0') {
        return Err(format!(
            "a {what}'s name has 1 to {} bytes and no NUL, this one has {}",
            limits::NAME_BYTES,
            name.len()
        ));
    }
    Ok(())
}
