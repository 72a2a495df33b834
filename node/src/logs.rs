//! Structured logs on standard error.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text an event.
    Text,
    /// One JSON object a line.
    Json,
}

/// What every command takes about logs.
#[derive(Args, Clone, Debug)]
pub struct LogOptions {
    /// How log lines look, on standard error.
    #[arg(long, global = true, env = "RAFTDUCK_LOG_FORMAT", value_enum, default_value = "text", help_heading = "Logs")]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, or directives such as info,raftduck_worker=debug.
    #[arg(long, global = true, env = "RAFTDUCK_LOG_LEVEL", default_value = "info", help_heading = "Logs")]
    pub log_level: String,
}

/// openraft tells of each vote and purge of every group at INFO, and again what our own events tell at WARN.
const QUIET: &str = "openraft=error";

/// Starts logging; once in a process.
///
/// # Errors
/// Where the level is none.
pub fn start(options: &LogOptions) -> anyhow::Result<()> {
    // A directive of the user's for the same crate comes later and wins.
    let filter = EnvFilter::try_new(format!("{QUIET},{}", options.log_level))
        .map_err(|error| anyhow::anyhow!("--log-level {:?}: {error}", options.log_level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match options.log_format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
