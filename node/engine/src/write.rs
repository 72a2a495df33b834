//! One planned transaction, written.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use duckdb::{Appender, Connection};
use raftduck_model::{PartitionId, TableId};

use crate::appendable;
use crate::catalog::{Catalog, Physical, physical_column};
use crate::fault::Fault;
use crate::plan::{Placed, Plan};
use crate::system::CATALOG;

impl From<ArrowError> for Fault {
    /// Arrays that do not fit together are the data's fault, and the same everywhere.
    fn from(error: ArrowError) -> Self {
        Self::Statement(format!("Conversion Error: {error}"))
    }
}

/// Writes the plan, and `also` before it, in one transaction; or nothing at all.
pub(crate) fn transaction(
    connection: &Connection,
    catalog: &Catalog,
    plan: &Plan,
    also: impl FnOnce(&Connection, &Catalog) -> Result<(), Fault>,
) -> Result<(), Fault> {
    atomically(connection, || {
        also(connection, catalog)?;
        for (table, placed) in &plan.rows {
            rows(connection, catalog, *table, placed)?;
        }
        if !plan.keys.is_empty() {
            append(connection, "keys", keys(plan)?)?;
        }
        append(connection, "applied", advances(plan)?)?;
        if let Some(memberships) = memberships(plan)? {
            append(connection, "memberships", memberships)?;
        }
        Ok(())
    })
}

/// Does the work in one transaction: all of it is committed, or nothing.
pub(crate) fn atomically(connection: &Connection, work: impl FnOnce() -> Result<(), Fault>) -> Result<(), Fault> {
    connection.execute_batch("BEGIN TRANSACTION")?;
    let result = work().and_then(|()| Ok(connection.execute_batch("COMMIT")?));
    if result.is_err() {
        // A commit that failed has rolled back already, and then this says so; either way nothing
        // of the transaction is left.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}

/// Appends a batch to one of the file's tables.
pub(crate) fn append(connection: &Connection, table: &str, batch: RecordBatch) -> Result<(), Fault> {
    Appending::begin(connection, table)?.append(&batch)
}

/// Batches on their way into one of the file's tables.
pub(crate) struct Appending<'a>(Appender<'a>);

impl<'a> Appending<'a> {
    pub fn begin(connection: &'a Connection, table: &str) -> Result<Self, Fault> {
        Ok(Self(connection.appender_to_catalog_and_db(table, CATALOG, "main")?))
    }

    pub fn append(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        for piece in appendable::pieces(batch)? {
            self.0.append_record_batch(piece)?;
            self.0.flush()?;
        }
        Ok(())
    }
}

fn rows(connection: &Connection, catalog: &Catalog, table: TableId, placed: &[Placed]) -> Result<(), Fault> {
    let physical = catalog
        .physical(table)
        .ok_or_else(|| Fault::Storage(format!("table {table} is known and not there: the file is damaged")))?;
    append(connection, &table.physical_name(), physical_rows(physical, placed)?)
}

/// All rows of one table in one batch of the physical table's columns.
pub(crate) fn physical_rows(physical: &Physical, placed: &[Placed]) -> Result<RecordBatch, ArrowError> {
    let hidden = [("_part", DataType::UInt32), ("_idx", DataType::UInt64), ("_ord", DataType::UInt32)];
    let hidden = hidden.into_iter().map(|(name, kind)| Arc::new(Field::new(name, kind, false)));
    let columns = physical
        .schema
        .fields()
        .iter()
        .enumerate()
        .map(|(place, field)| Arc::new(Field::clone(field).with_name(physical_column(place))));
    let schema = Arc::new(Schema::new(hidden.chain(columns).collect::<Vec<_>>()));

    let mut batches = Vec::with_capacity(placed.len());
    for Placed { part, index, first, rows } in placed {
        let count = rows.num_rows();
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from_value(part.0, count)),
            Arc::new(UInt64Array::from_value(*index, count)),
            Arc::new(UInt32Array::from_iter_values(*first..*first + count as u32)),
        ];
        arrays.extend(physical.widen(rows)?);
        batches.push(RecordBatch::try_new(Arc::clone(&schema), arrays)?);
    }
    match batches.as_slice() {
        [single] => Ok(single.clone()),
        several => concat_batches(&schema, several),
    }
}

fn keys(plan: &Plan) -> Result<RecordBatch, ArrowError> {
    let narrow = |of: fn(&crate::plan::NewKey) -> u32| -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values(plan.keys.iter().map(of)))
    };
    let wide = |of: fn(&crate::plan::NewKey) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(plan.keys.iter().map(of)))
    };
    RecordBatch::try_from_iter([
        ("part", narrow(|key| key.part.0)),
        ("idx", wide(|key| key.record.index.0)),
        ("ord", narrow(|key| key.ord)),
        ("high", wide(|key| (key.key.0 >> 64) as u64)),
        ("low", wide(|key| key.key.0 as u64)),
        ("body", wide(|key| key.record.body.0)),
        ("rows", narrow(|key| key.record.rows)),
        ("time", wide(|key| key.time.0)),
    ])
}

fn advances(plan: &Plan) -> Result<RecordBatch, ArrowError> {
    let wide = |of: fn(&crate::plan::Advance) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(plan.advances.values().map(of)))
    };
    RecordBatch::try_from_iter([
        ("part", Arc::new(UInt32Array::from_iter_values(plan.advances.keys().map(|part| part.0))) as ArrayRef),
        ("idx", wide(|advance| advance.last.index)),
        ("term", wide(|advance| advance.last.term)),
        ("leader", wide(|advance| advance.last.leader.0)),
        ("time", wide(|advance| advance.time.0)),
    ])
}

fn memberships(plan: &Plan) -> Result<Option<RecordBatch>, ArrowError> {
    let changed: HashMap<PartitionId, _> = plan
        .advances
        .iter()
        .filter_map(|(part, advance)| Some((*part, (advance.last.index, advance.membership.as_ref()?))))
        .collect();
    if changed.is_empty() {
        return Ok(None);
    }
    let part: ArrayRef = Arc::new(UInt32Array::from_iter_values(changed.keys().map(|part| part.0)));
    let index: ArrayRef = Arc::new(UInt64Array::from_iter_values(changed.values().map(|(index, _)| *index)));
    let data: ArrayRef = Arc::new(BinaryArray::from_iter_values(changed.values().map(|(_, data)| data.as_ref())));
    RecordBatch::try_from_iter([("part", part), ("idx", index), ("data", data)]).map(Some)
}
