//! What goes wrong: drawn from the seed, undone after a while, and all of it undone in the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use turmoil::Sim;

use crate::chance::Chance;
use crate::check::Check;
use crate::clock;
use crate::seat::Seat;

/// Between the beginnings of two faults.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(900));
/// How long most faults last.
const LASTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(2500));
/// How long a process is away that is started again at once. A leader's lease is no longer.
const BLINK: Duration = Duration::from_millis(350);
/// No wall clock is off by more: a key is remembered for a day of them.
const OFF_HOURS: usize = 10;

/// Messages take up to this long where nothing is wrong.
pub const LATENCY: Duration = Duration::from_millis(8);

/// What ends a fault.
enum Undo {
    Repair(usize, usize),
    RepairOneWay(usize, usize),
    Release(usize, usize),
    Latency(usize, usize),
    Start(usize),
    Accept(usize),
}

/// See the module.
pub struct Faults {
    seats: Vec<Arc<Seat>>,
    check: Arc<Check>,
    chance: Chance,
    next: Duration,
    undo: Vec<(Duration, Undo)>,
    /// Whether something is to run on each seat; what a crash ended is not, until its time has come.
    up: Vec<bool>,
}

impl Faults {
    /// None at first; nothing runs on any seat yet.
    pub fn new(seed: u64, seats: &[Arc<Seat>], check: Arc<Check>) -> Self {
        let up = vec![false; seats.len()];
        let (seats, chance) = (seats.to_vec(), Chance::new(seed, 2));
        Self { seats, check, chance, next: Duration::ZERO, undo: Vec::new(), up }
    }

    /// Whether a process runs on every seat.
    pub fn all_up(&self) -> bool {
        self.up.iter().all(|up| *up)
    }

    /// Starts the process on a seat.
    pub fn start(&mut self, sim: &mut Sim<'_>, number: usize) {
        if !std::mem::replace(&mut self.up[number], true) {
            sim.bounce(self.seats[number].name.as_str());
        }
    }

    /// A seat gets its process at this time at the latest.
    pub fn start_at(&mut self, at: Duration, number: usize) {
        self.undo.push((at, Undo::Start(number)));
    }

    /// Does what is due: ends faults, and begins one.
    pub fn step(&mut self, sim: &mut Sim<'_>) {
        let now = clock::elapsed();
        self.end(sim, now);
        if now >= self.next {
            self.next = now + self.chance.between(PAUSE.0, PAUSE.1);
            self.begin(sim, now);
        }
    }

    /// Ends what is over by `now`.
    pub fn end(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let (over, lasting) = std::mem::take(&mut self.undo).into_iter().partition(|(end, _)| *end <= now);
        self.undo = lasting;
        let over: Vec<(Duration, Undo)> = over;
        for (_, undo) in over {
            let name = |number: usize| self.seats[number].name.as_str();
            match undo {
                Undo::Repair(a, b) => sim.repair(name(a), name(b)),
                Undo::RepairOneWay(a, b) => sim.repair_oneway(name(a), name(b)),
                Undo::Release(a, b) => sim.release(name(a), name(b)),
                Undo::Latency(a, b) => sim.set_link_max_message_latency(name(a), name(b), LATENCY),
                Undo::Start(number) => self.start(sim, number),
                Undo::Accept(number) => self.seats[number].refuses.store(false, Ordering::Relaxed),
            }
        }
    }

    /// Ends everything.
    pub fn heal(&mut self, sim: &mut Sim<'_>) {
        self.end(sim, Duration::MAX);
        self.seats.iter().for_each(|seat| *seat.stalled.lock() = Duration::ZERO);
        (0..self.seats.len()).for_each(|number| self.start(sim, number));
    }

    fn begin(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let seats = self.seats.clone();
        let end = now + self.chance.between(LASTS.0, LASTS.1);
        let (a, b) = self.pair();
        let name = |number: usize| seats[number].name.as_str();
        let others = (0..seats.len()).filter(|other| *other != a);
        let kind = self.chance.below(100);
        self.check.fault("fault", &[kind as u64, a as u64, b as u64, end.as_millis() as u64]);
        match kind {
            0..15 => self.crash(sim, a, end),
            // Back before anybody missed it.
            15..25 => self.crash(sim, a, now + self.chance.up_to(BLINK)),
            // Everything at once: a power cut.
            25..29 => (0..seats.len()).for_each(|number| self.crash(sim, number, end)),
            29..32 => (0..seats.len()).for_each(|number| self.crash(sim, number, now + self.chance.up_to(BLINK))),
            // The others elect a leader while the old one can still be asked.
            32..36 => others.for_each(|other| {
                sim.partition(name(a), name(other));
                self.undo.push((end, Undo::Repair(a, other)));
                *seats[other].leap.lock() = self.chance.between(BLINK, 3 * BLINK);
            }),
            36..40 => {
                sim.partition(name(a), name(b));
                self.undo.push((end, Undo::Repair(a, b)));
            }
            40..50 => others.for_each(|other| {
                sim.partition(name(a), name(other));
                self.undo.push((end, Undo::Repair(a, other)));
            }),
            50..60 => {
                sim.partition_oneway(name(a), name(b));
                self.undo.push((end, Undo::RepairOneWay(a, b)));
            }
            60..65 => others.for_each(|other| {
                sim.partition_oneway(name(a), name(other));
                self.undo.push((end, Undo::RepairOneWay(a, other)));
            }),
            // Nothing is lost, everything comes later.
            65..73 => {
                sim.hold(name(a), name(b));
                self.undo.push((end, Undo::Release(a, b)));
            }
            73..81 => {
                sim.set_link_max_message_latency(
                    name(a),
                    name(b),
                    self.chance.up_to(Duration::from_millis(300)) + LATENCY,
                );
                self.undo.push((end, Undo::Latency(a, b)));
            }
            81..87 => {
                let hours = self.chance.below(2 * OFF_HOURS + 1) as i64 - OFF_HOURS as i64;
                seats[a].clock.store(hours * 3_600_000_000, Ordering::Relaxed);
            }
            87..93 => *seats[a].leap.lock() = self.chance.between(LASTS.0, LASTS.1),
            93..97 => *seats[a].stalled.lock() = end,
            _ => {
                seats[a].refuses.store(true, Ordering::Relaxed);
                self.undo.push((end, Undo::Accept(a)));
            }
        }
    }

    /// Two different seats.
    fn pair(&self) -> (usize, usize) {
        let (count, a) = (self.seats.len(), self.chance.below(self.seats.len()));
        (a, (a + 1 + self.chance.below(count - 1)) % count)
    }

    fn crash(&mut self, sim: &mut Sim<'_>, number: usize, end: Duration) {
        if !std::mem::replace(&mut self.up[number], false) {
            return;
        }
        self.seats[number].power_cut(self.chance.percent(70));
        sim.crash(self.seats[number].name.as_str());
        self.undo.push((end, Undo::Start(number)));
    }
}
