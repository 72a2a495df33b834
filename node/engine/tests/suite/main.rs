//! The integration tests of this crate as one program: each program of its own would link DuckDB for itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod apply;
mod checkpoint;
mod checkpoint_crash;
mod damaged_snapshots;
mod inspect;
mod install_crash;
mod query;
mod removal;
mod removal_crash;
mod removal_queries;
mod snapshots;
mod support;
