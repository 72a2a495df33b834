//! The integration tests of this crate as one program: each program of its own would compile openraft for itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod common;
mod decoders;
mod disruption;
mod golden;
mod membership;
mod peers;
mod processes;
mod recover;
mod snapshot;
