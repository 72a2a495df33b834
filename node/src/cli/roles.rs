//! What the two serving roles take.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use raftduck_control::{ControlConfig, Limits};
use raftduck_model::meta::LEVEL;
use raftduck_wire::credential::Credential;
use raftduck_worker::WorkerConfig;

use super::units::ByteSize;
use crate::machine;

/// What processes started with `--insecure` send each other in place of a secret.
const NO_SECRET: &str = "insecure";

/// A process's share of the machine. DuckDB alone would take 80 % of the memory, in each process.
#[derive(Args, Clone, Debug)]
pub struct Resources {
    /// Memory for DuckDB, such as 4GiB [default: a quarter of the machine's or of the control group's].
    #[arg(long, env = "RAFTDUCK_MEMORY", value_name = "BYTES", help_heading = "Resources")]
    pub memory: Option<ByteSize>,
    /// Threads for queries [default: the machine's cores].
    #[arg(long, env = "RAFTDUCK_THREADS", value_name = "N", help_heading = "Resources")]
    pub threads: Option<NonZeroU16>,
}

/// The secret that a cluster's stores and controls share.
#[derive(Args, Clone, Debug)]
pub struct ClusterToken {
    /// The secret that the cluster's stores and controls share; visible to others in the process list.
    #[arg(long, env = "RAFTDUCK_CLUSTER_TOKEN", hide_env_values = true, help_heading = "Security")]
    pub cluster_token: Option<String>,
    /// A file that holds it.
    #[arg(
        long,
        env = "RAFTDUCK_CLUSTER_TOKEN_FILE",
        value_name = "FILE",
        conflicts_with = "cluster_token",
        help_heading = "Security"
    )]
    pub cluster_token_file: Option<PathBuf>,
}

/// What `worker` takes.
#[derive(Args, Debug)]
pub struct WorkerOptions {
    /// The volume: log, DuckDB file, identity.
    #[arg(long, env = "RAFTDUCK_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// Where to listen for stores, control, the operator and scrapers.
    #[arg(long, env = "RAFTDUCK_LISTEN", default_value = "0.0.0.0:8081", value_name = "IP:PORT")]
    pub listen: SocketAddr,
    /// The address others reach this store at [default: what it listens on, if that is one address].
    #[arg(long, env = "RAFTDUCK_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Stores of the cluster, host:port, separated by commas, that take this one in where its volume is empty.
    #[arg(long, env = "RAFTDUCK_JOIN", value_delimiter = ',', value_name = "HOST:PORT,…")]
    pub join: Vec<String>,
    /// How long a store may be silent before its replicas are made anew on others, such as 10m.
    #[arg(long, env = "RAFTDUCK_REPLACE_AFTER", default_value = "10m", value_name = "TIME")]
    pub replace_after: jiff::SignedDuration,
    /// The cluster's secret.
    #[command(flatten)]
    pub secret: ClusterToken,
    /// How far queries may spill to the volume.
    #[arg(long, env = "RAFTDUCK_SPILL", default_value = "4GiB", value_name = "BYTES", help_heading = "Resources")]
    pub spill: ByteSize,
    /// The log's size beyond which a store that is away is given up and gets a snapshot.
    #[arg(long, env = "RAFTDUCK_LOG_SIZE", default_value = "2GiB", value_name = "BYTES", help_heading = "Resources")]
    pub log_size: ByteSize,
    /// Runs without a cluster token: whoever reaches the port may do anything.
    #[arg(long, env = "RAFTDUCK_INSECURE", help_heading = "Security")]
    pub insecure: bool,
    /// Shares of the machine.
    #[command(flatten)]
    pub resources: Resources,
    /// Behaves as a release of this level, to rehearse an upgrade.
    #[arg(long, env = "RAFTDUCK_LEVEL", default_value_t = LEVEL, hide = true)]
    pub level: u32,
    /// Ends when standard input does.
    #[arg(long, hide = true)]
    pub end_with_stdin: bool,
}

/// What `control` takes.
#[derive(Args, Debug)]
pub struct ControlOptions {
    /// Where to listen for clients.
    #[arg(long, env = "RAFTDUCK_LISTEN", default_value = "0.0.0.0:8080", value_name = "IP:PORT")]
    pub listen: SocketAddr,
    /// Some of the stores, host:port, separated by commas; the others are learnt from them.
    #[arg(long, env = "RAFTDUCK_STORES", value_delimiter = ',', required = true, value_name = "HOST:PORT,…")]
    pub stores: Vec<String>,
    /// Where to serve /metrics without a token, for scrapers [default: nowhere].
    #[arg(long, env = "RAFTDUCK_METRICS_LISTEN", value_name = "IP:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// A bearer token that clients send; it may do anything.
    #[arg(long, env = "RAFTDUCK_TOKEN", hide_env_values = true, help_heading = "Security")]
    pub token: Option<String>,
    /// A file of tokens, read again when it changes.
    #[arg(long, env = "RAFTDUCK_TOKEN_FILE", value_name = "FILE", conflicts_with = "token", help_heading = "Security")]
    pub token_file: Option<PathBuf>,
    /// The cluster's secret.
    #[command(flatten)]
    pub secret: ClusterToken,
    /// Runs without tokens: whoever reaches the port may do anything.
    #[arg(long, env = "RAFTDUCK_INSECURE", help_heading = "Security")]
    pub insecure: bool,
    /// Shares of the machine.
    #[command(flatten)]
    pub resources: Resources,
    /// Behaves as a release of this level, to rehearse an upgrade.
    #[arg(long, env = "RAFTDUCK_LEVEL", default_value_t = LEVEL, hide = true)]
    pub level: u32,
    /// Ends when standard input does.
    #[arg(long, hide = true)]
    pub end_with_stdin: bool,
}

impl Resources {
    /// Bytes and threads, the defaults taken from the machine.
    fn shares(&self) -> (u64, usize) {
        let memory = self.memory.map_or_else(|| machine::memory() / 4, |memory| memory.0);
        (memory, usize::from(self.threads.unwrap_or_else(machine::cores).get()))
    }
}

impl ClusterToken {
    /// The token, or with `insecure` a text that everybody knows.
    ///
    /// # Errors
    /// Where the file cannot be read or is empty, or where there is no token and there must be one.
    pub fn credential(&self, insecure: bool) -> anyhow::Result<String> {
        let token =
            secret("cluster-token", self.cluster_token.as_deref(), self.cluster_token_file.as_deref(), insecure)?;
        Ok(token.unwrap_or_else(|| NO_SECRET.to_owned()))
    }
}

impl ControlOptions {
    /// The checked configuration.
    ///
    /// # Errors
    /// Where a token is missing.
    pub fn config(&self) -> anyhow::Result<ControlConfig> {
        let (memory_bytes, threads) = self.resources.shares();
        // The file's text is control's to read, again whenever it changes; here it only has to be there.
        secret("token", self.token.as_deref(), self.token_file.as_deref(), self.insecure)?;
        let (token, tokens_file) = (self.token.clone(), self.token_file.clone());
        Ok(ControlConfig {
            listen: self.listen,
            stores: self.stores.clone(),
            metrics_listen: self.metrics_listen,
            token,
            tokens_file,
            credential: Credential::new(&self.secret.credential(self.insecure)?),
            memory_bytes,
            threads,
            limits: Limits::default(),
            level: self.level,
        })
    }
}

impl WorkerOptions {
    /// The checked configuration.
    ///
    /// # Errors
    /// Where a token is missing or no address can be told to the others.
    pub fn config(&self) -> anyhow::Result<WorkerConfig> {
        let (memory_bytes, threads) = self.resources.shares();
        Ok(WorkerConfig {
            data: self.data.clone(),
            listen: self.listen,
            advertise: self.advertised()?,
            join: self.join.clone(),
            replace_after: self.replace_after.unsigned_abs(),
            credential: Credential::new(&self.secret.credential(self.insecure)?),
            memory_bytes,
            threads,
            spill_bytes: self.spill.0,
            log_bytes: self.log_size.0,
            timing: Default::default(),
            level: self.level,
        })
    }

    /// The address to tell others.
    ///
    /// # Errors
    /// Where it listens on every address, so that none of them can be told.
    pub fn advertised(&self) -> anyhow::Result<String> {
        match &self.advertise {
            Some(address) => Ok(address.clone()),
            None if self.listen.ip().is_unspecified() => bail!(
                "--listen {} is every address of this machine: say with --advertise HOST:PORT which one the others reach",
                self.listen
            ),
            None => Ok(self.listen.to_string()),
        }
    }
}

fn secret(flag: &str, text: Option<&str>, file: Option<&Path>, insecure: bool) -> anyhow::Result<Option<String>> {
    let found = match (text, file) {
        (Some(text), _) => Some(text.to_owned()),
        (None, Some(file)) => Some(
            std::fs::read_to_string(file).with_context(|| format!("cannot read --{flag}-file {}", file.display()))?,
        ),
        (None, None) => None,
    };
    match found.as_deref().map(str::trim) {
        Some("") => bail!("the {flag} is empty: put a long random text there"),
        Some(token) => Ok(Some(token.to_owned())),
        None if insecure => Ok(None),
        None => bail!("no {flag}: give --{flag}-file FILE, or --insecure where nobody else reaches this machine"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_token_is_an_error_that_names_both_ways_out() {
        let error = secret("token", None, None, false).unwrap_err().to_string();
        assert!(error.contains("--token-file") && error.contains("--insecure"), "{error}");
        assert_eq!(secret("token", None, None, true).unwrap(), None);
    }

    #[test]
    fn a_tokens_file_ends_in_a_newline_and_an_empty_one_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc\n").unwrap();
        assert_eq!(secret("token", None, Some(file.path()), false).unwrap().as_deref(), Some("abc"));
        std::fs::write(file.path(), " \n").unwrap();
        assert!(secret("token", None, Some(file.path()), true).is_err());
    }
}
