//! The integration tests of this crate as one program: each program of its own would compile openraft and link
//! DuckDB for itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admin;
mod cluster;
mod levels;
mod moving;
mod recovery;
mod support;
