//! The operator against a real API server, with scripted pods and scripted stores. `KUBECONFIG` names the API server, which
//! needs no nodes and no controllers; `tests/e2e/run --api` makes one, and runs what is ignored here.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cluster;
mod edits;
mod footprint;
mod kubernetes;
mod operator;
mod plane;
#[allow(dead_code)]
#[path = "../suite/stores.rs"]
mod stores;
mod sweep;
