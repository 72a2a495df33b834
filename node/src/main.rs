//! `raftduck`: one program for every process of a cluster, and for the people who use one.

mod admin;
mod bench;
mod bootstrap;
mod cli;
mod client;
mod demo;
mod local;
mod logs;
mod machine;
mod recover;
mod roles;
mod shutdown;
mod store;
mod supervisor;
mod tables;

use std::process::ExitCode;

use cli::{Cli, Command};
use mimalloc::MiMalloc;

/// For DuckDB's memory too. glibc's grows and shrinks its arenas with `mprotect`, under the lock of
/// the whole address space: a query's thread of the lowest priority that was put aside there kept
/// the runtime's threads from their memory for up to 1.8 s, and the store lost all that it led.
/// This one asks the kernel for a GiB at a time.
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = cli::parse();
    if matches!(cli.command, Command::QueryProcess) {
        // Before logs and runtime: the child's memory and standard streams are the statement's.
        return raftduck_engine::run_child();
    }
    match logs::start(&cli.log).and_then(|()| run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raftduck: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Demo(options) => demo::run(options).await,
        Command::Dev(options) => local::dev(options, &cli.log.log_level).await,
        Command::Worker(options) => roles::worker(options).await,
        Command::Control(options) => roles::control(options).await,
        Command::Bootstrap(options) => bootstrap::command(options).await,
        Command::Sql(options) => client::sql(options).await,
        Command::Status(options) => client::status(options).await,
        Command::Store(command) => store::run(command).await,
        Command::Finalise(options) => admin::finalise(options).await,
        Command::Recover(options) => recover::run(options).await,
        Command::Bench(command) => bench::run(command).await,
        Command::Metrics => print_metrics(),
        Command::QueryProcess => Ok(()),
    }
}

/// The metrics of both roles as a Markdown table.
fn print_metrics() -> anyhow::Result<()> {
    print!("{}", raftduck_wire::metric::markdown(&[raftduck_worker::METRICS, raftduck_control::METRICS].concat()));
    Ok(())
}
