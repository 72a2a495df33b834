//! Each process killed and frozen in turn under load, then all killed at once; then the checks.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use raftduck_wire::http::ClusterAnswer;

use crate::check::{self, Checked};
use crate::cluster::{Cluster, PATIENCE, Role};
use crate::load::{Load, LoadConfig};
use crate::probe::{self, Probe};
use crate::{content, wait};

/// How a run is done.
#[derive(Clone, Copy, Debug)]
pub struct ChaosConfig {
    /// Rounds are begun until this has passed; one is always done.
    pub duration: Duration,
    /// Rows that must be acknowledged between two faults.
    pub rows_between: u64,
    /// How long a process is frozen.
    pub freeze: Duration,
    /// What rows and choices follow from.
    pub seed: u64,
}

impl Default for ChaosConfig {
    fn default() -> Self {
        Self { duration: Duration::from_secs(120), rows_between: 100_000, freeze: Duration::from_secs(10), seed: 1 }
    }
}

/// What is done to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Kill(Role),
    Freeze(Role),
    KillAll,
}

/// One line of the table.
#[derive(Debug)]
pub struct FaultReport {
    /// What was done.
    pub name: String,
    /// Partitions that lost their leader, or their way in where control was hit.
    pub partitions: usize,
    /// Time without an acknowledgement per such partition, ascending.
    pub gaps: Vec<Duration>,
    /// Only these are beside the aims: control is restarted, and all killed at once start anew.
    pub leader_death: bool,
    /// Rows acknowledged since the fault before.
    pub rows: u64,
    /// Requests that the fault met.
    pub in_flight: usize,
    /// Terms that the groups went through.
    pub elections: u64,
}

/// What a run came to.
#[derive(Debug)]
pub struct ChaosReport {
    /// One for each fault.
    pub faults: Vec<FaultReport>,
    /// What the checks compared.
    pub checked: Checked,
    /// Probe writes acknowledged and found.
    pub probed: u64,
    /// The part of the batches that was sent more than once on purpose.
    pub repeated: f64,
    /// How long it all took.
    pub took: Duration,
}

/// Runs the faults and the checks on a cluster of its own.
///
/// # Errors
/// Where a check fails, a fault met no write, or a state does not come.
pub async fn run(config: ChaosConfig) -> Result<ChaosReport> {
    let start = Instant::now();
    let mut cluster = Cluster::start().await?;
    let client = cluster.patient_client()?;
    client.ddl(content::CREATE).await?;
    client.ddl(probe::CREATE).await?;
    let partitions = NonZeroU32::new(cluster.partitions()).context("no partitions")?;
    let load_config = LoadConfig { seed: config.seed, ..LoadConfig::default() };
    let load = Load::start(cluster.client(Duration::from_secs(10))?, load_config);
    let mut run =
        Run { config, load, probe: Probe::new(cluster.client(Duration::from_secs(10))?, partitions), rows: 0 };

    let mut faults = Vec::new();
    loop {
        for fault in round(&cluster) {
            faults
                .push(run.fault(&mut cluster, fault).await.with_context(|| format!("{fault:?}\n{}", cluster.logs()))?);
        }
        if start.elapsed() >= config.duration {
            break;
        }
    }
    faults.push(run.fault(&mut cluster, Fault::KillAll).await.with_context(|| cluster.logs())?);
    leaders_spread_out(&cluster).await?;

    let Run { load, probe, .. } = run;
    let written = load.stop().await?;
    let repeated = written.repeated as f64 / written.batches.len().max(1) as f64;
    ensure!(repeated >= 0.3, "only {repeated:.2} of the requests were repeated");
    let checked = check::exactly_once(&client, &written).await?;
    let probed = probe.check(&client).await?;
    check::replicas_are_equal(&cluster, "load").await?;
    check::replicas_are_equal(&cluster, "probe").await?;
    Ok(ChaosReport { faults, checked, probed, repeated, took: start.elapsed() })
}

fn round(cluster: &Cluster) -> Vec<Fault> {
    cluster.roles().map(Fault::Kill).chain(cluster.roles().map(Fault::Freeze)).collect()
}

struct Run {
    config: ChaosConfig,
    load: Load,
    probe: Probe,
    /// Acknowledged when the last fault happened.
    rows: u64,
}

impl Run {
    async fn fault(&mut self, cluster: &mut Cluster, fault: Fault) -> Result<FaultReport> {
        let (load, from, between) = (&self.load, self.rows, self.config.rows_between);
        wait::until("enough rows are acknowledged between two faults", 2 * PATIENCE, async || {
            (load.rows() >= from + between).then_some(())
        })
        .await?;
        cluster.wait_ready().await?;
        // A leader's death that finds no leader there says nothing.
        leaders_spread_out(cluster).await?;
        let before = cluster.status().await?;
        let partitions = hit(cluster, fault, &before);
        let settled = Instant::now();
        self.probe.resume();
        let probe = &self.probe;
        wait::until("the probe runs", PATIENCE, async || probe.all_acknowledged_since(settled).then_some(())).await?;
        let elections = cluster.elections().await?;
        let rows = self.load.rows() - self.rows;
        self.rows += rows;
        // Nothing is waited for between this and the fault: the write might be over by then.
        let load = &self.load;
        wait::until("a write is in flight", PATIENCE, async || (load.met(Instant::now()) > 0).then_some(())).await?;
        let moment = Instant::now();
        strike(cluster, fault)?;
        let in_flight = self.load.met(moment);
        ensure!(in_flight > 0, "{fault:?} met no write in flight");
        self.recover(cluster, fault, moment).await?;
        let mut gaps = self.probe.gaps(&partitions, moment);
        gaps.sort_unstable();
        self.probe.pause();
        Ok(FaultReport {
            name: name(fault),
            partitions: partitions.len(),
            gaps,
            leader_death: matches!(fault, Fault::Kill(Role::Worker(_)) | Fault::Freeze(Role::Worker(_))),
            rows,
            in_flight,
            elections: cluster.elections().await?.saturating_sub(elections),
        })
    }

    /// Lets the fault be felt, takes it back, and waits until every partition takes writes.
    async fn recover(&self, cluster: &mut Cluster, fault: Fault, moment: Instant) -> Result<()> {
        let probe = &self.probe;
        match fault {
            Fault::Kill(role) => {
                if matches!(role, Role::Worker(_)) {
                    // The others go on before it is back, or the gap would be its restart's.
                    wait::until("the others take all writes", PATIENCE, async || {
                        probe.all_acknowledged_since(moment).then_some(())
                    })
                    .await?;
                }
                cluster.process(role)?.restart()?;
            }
            Fault::Freeze(role) => {
                // The fault itself: a process that does nothing for this long.
                tokio::time::sleep(self.config.freeze).await;
                cluster.process(role)?.thaw()?;
            }
            Fault::KillAll => cluster.restart_ended()?,
        }
        cluster.wait_ready().await?;
        let back = Instant::now();
        wait::until("every partition takes writes again", PATIENCE, async || {
            probe.all_acknowledged_since(back).then_some(())
        })
        .await
    }
}

fn strike(cluster: &mut Cluster, fault: Fault) -> Result<()> {
    match fault {
        Fault::Kill(role) => cluster.process(role)?.kill(),
        Fault::Freeze(role) => cluster.process(role)?.freeze(),
        Fault::KillAll => cluster.kill_all(),
    }
}

/// The partitions that the fault takes the leader from; all where control is hit, or everything.
fn hit(cluster: &Cluster, fault: Fault, status: &ClusterAnswer) -> Vec<u32> {
    let victim = match fault {
        Fault::Kill(Role::Worker(number)) | Fault::Freeze(Role::Worker(number)) => {
            let address = cluster.worker_addresses().get(number);
            status.stores.iter().find(|store| Some(&store.address) == address).map(|store| &store.id)
        }
        _ => None,
    };
    let partitions =
        status.partitions.iter().filter(|partition| victim.is_none() || partition.leader.as_ref() == victim);
    partitions.map(|partition| partition.id).collect()
}

/// Waits until no store leads two partitions more than another.
///
/// # Errors
/// Where that does not come.
pub async fn leaders_spread_out(cluster: &Cluster) -> Result<()> {
    wait::until("the leaders spread out", PATIENCE, async || {
        let status = cluster.status().await.ok()?;
        let leads = |store: &str| status.partitions.iter().filter(|p| p.leader.as_deref() == Some(store)).count();
        let counts: Vec<usize> = status.stores.iter().map(|store| leads(&store.id)).collect();
        let even = counts.iter().max()? - counts.iter().min()? <= 1;
        (even && counts.iter().sum::<usize>() == status.partitions.len()).then_some(())
    })
    .await
}

fn name(fault: Fault) -> String {
    let role = |role| match role {
        Role::Worker(number) => format!("worker {number}"),
        Role::Control => "control".to_owned(),
    };
    match fault {
        Fault::Kill(victim) => format!("kill -9 {}", role(victim)),
        Fault::Freeze(victim) => format!("freeze {}", role(victim)),
        Fault::KillAll => "kill -9 everything".to_owned(),
    }
}

impl std::fmt::Display for ChaosReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = ("fault", "partitions", "median gap", "worst gap", "rows before", "in flight", "elections");
        writeln!(
            f,
            "{:<20} {:>10} {:>11} {:>11} {:>12} {:>9} {:>9}",
            head.0, head.1, head.2, head.3, head.4, head.5, head.6
        )?;
        for fault in &self.faults {
            let (median, worst) = (seconds(middle(&fault.gaps)), seconds(fault.gaps.last().copied()));
            let (rows, met, elections) = (fault.rows, fault.in_flight, fault.elections);
            writeln!(
                f,
                "{:<20} {:>10} {median:>11} {worst:>11} {rows:>12} {met:>9} {elections:>9}",
                fault.name, fault.partitions
            )?;
        }
        let deaths = self.faults.iter().filter(|fault| fault.leader_death);
        let mut gaps: Vec<Duration> = deaths.flat_map(|fault| fault.gaps.iter().copied()).collect();
        gaps.sort_unstable();
        writeln!(
            f,
            "leader deaths: {}; gap median {} (aim 1 s), worst {} (aim 2 s)",
            gaps.len(),
            seconds(middle(&gaps)),
            seconds(gaps.last().copied())
        )?;
        write!(
            f,
            "{} batches with {} rows found exactly once, {} of unknown outcome, {} probe writes found; \
             {:.0} % of the requests repeated; replicas equal; {:.0} s",
            self.checked.batches,
            self.checked.rows,
            self.checked.unknown,
            self.probed,
            self.repeated * 100.0,
            self.took.as_secs_f64()
        )
    }
}

fn middle(sorted: &[Duration]) -> Option<Duration> {
    sorted.get(sorted.len() / 2).copied()
}

fn seconds(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "-".to_owned(), |duration| format!("{:.2} s", duration.as_secs_f64()))
}
