//! The stateless gateway: HTTP in, rows and statements out to the stores.
//!
//! The way of a row: `api::rows` → [`ingest`] → [`route::split`](fn@route::split) → [`route::Router`]. The way of a
//! statement: `api::sql` → `statement`. What both know of the cluster is [`view`].

mod api;
pub mod auth;
mod config;
mod control;
mod format;
pub mod ingest;
pub mod meta;
mod metrics;
pub mod problem;
pub mod render;
pub mod route;
mod run;
pub mod scratch;
mod service;
pub mod statement;
pub mod view;

pub use config::{ControlConfig, Limits};
pub use control::{Control, StartError};
pub use format::Format;
pub use metrics::{DEFINITIONS as METRICS, Metrics};
pub use run::run;
