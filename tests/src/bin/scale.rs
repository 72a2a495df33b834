//! Stores that come and go, by hand: `cargo xtask scale --minutes 5`.

use std::time::Duration;

use clap::Parser;
use raftduck_tests::scale::{self, ScaleConfig};

/// Grows and shrinks a cluster of real processes under load and kills, and checks that nothing is lost or doubled.
#[derive(Parser)]
struct Arguments {
    /// Rounds of stores that go and come back are begun until this has passed.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// What rows and choices follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { minutes, seed } = Arguments::parse();
    let config = ScaleConfig { duration: Duration::from_secs(minutes * 60), seed, ..ScaleConfig::default() };
    println!("{}", scale::run(config).await?);
    Ok(())
}
