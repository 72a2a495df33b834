//! The simulation, in its own workspace and target folder: its dependencies have other features there.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::run::{Run, cargo};

/// The simulation's own workspace.
pub const MANIFEST: &str = "tests/simulation/Cargo.toml";

fn folder() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    Ok(PathBuf::from(home).join(".cache/raftduck/simulation"))
}

fn here(command: &str, more: &[&str]) -> Result<Run> {
    let run = cargo([command, "--release", "--manifest-path", MANIFEST]).args(more);
    Ok(run.env("CARGO_TARGET_DIR", folder()?))
}

/// Runs one seed, or so many from `seed` on.
pub fn run(seed: u64, seeds: Option<u64>) -> Result<()> {
    let seed = seed.to_string();
    let many = seeds.map(|seeds| vec!["--seeds".to_owned(), seeds.to_string()]).unwrap_or_default();
    here("run", &["--quiet", "--", "--seed", &seed])?.args(many).checked()
}

/// What CI runs.
pub fn test() -> Result<()> {
    here("test", &[])?.checked()
}

/// Lints the simulation, and the worker's sources as they are compiled there.
pub fn clippy() -> Result<()> {
    here("clippy", &["--lib", "--bins", "--test", "seeds", "--", "-D", "warnings"])?.checked()
}
