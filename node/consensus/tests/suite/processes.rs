//! Three processes under load that are killed and frozen.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use crate::common::cluster::PATIENCE;
use crate::common::process::{Ear, Plan, Said, Store, be_a_store_if_told_so, roles};

const GROUPS: u32 = 3;

/// Not a test: what the one below starts as processes of their own.
#[test]
fn store() {
    be_a_store_if_told_so();
}

struct Stores {
    plan: Plan,
    ear: Arc<Ear>,
    running: BTreeMap<usize, Store>,
}

impl Stores {
    fn start(&mut self, number: usize) {
        let store = Store::start(number, &self.plan, &["processes::store", "--exact", "--nocapture"], &self.ear);
        self.running.insert(number, store);
    }

    /// Waits until every group has `count` more writes acknowledged by other stores than `but`.
    fn until_written(&self, from: usize, count: usize, but: Option<usize>) {
        let by_others = |said: &&Said| Some(said.store) != but;
        self.ear.until("writes go on", from, |said| {
            let of = |group| said.iter().filter(by_others).filter(|said| said.is("ack", group)).count();
            (1..=GROUPS).all(|group| of(group) >= count)
        });
    }

    /// Who acknowledged a write of the group last.
    fn leader(&self, group: u32) -> usize {
        self.ear.since(0).iter().rfind(|said| said.is("ack", group)).unwrap().store
    }

    /// Asks all for something until what they say of it is as it should be.
    fn ask(&mut self, what: &str, enough: impl Fn(&[Said]) -> bool) -> Vec<Said> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let from = self.ear.now();
            self.running.values_mut().for_each(|store| store.ask(what));
            let of = |said: &[Said]| said.iter().filter(|said| said.words[0] == what).cloned().collect::<Vec<_>>();
            self.ear.until(what, from, |said| of(said).len() == 3 * GROUPS as usize);
            let said = of(&self.ear.since(from));
            if enough(&said) {
                return said;
            }
            assert!(Instant::now() < deadline, "not in time: {said:#?}");
        }
    }
}

#[test]
fn whatever_is_killed_or_frozen_every_acknowledged_write_is_there_once_and_no_refused_one() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { folder: folder.path().to_owned(), groups: GROUPS, clients: 4, bytes: 200, patient: true };
    let mut stores = Stores { plan, ear: Arc::default(), running: BTreeMap::new() };
    (1..=3).for_each(|number| stores.start(number));
    stores.until_written(0, 50, None);

    let killed = stores.leader(1);
    let from = stores.ear.now();
    stores.running.remove(&killed).unwrap().kill();
    stores.until_written(from, 20, Some(killed));
    stores.start(killed);
    stores.ear.until("it is back", from, |said| {
        (1..=GROUPS).all(|group| roles(said, group).get(&killed).is_some_and(|(_, role)| role == "Follower"))
    });

    let frozen = stores.leader(1);
    let from = stores.ear.now();
    stores.running[&frozen].freeze();
    stores.until_written(from, 20, Some(frozen));
    let elected = stores.ear.now();
    stores.running[&frozen].resume();
    stores
        .ear
        .until("it follows", elected, |said| roles(said, 1).get(&frozen).is_some_and(|(_, role)| role == "Follower"));
    stores.until_written(stores.ear.now(), 50, Some(frozen));
    let highest = |said: &[Said], group| roles(said, group).values().map(|(term, _)| *term).max();
    for group in 1..=GROUPS {
        let (before, after) = (highest(&stores.ear.since(0)[..elected], group), highest(&stores.ear.since(0), group));
        assert_eq!(before, after, "the resumed store called an election in group {group}");
    }

    std::mem::take(&mut stores.running).into_values().for_each(Store::kill);
    let from = stores.ear.now();
    (1..=3).for_each(|number| stores.start(number));
    stores.until_written(from, 20, None);

    stores.running.values_mut().for_each(|store| store.ask("pause"));
    // Every store has applied all of its log, and they have the same.
    stores.ask("state", |said| {
        let of = |group| said.iter().filter(move |said| said.is("state", group)).map(|said| &said.words[2..]);
        (1..=GROUPS).all(|group| of(group).all(|state| state[0] == state[1] && Some(state) == of(group).next()))
    });
    let dumps = stores.ask("dump", |_| true);
    let said = stores.ear.since(0);
    for group in 1..=GROUPS {
        let dump = dumps.iter().find(|said| said.is("dump", group)).unwrap();
        let mut times: HashMap<&str, u32> = HashMap::new();
        dump.words[2..].iter().for_each(|serial| *times.entry(serial).or_default() += 1);
        assert!(times.values().all(|times| *times == 1), "a command is there twice");
        let of = |what| said.iter().filter(move |said| said.is(what, group)).map(|said| said.words[2].as_str());
        let lost: Vec<&str> = of("ack").filter(|serial| !times.contains_key(serial)).collect();
        assert!(lost.is_empty(), "acknowledged and lost in group {group}: {lost:?}");
        let lies: Vec<&str> = of("refused").filter(|serial| times.contains_key(serial)).collect();
        assert!(lies.is_empty(), "said to be refused and there in group {group}: {lies:?}");
        assert!(of("ack").collect::<HashSet<_>>().len() >= 140);
    }
}
