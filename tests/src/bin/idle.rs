//! What an idle cluster costs: `cargo xtask idle`.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use raftduck_tests::idle;

/// Measures clusters without work.
#[derive(Parser)]
struct Options {
    /// For how long each is watched.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    println!("{:>10} {:>16} {:>22} {:>20}", "partitions", "MiB a worker", "CPU of 3 workers", "messages a second");
    let mut all = Vec::new();
    for partitions in [12, 512] {
        let idle = idle::measure(partitions, Duration::from_secs(options.seconds)).await?;
        let mib = idle.memory >> 20;
        println!("{partitions:>10} {mib:>16} {:>20.1} % {:>20.0}", idle.processor * 100.0, idle.frames);
        all.push(idle);
    }
    if let [few, many] = all.as_slice() {
        let groups = u64::from(many.partitions - few.partitions);
        println!("{} KiB for each idle replica", many.memory.saturating_sub(few.memory) / groups >> 10);
    }
    Ok(())
}
