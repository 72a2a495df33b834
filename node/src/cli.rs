//! The command line: what each command takes, from flags, environment and file, in that order.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use raftduck_model::error_chain;

use crate::logs::LogOptions;

pub mod file;
pub mod roles;
pub mod units;

use roles::{ControlOptions, WorkerOptions};

/// The token of `dev` and `demo` where none is given. It protects nothing: both listen on loopback only.
pub const LOCAL_TOKEN: &str = "local-dev-token-123";

/// An analytics database: DuckDB's SQL, every row on three disks through Raft.
#[derive(Parser, Debug)]
#[command(name = "raftduck", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// A TOML file of settings, named like the long flags; flags and environment win over it.
    #[arg(long, global = true, env = "RAFTDUCK_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Logs.
    #[command(flatten)]
    pub log: LogOptions,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Raftduck's commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Shows a cluster on this machine: real data, questions, a killed worker, nothing lost.
    Demo(DemoOptions),
    /// Runs a whole cluster on this machine and keeps its data.
    Dev(DevOptions),
    /// Runs one store: holds replicas, serves the other stores and control.
    Worker(WorkerOptions),
    /// Runs one gateway: takes rows and SQL over HTTP.
    Control(ControlOptions),
    /// Makes a cluster of empty stores, once; doing it again changes nothing.
    Bootstrap(BootstrapOptions),
    /// Runs one SQL statement and prints the answer as a table.
    Sql(SqlOptions),
    /// Shows stores, partitions and leaders.
    Status(ServerOptions),
    /// Empties a store, gives a lost one up, says whether one may go.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Ends an upgrade: the cluster goes by the new release from now on, and older ones are refused.
    Finalise(AdminOptions),
    /// Begins again from the stores that are left, after a majority is lost for ever. Shows first what it would do.
    Recover(RecoverOptions),
    /// Measures a cluster on this machine beside one plain DuckDB.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Prints the table of metrics, as README shows it.
    Metrics,
    /// Runs one statement on standard input; control starts it for what a store may not run.
    #[command(hide = true)]
    QueryProcess,
}

/// What `demo` and `dev` share.
#[derive(Args, Clone, Debug)]
pub struct LocalOptions {
    /// Workers, each with a volume and a copy of every row on three of them.
    #[arg(long, env = "RAFTDUCK_WORKERS", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// Control's port; worker i has the i-th after it.
    #[arg(long, env = "RAFTDUCK_BASE_PORT", default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    pub base_port: u16,
    /// The bearer token that clients send.
    #[arg(long, env = "RAFTDUCK_TOKEN", default_value = LOCAL_TOKEN, hide_env_values = true)]
    pub token: String,
    /// Memory for all processes together, such as 4GiB [default: half of the machine's].
    #[arg(long, env = "RAFTDUCK_MEMORY", value_name = "BYTES")]
    pub memory: Option<units::ByteSize>,
}

/// What `demo` takes.
#[derive(Args, Debug)]
pub struct DemoOptions {
    /// Ends after the tour; the exit code is 0 only if every answer was right.
    #[arg(long)]
    pub once: bool,
    /// The local cluster.
    #[command(flatten)]
    pub local: LocalOptions,
}

/// What `dev` takes.
#[derive(Args, Debug)]
pub struct DevOptions {
    /// The folder that keeps the cluster [default: raftduck/dev in the user's data folder].
    #[arg(long, env = "RAFTDUCK_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The local cluster.
    #[command(flatten)]
    pub local: LocalOptions,
}

/// What `bootstrap` takes.
#[derive(Args, Debug)]
pub struct BootstrapOptions {
    /// The new cluster's UUID; choose it once and keep it.
    #[arg(long, env = "RAFTDUCK_CLUSTER_UUID", value_name = "UUID")]
    pub cluster_uuid: uuid::Uuid,
    /// The stores' addresses, host:port, separated by commas; the first one does the work.
    #[arg(long, env = "RAFTDUCK_STORES", value_delimiter = ',', required = true, value_name = "HOST:PORT,…")]
    pub stores: Vec<String>,
    /// Partitions, for ever: four times the most workers there will be.
    #[arg(long, env = "RAFTDUCK_PARTITIONS", default_value_t = 12)]
    pub partitions: u32,
    /// Copies of each partition.
    #[arg(long, env = "RAFTDUCK_REPLICATION", default_value_t = 3)]
    pub replication: u32,
    /// Does not wait until every partition has a leader.
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait, in seconds.
    #[arg(long, default_value_t = 60)]
    pub timeout_s: u64,
    /// The cluster's own secret.
    #[command(flatten)]
    pub secret: roles::ClusterToken,
}

/// Which server a client command speaks to.
#[derive(Args, Clone, Debug)]
pub struct ServerOptions {
    /// Control's address.
    #[arg(long, env = "RAFTDUCK_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub url: String,
    /// The bearer token.
    #[arg(long, env = "RAFTDUCK_TOKEN", default_value = LOCAL_TOKEN, hide_env_values = true)]
    pub token: String,
}

/// What can be done with a store.
#[derive(Subcommand, Debug)]
pub enum StoreCommand {
    /// Moves all it holds to other stores; its leaders go first.
    Drain(StoreOptions),
    /// Takes a drain back: what has not moved yet stays.
    Keep(StoreOptions),
    /// Gives up a store whose volume is lost: its copies are made anew. If it comes back, it joins empty.
    Retire(StoreOptions),
    /// Succeeds once nothing depends on it.
    SafeToRemove(StoreOptions),
}

/// Which store, and which worker is asked.
#[derive(Args, Clone, Debug)]
pub struct StoreOptions {
    /// The store's UUID, as `raftduck status` shows it.
    pub store: uuid::Uuid,
    /// Which worker.
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// Which worker's admin endpoints are asked.
#[derive(Args, Clone, Debug)]
pub struct AdminOptions {
    /// Any worker of the cluster.
    #[arg(long, env = "RAFTDUCK_WORKER", default_value = "127.0.0.1:8081", value_name = "HOST:PORT")]
    pub worker: String,
    /// The cluster's own secret.
    #[command(flatten)]
    pub secret: roles::ClusterToken,
}

/// What `recover` takes.
#[derive(Args, Debug)]
pub struct RecoverOptions {
    /// The volume of a store that is left; its worker does not run.
    #[arg(long, env = "RAFTDUCK_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// Where to write down what the volume holds, for the other stores that are left.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// What another store that is left wrote with --report; once for each. The others are given up.
    #[arg(long, value_name = "FILE")]
    pub with: Vec<PathBuf>,
    /// Does what was shown: the plan's number, from the last line.
    #[arg(long, value_name = "PLAN")]
    pub apply: Option<String>,
    /// The cluster's own secret, to ask whether the stores given up still answer.
    #[command(flatten)]
    pub secret: roles::ClusterToken,
}

/// What `sql` takes.
#[derive(Args, Debug)]
pub struct SqlOptions {
    /// One statement.
    pub statement: String,
    /// The server.
    #[command(flatten)]
    pub server: ServerOptions,
}

/// What the benchmarks share. They start a cluster of their own in a temporary folder.
#[derive(Args, Clone, Debug)]
pub struct BenchOptions {
    /// Rows to load.
    #[arg(long, default_value_t = 10_000_000)]
    pub rows: u64,
    /// Rows in one request.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// Requests under way at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub clients: u16,
    /// The local cluster.
    #[command(flatten)]
    pub local: LocalOptions,
}

/// The benchmarks.
#[derive(Subcommand, Debug)]
pub enum BenchCommand {
    /// Rows per second of large Arrow batches, and CPU seconds per million rows.
    Ingest(BenchOptions),
    /// Requests per second and latency of small batches with keys.
    Insert(BenchOptions),
    /// Five queries over the loaded rows, median of 11.
    Query(BenchOptions),
    /// All of them in one run.
    All(BenchOptions),
}

/// Reads the command line, the environment and the file; prints help or what is wrong and ends where that is all.
pub fn parse() -> Cli {
    match parse_from(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    }
}

fn parse_from(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    if let Some((file, verb)) = config_file(&args) {
        command = file::apply(command, &verb, &file)
            .map_err(|error| Cli::command().error(clap::error::ErrorKind::InvalidValue, error_chain(&error)))?;
    }
    let matches = command.try_get_matches_from(args)?;
    Cli::from_arg_matches(&matches)
}

/// The file and the subcommand, found before anything is validated: the file may hold what is required.
fn config_file(args: &[OsString]) -> Option<(PathBuf, String)> {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(args).ok()?;
    let (verb, below) = matches.subcommand()?;
    let file = below.get_one::<PathBuf>("config").or_else(|| matches.get_one("config"))?;
    Some((file.clone(), verb.to_owned()))
}

#[cfg(test)]
mod tests;
