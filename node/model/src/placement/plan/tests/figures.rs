//! How many replicas are copied beside the fewest that could be: `cargo test figures -- --nocapture`.

use super::*;

/// Settles the cluster with everything ending in the round in which it begins.
fn settle(what: &str, meta: Meta, seen: Observed, least: usize) -> Simulation {
    let mut simulation = Simulation::new(meta, seen, 1);
    simulation.pace = 4;
    let end = simulation.run();
    println!("{what}: {} copied, at least {least}, in {} rounds, {} cancelled", end.copied, end.rounds, end.cancelled);
    assert!(end.copied >= least && end.copied <= least + least / 10 + 8);
    end
}

/// The meta group has five, so that it does not count.
fn large(copies: u32) -> (Meta, Observed) {
    let (mut meta, seen) = cluster(64, 512, copies);
    place(&mut meta, 0, &[0, 1, 2, 3, 4]);
    (meta, seen)
}

#[test]
fn figures_of_64_stores_and_512_partitions() {
    let (mut meta, seen) = large(3);
    meta.replication = 5;
    let Simulation { mut meta, .. } = settle("3 to 5 copies", meta, seen.clone(), 1024);
    meta.replication = 3;
    settle("5 to 3 copies", meta, seen, 0);

    let (meta, mut seen) = large(3);
    lose(&mut seen, 63);
    settle("one store lost", meta, seen, 24);

    let (mut meta, seen) = large(3);
    (56..64).for_each(|number| drain(&mut meta, number, true));
    settle("8 drained, next to each other", meta, seen, 192);

    let (mut meta, seen) = large(3);
    (0..8).for_each(|number| drain(&mut meta, number * 8 + 7, true));
    settle("8 drained, far from each other", meta, seen, 192);

    let (mut meta, mut seen) = large(3);
    register(&mut meta, &mut seen, 64);
    settle("one store more", meta, seen, 1536 / 65);

    let (mut meta, mut seen) = large(3);
    (64..72).for_each(|number| register(&mut meta, &mut seen, number));
    settle("8 stores more", meta, seen, 8 * (1536 / 72));

    let (mut meta, mut seen) = large(3);
    (0..64).for_each(|number| locate(&mut meta, number, &number.to_string(), ["x", "y", "z"][number % 3]));
    lose(&mut seen, 63);
    settle("one store of three zones lost", meta, seen, 24);
}
