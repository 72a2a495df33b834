//! Workers and a control as real processes on loopback: three at first, others may join.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use raftduck_wire::client::{Client, ClientConfig};
use raftduck_wire::http::ClusterAnswer;
use tempfile::TempDir;
use uuid::Uuid;

use crate::launch;
use crate::port;
use crate::process::{self, Process};
use crate::wait;

/// How long a state may take to come on a busy machine. Nothing is measured by it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a cluster is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Workers, each with a copy of everything where they are three or fewer.
    pub workers: u16,
    /// Partitions.
    pub partitions: u32,
    /// Control's memory, such as `2GiB`.
    pub control_memory: &'static str,
    /// More arguments for every worker.
    pub worker_flags: &'static [&'static str],
}

impl Default for Shape {
    fn default() -> Self {
        // Little memory, so that what control keeps is noticed.
        Self { workers: 3, partitions: 12, control_memory: "512MiB", worker_flags: &[] }
    }
}

/// Which process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// A worker, from 0.
    Worker(usize),
    /// The control.
    Control,
}

/// A running cluster. Dropping it ends every process, also when the test panics.
#[derive(Debug)]
pub struct Cluster {
    workers: Vec<Process>,
    control: Process,
    addresses: Vec<String>,
    base: String,
    partitions: u32,
    // After the processes: its folder goes when they are gone.
    folder: TempDir,
}

impl Cluster {
    /// Three workers with 12 partitions, ready to serve.
    ///
    /// # Errors
    /// Where a process cannot be started or does not get ready.
    pub async fn start() -> Result<Self> {
        Self::start_on(|_| None).await
    }

    /// As [`Cluster::start`], with the data of some workers in a folder of the caller's.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_on(place: impl Fn(usize) -> Option<PathBuf>) -> Result<Self> {
        Self::start_as(Shape::default(), place).await
    }

    /// As [`Cluster::start`], with that much memory for control, such as `2GiB`.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_with_control(memory: &'static str) -> Result<Self> {
        Self::start_as(Shape { control_memory: memory, ..Shape::default() }, |_| None).await
    }

    /// As [`Cluster::start_on`], of another shape.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_as(shape: Shape, place: impl Fn(usize) -> Option<PathBuf>) -> Result<Self> {
        let mut cluster = Self::launch(shape, place)?;
        cluster.bootstrap(shape)?;
        cluster.wait_ready().await?;
        Ok(cluster)
    }

    /// The cluster of one store whose volume is there already, with that many partitions, at other addresses.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn reopen(volume: &Path, partitions: u32) -> Result<Self> {
        let shape = Shape { workers: 1, partitions, ..Shape::default() };
        let mut cluster = Self::launch(shape, |_| Some(volume.to_owned()))?;
        cluster.wait_ready().await?;
        Ok(cluster)
    }

    fn launch(shape: Shape, place: impl Fn(usize) -> Option<PathBuf>) -> Result<Self> {
        let folder = tempfile::tempdir().context("making the cluster's folder")?;
        let base = port::free_block(shape.workers + 1)?;
        let addresses: Vec<String> = (1..=shape.workers).map(|worker| format!("127.0.0.1:{}", base + worker)).collect();
        let mut workers = Vec::new();
        for (number, address) in addresses.iter().enumerate() {
            let data = place(number).unwrap_or_else(|| data(folder.path(), number));
            let mut line = launch::worker(number, &data, address)?;
            line.arguments.extend(shape.worker_flags.iter().map(|&flag| flag.to_owned()));
            workers.push(Process::start(line, folder.path())?);
        }
        let address = format!("127.0.0.1:{base}");
        let control = Process::start(launch::control(&address, &addresses, shape.control_memory)?, folder.path())?;
        let base = format!("http://{address}");
        Ok(Self { workers, control, addresses, base, partitions: shape.partitions, folder })
    }

    /// Starts one more worker, which asks the others to take it in. Returns its number; it has joined
    /// once [`Cluster::wait_ready`] returns.
    ///
    /// # Errors
    /// Where the process cannot be started.
    pub fn add_worker(&mut self) -> Result<usize> {
        let number = self.workers.len();
        let address = format!("127.0.0.1:{}", port::free_block(1)?);
        let line = launch::joining_worker(number, &self.data(number), &address, &self.addresses)?;
        self.workers.push(Process::start(line, self.folder.path())?);
        self.addresses.push(address);
        Ok(number)
    }

    /// The folder that a worker without one of the caller's has.
    pub fn data(&self, worker: usize) -> PathBuf {
        data(self.folder.path(), worker)
    }

    fn bootstrap(&mut self, shape: Shape) -> Result<()> {
        let line = launch::bootstrap(Uuid::new_v4(), &self.addresses, shape.partitions, shape.workers.min(3))?;
        let (status, output) = process::run(line, self.folder.path(), PATIENCE)?;
        if !status.success() {
            bail!("bootstrap ended with {status}:\n{output}\n{}", self.logs());
        }
        Ok(())
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Where control serves: `http://127.0.0.1:<port>`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Where the workers serve: `127.0.0.1:<port>` each.
    pub fn worker_addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The folder of logs and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A client that shows every failure.
    ///
    /// # Errors
    /// Never for an address of ours.
    pub fn client(&self, attempt: Duration) -> Result<Client> {
        let config = ClientConfig {
            token: Some(launch::TOKEN.to_owned()),
            attempt_timeout: attempt,
            retries: 0,
            ..ClientConfig::default()
        };
        Ok(Client::new(&self.base, config)?)
    }

    /// A client that repeats what may pass, as a user's would.
    ///
    /// # Errors
    /// Never for an address of ours.
    pub fn patient_client(&self) -> Result<Client> {
        let config = ClientConfig { token: Some(launch::TOKEN.to_owned()), ..ClientConfig::default() };
        Ok(Client::new(&self.base, config)?)
    }

    /// One process.
    ///
    /// # Errors
    /// Where there is no such worker.
    pub fn process(&mut self, role: Role) -> Result<&mut Process> {
        match role {
            Role::Control => Ok(&mut self.control),
            Role::Worker(number) => self.workers.get_mut(number).with_context(|| format!("no worker {number}")),
        }
    }

    /// Every process.
    pub fn roles(&self) -> impl Iterator<Item = Role> + use<> {
        (0..self.workers.len()).map(Role::Worker).chain([Role::Control])
    }

    /// SIGKILL to all, as near to at once as one thread can.
    ///
    /// # Errors
    /// Where one had ended by itself.
    pub fn kill_all(&mut self) -> Result<()> {
        let mut all: Vec<&mut Process> = self.workers.iter_mut().chain([&mut self.control]).collect();
        all.iter_mut().try_for_each(|process| process.begin_kill())?;
        all.iter_mut().try_for_each(|process| process.end_kill())
    }

    /// Starts every process that does not run.
    ///
    /// # Errors
    /// Where one cannot be started.
    pub fn restart_ended(&mut self) -> Result<()> {
        for process in self.workers.iter_mut().chain([&mut self.control]) {
            if !process.is_running() {
                process.restart()?;
            }
        }
        Ok(())
    }

    /// The process ids, to see whether any process was restarted or died.
    pub fn ids(&mut self) -> BTreeMap<Role, Option<u32>> {
        let roles: Vec<Role> = self.roles().collect();
        roles
            .into_iter()
            .map(|role| {
                let process = self.process(role).ok();
                (role, process.and_then(|process| if process.is_running() { process.id() } else { None }))
            })
            .collect()
    }

    /// What control says of the cluster.
    ///
    /// # Errors
    /// Where it says nothing.
    pub async fn status(&self) -> Result<ClusterAnswer> {
        Ok(self.client(Duration::from_secs(5))?.cluster().await?)
    }

    /// How many workers were started and not killed since.
    pub fn meant_to_run(&self) -> usize {
        self.workers.iter().filter(|worker| worker.id().is_some()).count()
    }

    /// Waits until control is ready, every store that is meant to run is connected and every partition has a leader.
    ///
    /// # Errors
    /// Where that does not come, or a process ends meanwhile: its log's end is in the message.
    pub async fn wait_ready(&mut self) -> Result<()> {
        let client = self.client(Duration::from_secs(5))?;
        let (stores, partitions) = (self.meant_to_run(), self.partitions as usize);
        let ready = wait::until("the cluster is ready", PATIENCE, async || {
            if !client.ready().await {
                return None;
            }
            let status = client.cluster().await.ok()?;
            let connected = status.stores.iter().filter(|store| store.connected).count();
            let led = status.partitions.iter().filter(|partition| partition.leader.is_some()).count();
            (connected == stores && led == partitions).then_some(())
        })
        .await;
        match ready {
            Ok(()) => Ok(()),
            Err(error) => bail!("{error}\n{}", self.logs()),
        }
    }

    /// Every group's term, summed: it grows with every election.
    ///
    /// # Errors
    /// Where control does not say.
    pub async fn elections(&self) -> Result<u64> {
        let status = self.status().await?;
        Ok(status.partitions.iter().map(|partition| partition.term).sum::<u64>() + status.meta.term)
    }

    /// The ends of all logs.
    pub fn logs(&self) -> String {
        let tails = self.workers.iter().chain([&self.control]);
        tails.map(|process| format!("---- {}\n{}\n", process.name(), process.log_tail(30))).collect()
    }

    /// The lines of all logs that contain the text, with the process' name.
    pub fn log_lines(&self, text: &str) -> Vec<String> {
        let processes = self.workers.iter().chain([&self.control]);
        let lines = processes.flat_map(|process| {
            let log = process.log_tail(usize::MAX);
            let found = log.lines().filter(|line| line.contains(text));
            found.map(|line| format!("{}: {line}", process.name())).collect::<Vec<_>>()
        });
        lines.collect()
    }
}

fn data(folder: &Path, worker: usize) -> PathBuf {
    folder.join(format!("worker-{worker}"))
}
