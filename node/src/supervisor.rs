//! A whole cluster as children of this process, on loopback, for `dev`, `demo` and `bench`.
//!
//! A child's standard input is a pipe that this process holds open: when this process ends, however it ends, the
//! pipe closes and the child ends too. Nothing is restarted here; whoever asked for a cluster says what a death means.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use raftduck_model::ClusterId;
use raftduck_wire::http::BootstrapRequest;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::bootstrap;
use crate::machine::Shares;

pub mod home;
pub mod ports;

use home::Home;

/// A child gets this long to end in order before it is killed.
const STOP: Duration = Duration::from_secs(8);
/// A child gets this long to open its volume and listen.
const START: Duration = Duration::from_secs(60);

/// Partitions of a local cluster: four times its workers, as the design advises.
pub const PARTITIONS_PER_WORKER: u32 = 4;

/// What a local cluster is made of.
pub struct Plan {
    /// Its folder and identity.
    pub home: Home,
    /// Control's port; worker `i`, from 1, has the `i`-th after it.
    pub base_port: u16,
    /// How many workers.
    pub workers: u16,
    /// The clients' token.
    pub token: String,
    /// What each process may take.
    pub shares: Shares,
    /// The children's `--log-level`.
    pub log_level: String,
}

/// The running cluster.
pub struct Local {
    plan: Plan,
    exe: PathBuf,
    workers: Vec<Option<Process>>,
    control: Option<Process>,
}

/// One child, and the pipe whose end ends it.
struct Process {
    child: Child,
}

/// A child that ended though nobody told it to.
pub struct Ended {
    /// `worker 2` or `control`.
    pub name: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Where it said why.
    pub log: PathBuf,
}

impl Local {
    /// Starts the workers, makes the cluster if it is new, starts control, and waits until it serves.
    ///
    /// # Errors
    /// Where a port is in use (before anything is started), or a child ends or is not ready in time; whatever was
    /// started is stopped then.
    pub async fn start(plan: Plan) -> anyhow::Result<Self> {
        let exe = std::env::current_exe().context("cannot find this program's own file")?;
        let workers = (0..plan.workers).map(|_| None).collect();
        let mut local = Self { plan, exe, workers, control: None };
        match local.bring_up().await {
            Ok(()) => Ok(local),
            Err(error) => {
                local.stop().await;
                Err(error)
            }
        }
    }

    async fn bring_up(&mut self) -> anyhow::Result<()> {
        for worker in 1..=self.plan.workers {
            self.start_worker(worker)?;
        }
        for worker in 1..=self.plan.workers {
            self.wait(&format!("http://{}/livez", self.worker_address(worker))).await?;
        }
        let request = BootstrapRequest {
            cluster_uuid: ClusterId(self.plan.home.cluster),
            stores: self.first_addresses(),
            partitions: self.partitions(),
            replication: u32::from(self.plan.home.first_workers.min(3)),
        };
        bootstrap::run(&request, &self.plan.home.cluster_token()?, Some(START)).await?;
        self.start_control()?;
        self.wait(&format!("{}/readyz", self.url())).await
    }

    /// Control's base address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.plan.base_port)
    }

    /// The clients' token.
    pub fn token(&self) -> &str {
        &self.plan.token
    }

    /// How many partitions the cluster has.
    pub fn partitions(&self) -> u32 {
        u32::from(self.plan.home.first_workers) * PARTITIONS_PER_WORKER
    }

    /// The workers that made the cluster.
    fn first_addresses(&self) -> Vec<String> {
        (1..=self.plan.home.first_workers).map(|worker| self.worker_address(worker)).collect()
    }

    /// The folder with the volumes and logs.
    pub fn folder(&self) -> &Path {
        self.plan.home.folder()
    }

    /// `host:port` of worker `number`, from 1.
    pub fn worker_address(&self, number: u16) -> String {
        format!("127.0.0.1:{}", self.plan.base_port + number)
    }

    /// The number of the worker at `address`.
    pub fn worker_at(&self, address: &str) -> Option<u16> {
        (1..=self.plan.workers).find(|number| self.worker_address(*number) == address)
    }

    /// Starts worker `number`, from 1, on its volume.
    ///
    /// # Errors
    /// Where the process cannot be started.
    pub fn start_worker(&mut self, number: u16) -> anyhow::Result<()> {
        let name = format!("worker-{number}");
        let mut command = self.command("worker", self.plan.shares.worker.0);
        command.arg("--listen").arg(self.worker_address(number)).arg("--data").arg(self.plan.home.volume(number));
        if number > self.plan.home.first_workers {
            command.arg("--join").arg(self.first_addresses().join(","));
        }
        let process = spawn(command, &self.plan.home.log(&name))?;
        if let Some(slot) = self.workers.get_mut(usize::from(number) - 1) {
            *slot = Some(process);
        }
        Ok(())
    }

    fn start_control(&mut self) -> anyhow::Result<()> {
        let stores: Vec<String> = (1..=self.plan.workers).map(|worker| self.worker_address(worker)).collect();
        let mut command = self.command("control", self.plan.shares.control.0);
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.plan.base_port)).arg("--stores").arg(stores.join(","));
        // Not on the command line, which everyone on the machine can read.
        command.env("RAFTDUCK_TOKEN", &self.plan.token);
        self.control = Some(spawn(command, &self.plan.home.log("control"))?);
        Ok(())
    }

    /// The start of a child's command line. The environment's own settings were meant for this process.
    fn command(&self, role: &str, memory: u64) -> Command {
        let mut command = Command::new(&self.exe);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RAFTDUCK_") {
                command.env_remove(name);
            }
        }
        command.arg(role).arg("--end-with-stdin").arg("--cluster-token-file").arg(self.plan.home.token_file());
        command.arg("--memory").arg(memory.to_string()).arg("--threads").arg(self.plan.shares.threads.to_string());
        command.arg("--log-level").arg(&self.plan.log_level);
        command
    }

    /// Ends worker `number` with SIGKILL and reaps it.
    ///
    /// # Errors
    /// Where there is no such process.
    pub async fn kill_worker(&mut self, number: u16) -> anyhow::Result<()> {
        let slot = self.workers.get_mut(usize::from(number).wrapping_sub(1));
        let Some(mut process) = slot.and_then(Option::take) else { bail!("worker {number} does not run") };
        process.child.kill().await.with_context(|| format!("cannot kill worker {number}"))
    }

    /// The processes' ids, by name.
    pub fn pids(&self) -> Vec<(String, u32)> {
        let workers =
            self.workers.iter().enumerate().map(|(index, process)| (format!("worker {}", index + 1), process));
        let control = std::iter::once(("control".to_owned(), &self.control));
        let pid = |process: &Option<Process>| process.as_ref().and_then(|process| process.child.id());
        workers.chain(control).filter_map(|(name, process)| Some((name, pid(process)?))).collect()
    }

    /// A child that ended by itself since it was started, if any did.
    pub fn ended(&mut self) -> Option<Ended> {
        let home = &self.plan.home;
        let workers = self.workers.iter_mut().enumerate().map(|(index, slot)| {
            let number = index + 1;
            (format!("worker {number}"), home.log(&format!("worker-{number}")), slot)
        });
        let control = std::iter::once(("control".to_owned(), home.log("control"), &mut self.control));
        workers.chain(control).find_map(|(name, log, slot)| {
            let status = slot.as_mut()?.child.try_wait().ok()??;
            *slot = None;
            Some(Ended { name, status, log })
        })
    }

    async fn wait(&mut self, url: &str) -> anyhow::Result<()> {
        let ready = async {
            while !bootstrap::answers(url).await {
                if let Some(ended) = self.ended() {
                    bail!("{ended}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        };
        match tokio::time::timeout(START, ready).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("{url} did not answer within {START:?}; see the logs in {}", self.folder().display()),
        }
    }

    /// Tells the children to end, control first so that no request meets a half-stopped cluster, and kills whoever
    /// takes too long.
    pub async fn stop(mut self) {
        if let Some(control) = self.control.take() {
            control.stop().await;
        }
        futures::future::join_all(self.workers.drain(..).flatten().map(Process::stop)).await;
    }
}

impl Process {
    async fn stop(mut self) {
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // It may have ended already, which is what is wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            tracing::warn!(pid = self.child.id(), "child did not end in time, killing it");
            let _ = self.child.kill().await;
        }
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ended ({}); its last words are in {}", self.name, self.status, self.log.display())
    }
}

fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Process> {
    let open = std::fs::OpenOptions::new().create(true).append(true).open(log);
    let log = open.with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
    // A Ctrl-C at the terminal goes to this process alone, which then stops its children in order.
    command.process_group(0).kill_on_drop(true);
    Ok(Process { child: command.spawn().context("cannot start a child process")? })
}
