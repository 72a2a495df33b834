//! Stores that come, are emptied, go and come back, under load, kills and a reader; then the checks.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use raftduck_wire::http::ClusterAnswer;

use crate::check::Checked;
use crate::cluster::{Cluster, PATIENCE, Role};
use crate::load::{Load, LoadConfig};
use crate::reader::{Reader, Tally};
use crate::{admin, check, content, wait};

mod moves;
mod report;

use moves::Watch;
pub use report::{Phase, ScaleReport};

/// How long a cluster may take to even out. Nothing is measured by it.
const EVEN: Duration = Duration::from_secs(240);
/// What must be acknowledged between a kill and the restart: the others go on without the victim.
const WITHOUT: u64 = 2_000;

/// Once no store holds every partition, the check's rows come to control, which answers from its own memory.
const CONTROL_MEMORY: &str = "4GiB";

/// How a run is done.
#[derive(Clone, Debug)]
pub struct ScaleConfig {
    /// Rounds are begun until this has passed; one is always done.
    pub duration: Duration,
    /// So many stores come, and so many go in each round.
    pub stores: usize,
    /// Who is killed, one after the other, while stores come, also those that come back.
    pub while_coming: Vec<Victim>,
    /// Who is killed while stores are emptied.
    pub while_going: Vec<Victim>,
    /// Stores that went come back.
    pub back: bool,
    /// Rows there at first, so that moves have something to move.
    pub rows: u64,
    /// What rows and choices follow from.
    pub seed: u64,
}

impl Default for ScaleConfig {
    fn default() -> Self {
        let victims = vec![Victim::LeadsMeta, Victim::InTurn];
        Self {
            duration: Duration::from_secs(300),
            stores: 2,
            while_coming: victims.clone(),
            while_going: victims,
            back: true,
            rows: 500_000,
            seed: 1,
        }
    }
}

impl ScaleConfig {
    /// One store comes, another goes, and one is killed.
    pub fn short() -> Self {
        Self {
            duration: Duration::ZERO,
            stores: 1,
            while_coming: vec![Victim::InTurn],
            while_going: Vec::new(),
            back: false,
            rows: 100_000,
            ..Self::default()
        }
    }
}

/// Who is killed while partitions move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Victim {
    /// The next worker, from 0 on, that has a part in a move.
    InTurn,
    /// The one that leads the meta group, which plans the moves.
    LeadsMeta,
}

/// Runs all steps and the checks on a cluster of its own.
///
/// # Errors
/// Where a check fails, a kill met no move, a phase had no writes, or a state does not come.
pub async fn run(config: ScaleConfig) -> Result<ScaleReport> {
    let start = Instant::now();
    let mut run = Run::start(config.clone()).await?;
    let steps = run.steps(start).await;
    if let Err(error) = steps {
        let status = run.cluster.status().await.map(|status| moves::summary(&status));
        let status = status.unwrap_or_else(|error| error.to_string());
        bail!("{error:#}\n{}\n{status}\n{}", report::table(&run.phases), run.cluster.logs());
    }
    let Run { cluster, load, reader, phases, .. } = run;
    let tally = reader.tally();
    drop(reader);
    let checked = check(&cluster, load).await.with_context(|| report::table(&phases))?;
    let complaints = cluster.log_lines(" ERROR ");
    Ok(ScaleReport { phases, checked, reasons: tally.reasons, complaints, took: start.elapsed() })
}

/// What must hold after everything.
async fn check(cluster: &Cluster, load: Load) -> Result<Checked> {
    let written = load.stop().await?;
    let checked = check::exactly_once(&cluster.patient_client()?, &written).await?;
    check::replicas_are_equal(cluster, "load").await?;
    let panics = cluster.log_lines("panicked at");
    ensure!(panics.is_empty(), "a process panicked:\n{}", panics.join("\n"));
    Ok(checked)
}

struct Run {
    config: ScaleConfig,
    // Before the cluster: they end before what they speak to.
    watch: Watch,
    reader: Reader,
    load: Load,
    cluster: Cluster,
    /// The worker that is killed next.
    turn: usize,
    phases: Vec<Phase>,
}

/// How things stood when a phase began.
struct Begun {
    at: Instant,
    rows: u64,
    copies: usize,
    answers: Tally,
}

impl Run {
    async fn start(config: ScaleConfig) -> Result<Self> {
        let cluster = Cluster::start_with_control(CONTROL_MEMORY).await?;
        cluster.patient_client()?.ddl(content::CREATE).await?;
        let client = cluster.client(Duration::from_secs(15))?;
        let load = Load::start(client.clone(), LoadConfig { seed: config.seed, ..LoadConfig::default() });
        wait::until("there is something to move", 2 * PATIENCE, async || (load.rows() >= config.rows).then_some(()))
            .await?;
        let reader = Reader::start(client.clone(), load.progress());
        Ok(Self { config, watch: Watch::start(client), reader, load, cluster, turn: 0, phases: Vec::new() })
    }

    async fn steps(&mut self, start: Instant) -> Result<()> {
        let (stores, comers) = (self.cluster.worker_addresses().len(), self.config.stores);
        let watch = &self.watch;
        wait::until("the first copies are counted", PATIENCE, async || (watch.copies() > 0).then_some(())).await?;

        let begun = self.begin();
        for _ in 0..comers {
            self.cluster.add_worker()?;
        }
        let all = stores + comers;
        let faults = self.kill_all(self.config.while_coming.clone(), |status| moves::even(status, all)).await?;
        self.wait_even(all).await?;
        self.end(format!("{stores} stores to {all}"), begun, faults)?;

        for round in 0.. {
            // In the first round none of those that came.
            let goers: Vec<usize> = (0..comers).map(|number| (round * comers + number) % all).collect();
            let ids = self.empty(&goers, all).await?;
            self.give_up(&goers, &ids, all).await?;
            if self.config.back {
                self.come_back(&goers, &ids, all).await?;
            }
            if !self.config.back || start.elapsed() >= self.config.duration {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Drains the workers until they may be removed. Returns their stores.
    async fn empty(&mut self, goers: &[usize], all: usize) -> Result<Vec<String>> {
        let begun = self.begin();
        let ids = self.stores_of(goers).await?;
        let through = self.stayer(goers)?;
        for id in &ids {
            admin::retire_is_refused(&through, id).await?;
            admin::drain(&through, id).await?;
        }
        let empty = |status: &ClusterAnswer| {
            status
                .stores
                .iter()
                .filter(|store| ids.contains(&store.id))
                .all(|store| store.draining && store.groups == 0)
        };
        let faults = self.kill_all(self.config.while_going.clone(), empty).await?;
        for id in &ids {
            wait::until("a drained store is safe to remove", EVEN, async || {
                admin::safe_to_remove(&through, id).await?.then_some(())
            })
            .await?;
        }
        self.end(format!("{all} stores, {} emptied", goers.len()), begun, faults)?;
        Ok(ids)
    }

    /// Ends the workers, for good as far as the cluster knows.
    async fn give_up(&mut self, goers: &[usize], ids: &[String], all: usize) -> Result<()> {
        let begun = self.begin();
        let through = self.stayer(goers)?;
        for (goer, id) in goers.iter().zip(ids) {
            self.cluster.process(Role::Worker(*goer))?.kill()?;
            admin::retire(&through, id).await?;
        }
        let stay = all - goers.len();
        self.wait_even(stay).await?;
        let (load, from) = (&self.load, self.load.rows());
        wait::until("those that stay take rows", PATIENCE, async || (load.rows() >= from + WITHOUT).then_some(()))
            .await?;
        self.end(format!("{} retired, {stay} left", goers.len()), begun, Vec::new())
    }

    /// Starts the workers again on the volumes of stores that were given up: they are other stores now.
    async fn come_back(&mut self, goers: &[usize], ids: &[String], all: usize) -> Result<()> {
        let begun = self.begin();
        for goer in goers {
            self.cluster.process(Role::Worker(*goer))?.restart()?;
        }
        let faults = self.kill_all(self.config.while_coming.clone(), |status| moves::even(status, all)).await?;
        self.wait_even(all).await?;
        let back = self.stores_of(goers).await?;
        for ((goer, old), new) in goers.iter().zip(ids).zip(&back) {
            ensure!(!ids.contains(new), "worker {goer} came back as {new}, which was retired");
            let aside = self.cluster.data(*goer).join(format!("retired-{old}"));
            ensure!(aside.is_dir(), "{} is not there", aside.display());
        }
        self.end(format!("{} stores to {all} again", all - goers.len()), begun, faults)
    }

    async fn wait_even(&mut self, stores: usize) -> Result<()> {
        self.cluster.wait_ready().await?;
        let cluster = &self.cluster;
        wait::until("the copies are spread evenly", EVEN, async || {
            moves::even(&cluster.status().await.ok()?, stores).then_some(())
        })
        .await
    }

    /// The workers' stores, by their addresses.
    async fn stores_of(&self, workers: &[usize]) -> Result<Vec<String>> {
        let status = self.cluster.status().await?;
        let addresses = self.cluster.worker_addresses();
        let id = |worker: &usize| {
            let store = status.stores.iter().find(|store| addresses.get(*worker) == Some(&store.address));
            store.map(|store| store.id.clone()).with_context(|| format!("no store at worker {worker}'s address"))
        };
        workers.iter().map(id).collect()
    }

    /// The address of a worker that is not among them.
    fn stayer(&self, goers: &[usize]) -> Result<String> {
        let mut stayers =
            self.cluster.worker_addresses().iter().enumerate().filter(|(number, _)| !goers.contains(number));
        stayers.next().map(|(_, address)| address.clone()).context("nobody stays")
    }

    /// Kills each victim while partitions move, and starts it again. Returns what was done.
    async fn kill_all(&mut self, victims: Vec<Victim>, done: impl Fn(&ClusterAnswer) -> bool) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        for victim in victims {
            let (worker, met) = self.kill_in_a_move(victim, &done).await.with_context(|| format!("{victim:?}"))?;
            faults.push(match victim {
                Victim::InTurn => format!("worker {worker} in {met}"),
                Victim::LeadsMeta => format!("worker {worker} leading meta in {met}"),
            });
        }
        Ok(faults)
    }

    /// Strikes until a move that was under way just before is still under way just after. Returns who
    /// was killed, in how many moves.
    async fn kill_in_a_move(
        &mut self,
        victim: Victim,
        done: impl Fn(&ClusterAnswer) -> bool,
    ) -> Result<(usize, usize)> {
        loop {
            let (cluster, turn) = (&self.cluster, self.turn);
            let found = wait::until("partitions move", EVEN, async || {
                let status = cluster.status().await.ok()?;
                match choose(victim, turn, cluster.worker_addresses(), &status) {
                    Some(worker) => Some(Some((worker, moves::under_way(&status)))),
                    None => done(&status).then_some(None),
                }
            });
            let Some((worker, before)) = found.await? else { bail!("all moves ended before one was met") };
            self.cluster.process(Role::Worker(worker))?.kill()?;
            let from = self.load.rows();
            let (load, cluster) = (&self.load, &self.cluster);
            let after = wait::until("control answers", PATIENCE, async || cluster.status().await.ok()).await?;
            let met = moves::under_way(&after).intersection(&before).count();
            wait::until("the others take rows", PATIENCE, async || (load.rows() >= from + WITHOUT).then_some(()))
                .await?;
            self.cluster.process(Role::Worker(worker))?.restart()?;
            self.cluster.wait_ready().await?;
            self.turn = worker + 1;
            if met > 0 {
                return Ok((worker, met));
            }
        }
    }

    fn begin(&self) -> Begun {
        let (rows, copies, answers) = (self.load.rows(), self.watch.copies(), self.reader.tally());
        Begun { at: Instant::now(), rows, copies, answers }
    }

    fn end(&mut self, name: String, begun: Begun, faults: Vec<String>) -> Result<()> {
        let (rows, tally) = (self.load.rows() - begun.rows, self.reader.tally());
        ensure!(rows > 0, "{name}: no row was acknowledged");
        ensure!(tally.violations.is_empty(), "{name}: answers that must not be:\n{}", tally.violations.join("\n"));
        let whole = tally.whole - begun.answers.whole;
        let data = (0..self.cluster.worker_addresses().len()).map(|worker| bytes(&self.cluster.data(worker)));
        let phase = Phase {
            name,
            took: begun.at.elapsed(),
            copies: self.watch.copies() - begun.copies,
            bytes: data.sum(),
            faults,
            rows,
            answers: [whole, tally.partial - begun.answers.partial, tally.errors - begun.answers.errors],
            slowest: self.reader.take_slowest(),
        };
        self.phases.push(phase);
        Ok(())
    }
}

/// The worker to kill now; none while no partition moves, or nobody leads the meta group.
fn choose(victim: Victim, turn: usize, addresses: &[String], status: &ClusterAnswer) -> Option<usize> {
    let involved = moves::involved(status);
    let worker = |id: &str| {
        let store = status.stores.iter().find(|store| store.id == id && store.connected)?;
        addresses.iter().position(|address| *address == store.address)
    };
    match victim {
        Victim::LeadsMeta if involved.is_empty() => None,
        Victim::LeadsMeta => worker(status.meta.leader.as_deref()?),
        Victim::InTurn => {
            let workers: Vec<usize> = involved.into_iter().filter_map(worker).collect();
            let count = addresses.len();
            (0..count).map(|step| (turn + step) % count).find(|worker| workers.contains(worker))
        }
    }
}

/// What the files below have, without what stores set aside. A file that goes meanwhile counts nothing.
fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let entries = entries.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with("retired-"));
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}
