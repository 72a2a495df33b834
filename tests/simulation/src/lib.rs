//! A whole cluster in one thread: consensus, log, placement and idempotency keys on a simulated network,
//! simulated disks and simulated clocks. What happens follows from a seed, so whatever goes wrong does so
//! again.
//!
//! Consensus, the write-ahead log, the model and the protocol are the product's crates. Of the worker,
//! which is built on DuckDB, the sources that know nothing of it are compiled here a second time, against
//! a member that has rows in memory instead: see [`process`] for what runs on a store, and the modules
//! named like the worker's own for what stands in for them.

// The worker's own sources.
#[path = "../../../node/worker/src/changes.rs"]
#[rustfmt::skip] // Its tests are not found from here.
mod changes;
#[path = "../../../node/worker/src/hosted.rs"]
mod hosted;
#[path = "../../../node/worker/src/leadership.rs"]
mod leadership;
#[path = "../../../node/worker/src/metaclient.rs"]
mod metaclient;
#[path = "../../../node/worker/src/metamachine.rs"]
#[allow(dead_code)] // Not all of it is asked for here.
mod metamachine;
#[path = "../../../node/worker/src/news.rs"]
mod news;
#[path = "../../../node/worker/src/permits.rs"]
#[allow(dead_code)] // Not all of it is asked for here.
mod permits;
#[path = "../../../node/worker/src/reads.rs"]
mod reads;
#[path = "../../../node/worker/src/replicas.rs"]
mod replicas;
#[path = "../../../node/worker/src/service.rs"]
mod service;
#[path = "../../../node/worker/src/watching.rs"]
mod watching;

// What stands in for the worker's modules of these names.
mod appending;
mod clock;
mod directory;
mod joining;
mod member;
mod partition;
mod querying;
mod tasks;
mod volume;

// The simulation.
mod chance;
mod check;
mod clients;
mod faults;
mod network;
mod process;
mod rows;
mod run;
mod seat;

pub use check::Figures;
pub use run::{Outcome, Settings, run};
pub use seat::Break;
