//! The worker: one process, one volume, one store. It hosts the store's replicas of the cluster's
//! groups, takes rows for the partitions it leads, and answers statements over what it holds.
//!
//! The way of a row: [`service`] → `appending` (checked, admitted) → `leadership` (its key looked
//! up, merged, proposed) → consensus and the log → the reply; then `partition` → the engine.

mod admin;
mod admission;
mod appending;
mod bootstrap;
mod changes;
mod clock;
mod config;
mod directory;
mod hosted;
mod joining;
mod leadership;
mod member;
mod metaclient;
mod metamachine;
mod metrics;
mod news;
mod partition;
mod peering;
mod permits;
mod querying;
mod reads;
pub mod recover;
mod replicas;
mod run;
mod service;
mod space;
mod tasks;
mod volume;
mod watching;

pub use config::WorkerConfig;
pub use metrics::DEFINITIONS as METRICS;
pub use raftduck_consensus::Timing;
pub use run::run;
