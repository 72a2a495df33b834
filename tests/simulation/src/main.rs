//! Runs simulations: one here, or many, each in a process of its own.

use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use raftduck_simulation::{Break, Outcome, Settings, run};

/// Simulates a cluster under faults and checks that what must stay true does.
#[derive(Parser)]
struct Arguments {
    /// The seed, or the first of several.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after the other; what happened is said of each.
    #[arg(long)]
    seeds: Option<u64>,
    /// How many run at once.
    #[arg(long, default_value_t = 2)]
    jobs: u64,
    /// Something that is to be wrong on purpose.
    #[arg(long)]
    wrong: Option<Wrong>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Wrong {
    AcknowledgeBeforeQuorum,
    ForgetKeys,
    ReadWithoutIndex,
}

impl From<Wrong> for Break {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::AcknowledgeBeforeQuorum => Break::AcknowledgeBeforeQuorum,
            Wrong::ForgetKeys => Break::ForgetKeys,
            Wrong::ReadWithoutIndex => Break::ReadWithoutIndex,
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.seeds {
        Some(seeds) => many(&arguments, seeds),
        None => one(&arguments),
    }
}

fn one(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into());
    tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    let settings = Settings { seed: arguments.seed, breaks: arguments.wrong.map(Into::into) };
    let Outcome { violations, trace, figures, simulated } = run(settings)?;
    println!("seed {} trace {trace:016x} simulated {} ms {figures}", arguments.seed, simulated.as_millis());
    violations.iter().for_each(|violation| println!("  VIOLATION {violation}"));
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What replaces clocks and random numbers does so for a whole process, once.
fn many(arguments: &Arguments, seeds: u64) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("finding this program")?;
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds {
                return Ok(());
            }
            let seed = arguments.seed + number;
            let mut command = Command::new(&program);
            command.args(["--seed", &seed.to_string()]).stdin(Stdio::null());
            if let Some(name) = arguments.wrong.and_then(|wrong| wrong.to_possible_value()) {
                command.args(["--wrong", name.get_name()]);
            }
            let output = command.output().context("starting a simulation")?;
            print!("{}", String::from_utf8_lossy(&output.stdout));
            if !output.status.success() {
                eprint!("{}", String::from_utf8_lossy(&output.stderr));
                failed.lock().map_err(|_| anyhow::anyhow!("another worker panicked"))?.push(seed);
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..arguments.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
    })?;
    let mut failed = failed.into_inner().unwrap_or_default();
    failed.sort_unstable();
    println!("{} of {seeds} seeds failed{}", failed.len(), if failed.is_empty() { "" } else { ":" });
    for seed in &failed {
        println!("  seed {seed}: cargo xtask simulate --seed {seed}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
