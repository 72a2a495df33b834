//! One simulation: a cluster is made, things go wrong for a while, everything is repaired, and then the
//! cluster must come to rest by itself with every row in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use raftduck_model::meta::{Meta, PartitionState, Replica};
use raftduck_model::placement::{Observed, plan};
use raftduck_model::{GroupId, LogIndex, ReplicaId, StoreId};
use turmoil::Sim;

use crate::check::{Check, Figures};
use crate::clients::Clients;
use crate::clock;
use crate::faults::{Faults, LATENCY};
use crate::member::Member;
use crate::process;
use crate::seat::{Break, Seat};

/// Partitions; each is a group of its own.
const PARTITIONS: u32 = 3;
/// Stores that make the cluster, and copies of everything.
const FIRST: usize = 3;
/// How long a cluster may take to be made.
const MAKING: Duration = Duration::from_secs(10);
/// How long things go wrong.
const FAULTY: Duration = Duration::from_secs(8);
/// How long coming to rest may take once nothing goes wrong any more.
const HEALING: Duration = Duration::from_secs(60);
/// The time between two looks at everything.
const TICK: Duration = Duration::from_millis(1);

/// Which simulation.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Everything follows from it.
    pub seed: u64,
    /// What is wrong on purpose.
    pub breaks: Option<Break>,
}

/// What a simulation came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What should have stayed true and did not.
    pub violations: Vec<String>,
    /// Everything that happened, as one number: the same for the same seed.
    pub trace: u64,
    /// What happened.
    pub figures: Figures,
    /// How long it was, in its own time.
    pub simulated: Duration,
}

/// Runs one simulation, on a thread of its own.
///
/// # Errors
/// Where the simulation itself could not be run.
pub fn run(settings: Settings) -> anyhow::Result<Outcome> {
    mad_turmoil::rand::set_rng(rand::SeedableRng::seed_from_u64(settings.seed));
    // Hash maps draw their keys once for each thread: this one must not have any yet.
    let running = std::thread::Builder::new().name("simulation".into()).spawn(move || simulate(settings))?;
    running.join().map_err(|_| anyhow!("the simulation panicked"))?
}

fn simulate(Settings { seed, breaks }: Settings) -> anyhow::Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("simulation-").tempdir().context("making a folder")?;
    let check = Arc::new(Check::default());
    let count = FIRST + (seed % 3) as usize;
    let seats = (1..=count).map(|number| Seat::new(number, seed, folder.path(), check.clone(), breaks).map(Arc::new));
    let seats: Vec<Arc<Seat>> = seats.collect::<Result<_, _>>()?;
    let stores: Vec<(StoreId, String)> = seats.iter().map(|seat| (seat.store, seat.address())).collect();
    let membership = process::membership(&stores, FIRST);
    let mut sim = turmoil::Builder::new()
        .simulation_duration(Duration::from_secs(3600))
        .tick_duration(TICK)
        .epoch(SystemTime::UNIX_EPOCH)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(LATENCY)
        .tcp_capacity(1 << 16)
        .rng_seed(seed)
        .build();
    let mut faults = Faults::new(seed, &seats, check.clone());
    for seat in &seats {
        let (name, seat, membership) = (seat.name.clone(), seat.clone(), membership.clone());
        sim.host(name.as_str(), move || {
            let (seat, membership) = (seat.clone(), membership.clone());
            async move { process::run(seat, membership).await.map_err(Into::into) }
        });
        sim.crash(name.as_str());
    }
    let clients = Arc::new(Clients::new(seed, &membership, PARTITIONS, check.clone()));
    let running = clients.clone();
    sim.host("clients", move || {
        let (clients, membership) = (running.clone(), membership.clone());
        async move { clients.run(membership, PARTITIONS).await.map_err(Into::into) }
    });
    let mut simulation = Simulation { sim, seats, check, known: BTreeMap::new() };
    if let Err(error) = simulation.story(&mut faults, &clients) {
        simulation.check.fail(format!("{error:#}"));
    }
    let Simulation { sim, check, seats, .. } = simulation;
    let simulated = clock::elapsed();
    // Before the processes, whose handles they hold.
    seats.iter().for_each(|seat| drop(seat.process.lock().take()));
    drop(sim);
    Ok(Outcome { violations: check.violations(), trace: check.trace(), figures: check.figures(), simulated })
}

struct Simulation<'a> {
    sim: Sim<'a>,
    seats: Vec<Arc<Seat>>,
    check: Arc<Check>,
    /// The cluster's state as each store was last seen to know it.
    known: BTreeMap<StoreId, Arc<Meta>>,
}

impl Simulation<'_> {
    fn story(&mut self, faults: &mut Faults, clients: &Clients) -> anyhow::Result<()> {
        (0..FIRST).for_each(|number| faults.start(&mut self.sim, number));
        self.until(MAKING, "the cluster is made", |simulation| simulation.is_made())?;
        let begun = clock::elapsed();
        // The others join while things go wrong.
        (FIRST..self.seats.len())
            .for_each(|number| faults.start_at(begun + Duration::from_millis(700 * number as u64), number));
        while clock::elapsed() < begun + FAULTY && self.check.is_fine() {
            faults.step(&mut self.sim);
            self.step()?;
        }
        faults.heal(&mut self.sim);
        clients.finishing.store(true, Ordering::Relaxed);
        self.check.fault("healed", &[]);
        self.until(HEALING, "the cluster comes to rest", |simulation| {
            clients.open.load(Ordering::Relaxed) == 0 && faults.all_up() && simulation.is_at_rest()
        })?;
        // What was wrong before is the reason for whatever is now.
        if self.check.is_fine() {
            self.compare();
        }
        Ok(())
    }

    /// Steps until `reached`, or until something is wrong.
    fn until(&mut self, at_most: Duration, what: &str, reached: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let deadline = clock::elapsed() + at_most;
        let mut steps = 0u32;
        while self.check.is_fine() && !(steps.is_multiple_of(50) && reached(self)) {
            anyhow::ensure!(clock::elapsed() < deadline, "6: not within {at_most:?}: {what}: {}", self.unrest());
            self.step()?;
            steps += 1;
        }
        Ok(())
    }

    fn step(&mut self) -> anyhow::Result<()> {
        self.sim.step().map_err(|error| anyhow!("7: a process ended: {error}"))?;
        clock::set(self.sim.elapsed());
        for seat in &self.seats {
            let Some(member) = seat.member() else { continue };
            let meta = member.meta.borrow().clone();
            if self.known.get(&seat.store).is_none_or(|known| !Arc::ptr_eq(known, &meta)) {
                self.check.meta(seat.store, &meta);
                self.known.insert(seat.store, meta);
            }
        }
        for (store, group, replica) in self.check.take_removals() {
            self.look_at_removal(store, group, replica);
        }
        Ok(())
    }

    /// The newest state of the cluster that any store knows.
    fn meta(&self) -> Arc<Meta> {
        let newest = self.known.values().max_by_key(|meta| (meta.epoch, meta.catalog_version));
        newest.cloned().unwrap_or_default()
    }

    /// 5: what was deleted is no replica any more, and on most of those that now vote.
    fn look_at_removal(&self, store: StoreId, group: GroupId, replica: ReplicaId) {
        let meta = self.meta();
        let Some((voters, _)) = meta.group(group) else { return };
        if voters.iter().any(|voter| voter.id == replica) {
            self.check.fail(format!("5: {store} deletes replica {replica} of group {group}, which still votes"));
        }
        let newest = group.partition().map_or(0, |partition| self.check.newest(partition));
        let has = |replica: &&Replica| {
            let seat = self.seats.iter().find(|seat| seat.store == replica.store);
            seat.and_then(|seat| seat.holds(group)).map_or(0, |last| last.index) >= newest
        };
        let on = voters.iter().filter(has).count();
        if 2 * on <= voters.len() {
            let of = voters.len();
            let text = format!(
                "5: {store} deletes a replica of group {group}, whose entry {newest} is on {on} of {of} voters"
            );
            self.check.fail(text);
        }
    }

    fn is_made(&self) -> bool {
        let meta = self.meta();
        let created = meta.partitions.iter().all(|partition| partition.state == PartitionState::Created);
        meta.partitions.len() == PARTITIONS as usize && created && !meta.tables.is_empty()
    }

    /// The processes, by store.
    fn members(&self) -> BTreeMap<StoreId, Arc<Member>> {
        self.seats.iter().filter_map(|seat| Some((seat.store, seat.member()?))).collect()
    }

    /// Whether nothing is left to do: no replica moves or should, and all copies are equally far.
    fn is_at_rest(&self) -> bool {
        self.unrest().is_empty()
    }

    /// What is left to do.
    fn unrest(&self) -> String {
        let (meta, members) = (self.meta(), self.members());
        let reachable: BTreeSet<StoreId> = members.keys().copied().collect();
        let mut unrest = Vec::new();
        if meta.stores.len() < self.seats.len() {
            unrest.push(format!("{} of {} stores have registered", meta.stores.len(), self.seats.len()));
        }
        for command in plan(&meta, &Observed { reachable, ..Observed::default() }) {
            unrest.push(format!("{command:?} is to be done"));
        }
        for group in meta.groups() {
            let Some((voters, change)) = meta.group(group) else { continue };
            if let Some(change) = change {
                unrest.push(format!("group {group} changes: {change:?}"));
            }
            let applied = |replica: &Replica| {
                let hosted = members.get(&replica.store)?.group(group)?;
                hosted.group.applied().filter(|_| hosted.replica == *replica)
            };
            let far: BTreeSet<Option<LogIndex>> = voters.iter().map(applied).collect();
            // What was answered a moment ago may wait to be applied everywhere.
            let newest = group.partition().map_or(0, |partition| self.check.newest(partition));
            if far.len() > 1 || far.first().is_none_or(|far| far.is_none_or(|far| far.0 < newest)) {
                unrest.push(format!("group {group} is applied up to {far:?}"));
            }
            let extra = members
                .values()
                .filter(|member| member.group(group).is_some_and(|hosted| !voters.contains(&hosted.replica)));
            extra.for_each(|member| unrest.push(format!("{} still has a replica of group {group}", member.store)));
        }
        unrest.join("; ")
    }

    /// 1, 2 and 3: every copy holds every row, once, and no copy holds what another does not.
    fn compare(&self) {
        let (meta, members) = (self.meta(), self.members());
        for partition in &meta.partitions {
            let must = self.check.must(partition.id);
            let mut first: Option<BTreeMap<u64, u64>> = None;
            for replica in &partition.replicas {
                let Some(member) = members.get(&replica.store) else { continue };
                let rows = member.engine.look(partition.id, |state| state.rows.clone());
                let lost = must.iter().filter(|row| !rows.contains_key(row)).count();
                if lost > 0 {
                    let (store, id, of) = (replica.store, partition.id, must.len());
                    self.check.fail(format!("1: {lost} of {of} rows of partition {id} are lost on {store}"));
                }
                if *first.get_or_insert_with(|| rows.clone()) != rows {
                    self.check.fail(format!("3: {} holds other rows of partition {}", replica.store, partition.id));
                }
            }
        }
    }
}
