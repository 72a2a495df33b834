//! The project's chores: `cargo xtask <chore>`. CI runs the same ones.

mod fuzz;
mod one_duckdb;
mod run;
mod simulate;

use anyhow::Result;
use clap::Parser;

use crate::run::cargo;

/// The project's chores, as CI runs them.
#[derive(Parser)]
enum Chore {
    /// Fails where a file is not formatted.
    Fmt,
    /// Lints everything, in the one profile there is.
    Clippy,
    /// Kills and freezes real processes under load, then checks that no row is lost or doubled.
    Chaos {
        /// Rounds of faults are begun until this has passed.
        #[arg(long, default_value_t = 8)]
        minutes: u64,
    },
    /// Stores come and go under load and kills, then checks that no row is lost or doubled.
    Scale {
        /// Rounds of stores that go and come back are begun until this has passed.
        #[arg(long, default_value_t = 5)]
        minutes: u64,
    },
    /// Simulates clusters under faults, each from its seed, and checks what must stay true.
    Simulate {
        /// The seed, or the first of several.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many seeds; without it only this one, whose log RUST_LOG asks for.
        #[arg(long)]
        seeds: Option<u64>,
        /// The tests that CI runs instead: 200 seeds, and that what is wrong on purpose is noticed.
        #[arg(long, conflicts_with_all = ["seed", "seeds"])]
        test: bool,
    },
    /// Measures what clusters without work cost.
    Idle,
    /// Measures how long a store with much in it takes to open.
    Opening {
        /// What its DuckDB file is to hold first.
        #[arg(long, default_value_t = 10)]
        gigabytes: u64,
    },
    /// Feeds the decoders mutated bytes.
    Fuzz {
        /// For how long, each target.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Only this one.
        #[arg(long)]
        target: Option<String>,
    },
    /// Fails where libduckdb-sys was built more than once.
    OneDuckdb,
}

fn main() -> Result<()> {
    match Chore::parse() {
        Chore::Fmt => {
            cargo(["fmt", "--all", "--check"]).checked()?;
            // Without --all, which would follow it into the root workspace.
            cargo(["fmt", "--check", "--manifest-path", simulate::MANIFEST]).checked()?;
            cargo(["fmt", "--all", "--check", "--manifest-path", fuzz::MANIFEST]).checked()
        }
        Chore::Clippy => {
            simulate::clippy()?;
            cargo(["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]).checked()
        }
        Chore::Chaos { minutes } => real_processes("chaos", &["--minutes", &minutes.to_string()]),
        Chore::Scale { minutes } => real_processes("scale", &["--minutes", &minutes.to_string()]),
        Chore::Simulate { test: true, .. } => simulate::test(),
        Chore::Simulate { seed, seeds, .. } => simulate::run(seed, seeds),
        Chore::Idle => real_processes("measure", &["idle"]),
        Chore::Opening { gigabytes } => real_processes("measure", &["opening", "--gigabytes", &gigabytes.to_string()]),
        Chore::Fuzz { seconds, target } => fuzz::fuzz(seconds, target.as_deref()),
        Chore::OneDuckdb => one_duckdb::check(&run::target_folder()),
    }
}

/// One of the long runs with real processes.
fn real_processes(binary: &str, args: &[&str]) -> Result<()> {
    // The whole workspace: one package alone could give DuckDB's build other features.
    cargo(["build", "--release", "--workspace", "--bins"]).checked()?;
    run::Run::new(run::target_folder().join("release").join(binary)).args(args).checked()
}
