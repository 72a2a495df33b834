//! From a statement and the catalog to a plan. Pure: no I/O, no clock, no engine.
//!
//! A statement goes through these steps, each a module:
//! 1. [`head::classify`] says by its first words what it is, and refuses what is not served.
//! 2. The caller has DuckDB parse a SELECT (`json_serialize_sql`) and hands its tree to [`check::check`], which
//!    says what the statement reads and whether a store may run it, or refuses it.
//! 3. [`bind::bind`] puts constants in the place of parameters and of the clock; the caller turns the tree back to
//!    text (`json_deserialize_sql`). That text, never the user's, is what runs.
//! 4. [`plan::plan`] decides where.
//! 5. Where rows are shipped, [`narrow::narrow`] says which of them are needed at most.

pub mod bind;
pub mod check;
pub mod functions;
pub mod head;
pub mod narrow;
pub mod plan;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod testkit;
pub mod token;
pub mod tree;

pub use bind::{BindError, Clock, Params, bind};
pub use check::{CheckError, Columns, Facts, check};
pub use head::{Head, HeadError, classify};
pub use narrow::narrow;
pub use plan::{Holding, Plan, PlanError, Shipment, explain, plan};
pub use tree::{Tree, TreeError};
