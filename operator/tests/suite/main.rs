//! The operator against scripted stores: first purely, then through a real API server.

#![allow(clippy::unwrap_used, clippy::panic)]

mod deciding;
mod monitoring;
mod saying;
mod stores;
mod world;
