//! Prints for how long writes stop when the store that leads dies or freezes, under load, with the
//! timing that stores have: `cargo bench -p raftduck-consensus --bench failover`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/suite/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::process::{Ear, Plan, Said, Store, be_a_store_if_told_so, roles};

const GROUPS: u32 = 12;
const ROUNDS: usize = 8;

/// Who acknowledged the last write of each group, and when.
fn leaders(said: &[Said]) -> BTreeMap<u32, (usize, Instant)> {
    let acks = said.iter().filter(|said| said.words[0] == "ack");
    acks.map(|said| (said.number(1) as u32, (said.store, said.at))).collect()
}

fn measure(clients: u32, bytes: usize) {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { folder: folder.path().to_owned(), groups: GROUPS, clients, bytes, patient: false };
    let ear = Arc::new(Ear::default());
    let start = |number| (number, Store::start(number, &plan, &[], &ear));
    let mut stores: BTreeMap<usize, Store> = (1..=3).map(start).collect();
    let mut gaps: [Vec<Duration>; 2] = Default::default();
    let mut elections = 0;
    for round in 0..ROUNDS {
        let from = ear.now();
        let all_write = |said: &[Said]| leaders(said).len() == GROUPS as usize;
        ear.until("all groups write", from, all_write);
        // Under way for a while: an election now is one that nobody needed.
        let (quiet, until) = (ear.now(), Instant::now() + Duration::from_secs(3));
        ear.until("load", quiet, |said| said.last().is_some_and(|said| said.at > until));
        let new_leader = |said: &&Said| said.words[0] == "role" && said.words[3] == "Leader";
        elections += ear.since(quiet).iter().filter(new_leader).count();

        let before = leaders(&ear.since(from));
        let count = |store| before.values().filter(|(leader, _)| *leader == store).count();
        let victim = (1..=3).max_by_key(|store| count(*store)).unwrap();
        let at = ear.now();
        let killed = round % 2 == 0;
        match killed {
            true => stores.remove(&victim).unwrap().kill(),
            false => stores[&victim].freeze(),
        }
        let led: Vec<u32> =
            before.iter().filter(|(_, (leader, _))| *leader == victim).map(|(group, _)| *group).collect();
        let others =
            |said: &[Said]| leaders(&said.iter().filter(|said| said.store != victim).cloned().collect::<Vec<_>>());
        ear.until("others write", at, |said| led.iter().all(|group| others(said).contains_key(group)));
        let said = ear.since(from);
        for group in &led {
            let of = |said: &&Said| said.is("ack", *group);
            let last = said.iter().filter(of).rfind(|said| said.store == victim).unwrap().at;
            let next = said.iter().filter(of).find(|said| said.store != victim && said.at > last).unwrap().at;
            gaps[round % 2].push(next - last);
        }
        match killed {
            true => stores.extend([start(victim)]),
            false => stores[&victim].resume(),
        }
        ear.until("it is back", at, |said| led.iter().all(|group| roles(said, *group).contains_key(&victim)));
    }
    for (what, gaps) in ["killed", "frozen"].iter().zip(&mut gaps) {
        gaps.sort();
        let (median, worst) = (gaps[gaps.len() / 2], gaps.last().unwrap());
        println!(
            "{GROUPS} groups, {} clients of {bytes} B, leader {what} {} times: writes of {} groups stopped for {median:.0?} in the \
             median, {worst:.0?} at the worst",
            clients * GROUPS,
            ROUNDS / 2,
            gaps.len(),
        );
    }
    println!("elections that nobody needed, in {} s of that load: {elections}", 3 * ROUNDS);
}

fn main() {
    be_a_store_if_told_so();
    measure(1, 256);
    measure(4, 256);
    measure(1, 256 << 10);
}
