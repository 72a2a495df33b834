//! What takes too long, or too quiet a machine, to be a test: `cargo xtask idle`, `cargo xtask opening`.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use raftduck_tests::{idle, opening};

/// Measures clusters of real processes.
#[derive(Parser)]
enum Measure {
    /// What clusters without work cost.
    Idle {
        /// For how long each is watched.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// How long a store takes to open.
    Opening {
        /// What DuckDB's file is to hold first.
        #[arg(long, default_value_t = 10)]
        gigabytes: u64,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Measure::parse() {
        Measure::Idle { seconds } => idle(Duration::from_secs(seconds)).await,
        Measure::Opening { gigabytes } => {
            println!("{}", opening::measure(gigabytes * 1_000_000_000).await?);
            Ok(())
        }
    }
}

async fn idle(watched: Duration) -> Result<()> {
    println!("{:>10} {:>16} {:>22} {:>20}", "partitions", "MiB a worker", "CPU of 3 workers", "messages a second");
    let mut all = Vec::new();
    for partitions in [12, 512] {
        let idle = idle::measure(partitions, watched).await?;
        let mib = idle.memory >> 20;
        println!("{partitions:>10} {mib:>16} {:>20.1} % {:>20.0}", idle.processor * 100.0, idle.frames);
        all.push(idle);
    }
    if let [few, many] = all.as_slice() {
        let groups = u64::from(many.partitions - few.partitions);
        println!("{} KiB for each idle replica", many.memory.saturating_sub(few.memory) / 1024 / groups);
    }
    Ok(())
}
