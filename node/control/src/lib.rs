//! The stateless gateway: HTTP in, rows and statements out to the stores.

pub mod ingest;
pub mod route;
pub mod view;
