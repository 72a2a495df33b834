//! Where a statement runs.

use std::collections::{BTreeMap, BTreeSet};

use raftduck_model::ids::{PartitionId, StoreId};
use raftduck_model::meta::Meta;
use raftduck_model::table::Table;

use crate::check::{Columns, Facts};

/// The partitions of which a store holds a replica that may answer now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holding {
    /// The store.
    pub store: StoreId,
    /// The partitions.
    pub partitions: BTreeSet<PartitionId>,
}

/// How a statement is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Plan {
    /// It reads no table and calls nothing unbounded: control's own engine answers it.
    Constant,
    /// It reads no table, and only a query process may run it.
    Child {
        /// Why.
        reason: String,
    },
    /// One store runs it whole.
    Local {
        /// The store.
        store: StoreId,
        /// The partitions it answers for, in order.
        partitions: Vec<PartitionId>,
        /// What the names mean.
        tables: Vec<Table>,
        /// Partitions that nobody can answer for now, in order: with any, the answer is partial.
        missing: Vec<PartitionId>,
    },
    /// Stores send the tables' columns, and a query process runs it on them.
    Ship {
        /// What is sent of which table.
        tables: Vec<Shipment>,
        /// Who sends it for which partitions; each partition once.
        from: Vec<(StoreId, Vec<PartitionId>)>,
        /// Why no store runs it.
        reason: String,
        /// Partitions that nobody can answer for now, in order: with any, the answer is partial.
        missing: Vec<PartitionId>,
    },
}

/// A table on its way to a query process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shipment {
    /// The table.
    pub table: Table,
    /// The columns that are sent, in the table's order; at least one, so that rows can be counted.
    pub columns: Vec<String>,
    /// The query that the stores answer, where it leaves out rows that the statement does not need; all rows else.
    pub query: Option<String>,
}

/// Why there is no plan.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// The cluster was not bootstrapped.
    #[error("the cluster has no partitions yet: run `raftduck bootstrap`")]
    NoPartitions,
    /// No store can answer for any partition.
    #[error("no store can answer for any partition now: try again later")]
    Unavailable,
    /// The catalog changed between check and plan.
    #[error("a table was dropped meanwhile: send the statement again")]
    TableGone,
}

/// Decides where a statement runs.
///
/// `holdings` are in the order of preference: the first that fits gets a Local statement. `bytes` is what the
/// statement's tables take on disk, as far as known; above `local_bytes` no store runs it alone.
pub fn plan(
    facts: &Facts,
    catalog: &Meta,
    holdings: &[Holding],
    bytes: u64,
    local_bytes: u64,
) -> Result<Plan, PlanError> {
    if facts.tables.is_empty() {
        return Ok(match &facts.process {
            Some(reason) => Plan::Child { reason: reason.clone() },
            None => Plan::Constant,
        });
    }
    let all: BTreeSet<PartitionId> = catalog.partitions.iter().map(|partition| partition.id).collect();
    if all.is_empty() {
        return Err(PlanError::NoPartitions);
    }
    let (from, missing) = cover(&all, holdings);
    if from.is_empty() {
        return Err(PlanError::Unavailable);
    }
    let table = |id| catalog.tables.get(id).ok_or(PlanError::TableGone);
    let reason = match (&facts.process, from.as_slice()) {
        (Some(reason), _) => reason.clone(),
        (None, _) if bytes > local_bytes => format!("its tables take {bytes} bytes, beyond one store's {local_bytes}"),
        (None, [(store, partitions)]) => {
            let tables = facts.tables.keys().map(|id| table(id).cloned()).collect::<Result<_, _>>()?;
            return Ok(Plan::Local { store: *store, partitions: partitions.clone(), tables, missing });
        }
        (None, _) => "no store holds every partition".to_owned(),
    };
    let tables = facts
        .tables
        .iter()
        .map(|(id, columns)| table(id).map(|table| shipment(table, columns)))
        .collect::<Result<_, _>>()?;
    Ok(Plan::Ship { tables, from, reason, missing })
}

/// Few stores that hold every partition that anybody holds, each partition named once; and those nobody holds.
///
/// The greedy cover: the store with the most partitions still wanted, the earlier one of equals.
pub fn cover(
    wanted: &BTreeSet<PartitionId>,
    holdings: &[Holding],
) -> (Vec<(StoreId, Vec<PartitionId>)>, Vec<PartitionId>) {
    let mut left = wanted.clone();
    let mut chosen: BTreeMap<usize, Vec<PartitionId>> = BTreeMap::new();
    while let Some((place, found)) = holdings
        .iter()
        .enumerate()
        .map(|(place, holding)| (place, left.intersection(&holding.partitions).copied().collect::<Vec<_>>()))
        .filter(|(_, found)| !found.is_empty())
        .max_by_key(|(place, found)| (found.len(), std::cmp::Reverse(*place)))
    {
        left.retain(|partition| !found.contains(partition));
        chosen.entry(place).or_default().extend(found);
    }
    let from = chosen
        .into_iter()
        .filter_map(|(place, partitions)| holdings.get(place).map(|holding| (holding.store, partitions)))
        .collect();
    (from, left.into_iter().collect())
}

fn shipment(table: &Table, columns: &Columns) -> Shipment {
    let sent = |name: &str| match columns {
        Columns::All => true,
        Columns::Named(names) => names.contains(&name.to_ascii_lowercase()),
    };
    let mut columns: Vec<String> =
        table.columns.iter().filter(|column| sent(&column.name)).map(|column| column.name.clone()).collect();
    if columns.is_empty() {
        columns.extend(table.key_column().map(|column| column.name.clone()));
    }
    Shipment { table: table.clone(), columns, query: None }
}

/// EXPLAIN's lines.
pub fn explain(plan: &Plan) -> Vec<String> {
    let numbers = |partitions: &[PartitionId]| {
        partitions.iter().map(|partition| partition.to_string()).collect::<Vec<_>>().join(",")
    };
    let (mut lines, missing) = match plan {
        Plan::Constant => return vec!["Constant: control answers it, no table is read".to_owned()],
        Plan::Child { reason } => return vec![format!("Child: a query process runs it, because {reason}")],
        Plan::Local { store, partitions, tables, missing } => {
            let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
            let first = format!("Local: store {store} runs it whole over {}", names.join(", "));
            (vec![first, format!("  partitions {}", numbers(partitions))], missing)
        }
        Plan::Ship { tables, from, reason, missing } => {
            let mut lines = vec![format!("Ship: a query process runs it on rows from the stores, because {reason}")];
            lines.extend(tables.iter().map(|sent| match &sent.query {
                Some(query) => format!("  ships {query}"),
                None => format!("  ships {}({})", sent.table.name, sent.columns.join(", ")),
            }));
            lines.extend(
                from.iter()
                    .map(|(store, partitions)| format!("  from store {store}: partitions {}", numbers(partitions))),
            );
            (lines, missing)
        }
    };
    if !missing.is_empty() {
        lines.push(format!("  missing partitions {}: the answer is partial", numbers(missing)));
    }
    lines
}

#[cfg(test)]
mod tests;
