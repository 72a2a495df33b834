//! What the apply thread does with a partition as a whole: puts a snapshot in the place of its state,
//! or removes it.

use std::sync::Arc;
use std::time::Instant;

use duckdb::Connection;
use raftduck_model::PartitionId;

use super::Applier;
use crate::catalog::Catalog;
use crate::fault::Fault;
use crate::snapshot::InstallError;
use crate::snapshot::install::{self, Verified};
use crate::structure;
use crate::system;
use crate::write;

impl Applier {
    /// Puts a snapshot in the place of the partition's state, in a transaction of its own. It holds
    /// off the checkpoint, as it may change tables.
    pub(super) fn install(
        &mut self,
        part: PartitionId,
        snapshot: &Verified,
    ) -> Result<Result<(), InstallError>, Fault> {
        let state = self.shared.partitions.get(part);
        match state.applied().last {
            Some(applied) if snapshot.manifest.last.is_none_or(|last| last.index < applied.index) => {
                return Ok(Err(InstallError::Behind(applied)));
            }
            _ => {}
        }
        let structure = Arc::clone(&self.shared.structure);
        let _held = structure.lock();
        let remembered = self.shared.options.keys_per_partition;
        let mut installed = None;
        let result = self.patiently(|connection, catalog| {
            installed = Some(install::write(connection, catalog, part, snapshot, remembered)?);
            Ok(())
        });
        match (result, installed) {
            (Ok(()), Some(installed)) => {
                let rows = installed.rows;
                let (keys, applied) = installed.apply_to(&mut self.catalog, part);
                *state.0.keys.lock() = keys;
                state.0.applied.send_replace(applied);
                self.shared.stats.applied_transaction(rows);
                self.shared.checkpoints.note(0, rows);
                Ok(Ok(()))
            }
            (Ok(()), None) => Err(Fault::Storage("a committed snapshot came to nothing".into())),
            (Err(Fault::Statement(reason)), _) => Ok(Err(InstallError::Rows(reason))),
            (Err(fault), _) => Err(fault),
        }
    }

    /// Removes all that the store holds of the partition, in a transaction of its own. It holds off
    /// the checkpoint, as it may drop tables; a checkpoint that is under way does not know the
    /// partition's old position afterwards.
    pub(super) fn remove(&mut self, part: PartitionId) -> Result<(), Fault> {
        self.removed.insert(part);
        let state = self.shared.partitions.get(part);
        // Every transaction of a partition writes its position.
        let Some(last) = state.applied().last else { return Ok(()) };
        let begun = Instant::now();
        let structure = Arc::clone(&self.shared.structure);
        let _held = structure.lock();
        let mut rows = 0;
        self.patiently(|connection, catalog| {
            rows = delete(connection, catalog, part)?;
            Ok(())
        })?;
        self.catalog.forget_partition(part);
        state.clear(self.shared.options.keys_per_partition);
        self.shared.stats.applied_transaction(0);
        self.shared.checkpoints.note(0, rows);
        tracing::info!(%part, %last, rows, took = ?begun.elapsed(), "a partition was removed");
        Ok(())
    }
}

/// Deletes the partition from the file in one transaction, and drops the tables that no other
/// partition knows. Returns how many rows were deleted one by one.
fn delete(connection: &Connection, catalog: &Catalog, part: PartitionId) -> Result<u64, Fault> {
    let mut rows = 0;
    write::atomically(connection, || {
        for table in catalog.tables() {
            // Of a table that the partition itself has dropped, rows may be left too.
            if catalog.others_know(part, table) {
                rows += structure::delete_rows(connection, part, table)?;
            } else {
                structure::drop_physical(connection, table)?;
            }
        }
        system::delete_partition(connection, part)
    })?;
    Ok(rows)
}
