//! The chaos run by hand: `cargo xtask chaos --minutes 8`.

use std::time::Duration;

use clap::Parser;
use raftduck_tests::chaos::{self, ChaosConfig};

/// Kills and freezes real processes under load and checks that nothing is lost or doubled.
#[derive(Parser)]
struct Arguments {
    /// Rounds of faults are begun until this has passed.
    #[arg(long, default_value_t = 8)]
    minutes: u64,
    /// What rows and choices follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { minutes, seed } = Arguments::parse();
    let config = ChaosConfig { duration: Duration::from_secs(minutes * 60), seed, ..ChaosConfig::default() };
    println!("{}", chaos::run(config).await?);
    Ok(())
}
