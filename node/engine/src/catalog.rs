//! The tables as the apply thread knows them: which versions each partition has learned from its
//! log, and how wide the physical table is that all of them share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parking_lot::RwLock;
use raftduck_model::{PartitionId, SchemaVersion, Table, TableId};

use crate::arrow_schema;

/// The name of the column at this place of a physical table. Users' names are only in the views
/// over it, so that no name of theirs can meet a hidden column or need a rewrite when it changes.
pub(crate) fn physical_column(place: usize) -> String {
    format!("c{place}")
}

/// A physical table, at the newest version that any partition here has learned.
#[derive(Debug)]
pub(crate) struct Physical {
    pub definition: Table,
    pub schema: SchemaRef,
    /// One row each: what rows of older versions get. None for NULL.
    defaults: Vec<Option<ArrayRef>>,
}

impl Physical {
    pub fn new(definition: Table, defaults: Vec<Option<ArrayRef>>) -> Self {
        Self { schema: arrow_schema::of_table(&definition), definition, defaults }
    }

    /// The rows of an older version with the columns that it lacked.
    pub fn widen(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
        let rows = batch.num_rows();
        let missing =
            self.schema.fields().iter().enumerate().skip(batch.num_columns()).map(|(place, field)| {
                match self.defaults.get(place).and_then(Option::as_ref) {
                    Some(value) => take(value, &UInt32Array::from_value(0, rows), None),
                    None => Ok(new_null_array(field.data_type(), rows)),
                }
            });
        batch.columns().iter().map(|column| Ok(Arc::clone(column))).chain(missing).collect()
    }
}

/// What a partition knows of a table's version.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub schema: SchemaRef,
    /// For each column, whether it is NOT NULL, and its name.
    pub required: Arc<[Option<String>]>,
}

/// Which versions of which tables each partition has learned, for those who are not the apply
/// thread.
#[derive(Debug, Default)]
pub(crate) struct Learned(RwLock<BTreeMap<(PartitionId, TableId), BTreeSet<SchemaVersion>>>);

impl Learned {
    pub fn knows(&self, part: PartitionId, table: TableId, version: SchemaVersion) -> bool {
        self.0.read().get(&(part, table)).is_some_and(|versions| versions.contains(&version))
    }

    pub fn tables(&self, part: PartitionId) -> Vec<TableId> {
        let all = (part, TableId(0))..=(part, TableId(u32::MAX));
        self.0.read().range(all).map(|((_, table), _)| *table).collect()
    }
}

/// All that the apply thread knows of tables.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub learned: Arc<Learned>,
    known: HashMap<(PartitionId, TableId), BTreeMap<SchemaVersion, Version>>,
    physical: BTreeMap<TableId, Physical>,
}

impl Catalog {
    /// The table's version as the partition has learned it.
    pub fn version(&self, part: PartitionId, table: TableId, version: SchemaVersion) -> Option<&Version> {
        self.known.get(&(part, table))?.get(&version)
    }

    /// Whether the partition has learned of the table and not of its end.
    pub fn knows(&self, part: PartitionId, table: TableId) -> bool {
        self.known.contains_key(&(part, table))
    }

    /// Whether any partition but this one knows the table.
    pub fn others_know(&self, part: PartitionId, table: TableId) -> bool {
        self.known.keys().any(|(other, known)| *known == table && *other != part)
    }

    pub fn physical(&self, table: TableId) -> Option<&Physical> {
        self.physical.get(&table)
    }

    /// Every physical table.
    pub fn tables(&self) -> impl Iterator<Item = TableId> {
        self.physical.keys().copied()
    }

    pub fn set_physical(&mut self, physical: Physical) {
        self.physical.insert(physical.definition.id, physical);
    }

    pub fn learn(&mut self, part: PartitionId, table: &Table) {
        let required = table.columns.iter().map(|column| (!column.nullable).then(|| column.name.clone())).collect();
        let version = Version { schema: arrow_schema::of_table(table), required };
        self.known.entry((part, table.id)).or_default().insert(table.version, version);
        self.learned.0.write().entry((part, table.id)).or_default().insert(table.version);
    }

    pub fn forget(&mut self, part: PartitionId, table: TableId) {
        self.known.remove(&(part, table));
        self.learned.0.write().remove(&(part, table));
        if !self.others_know(part, table) {
            self.physical.remove(&table);
        }
    }

    /// Forgets all tables of the partition.
    pub fn forget_partition(&mut self, part: PartitionId) {
        let tables: Vec<TableId> =
            self.known.keys().filter(|(known, _)| *known == part).map(|(_, table)| *table).collect();
        for table in tables {
            self.forget(part, table);
        }
    }
}
