use proptest::prelude::*;

use super::simulation::Random;
use super::*;

/// How large a cluster may be, and what may be the matter with it.
#[derive(Clone, Copy, Debug)]
struct Shape {
    stores: usize,
    partitions: u32,
    copies: u32,
    /// Stores of one node, and nodes of one zone; 0: nobody said where they are.
    node: usize,
    zone: usize,
    /// In how many of 16 cases a store is drained, gone, retired, full or out of reach.
    troubles: [usize; 5],
    seed: u64,
}

fn shape(stores: std::ops::Range<usize>, partitions: std::ops::Range<u32>) -> impl Strategy<Value = Shape> {
    let troubles = prop_oneof![Just([0; 5]), Just([2, 1, 1, 0, 0]), Just([2, 1, 1, 1, 1]), Just([4, 2, 0, 0, 0])];
    let places = prop_oneof![2 => Just((0, 0)), 1 => Just((1, 2)), 1 => (1..4_usize, 1..4_usize)];
    (stores, partitions, 1..6_u32, places, troubles, any::<u64>()).prop_map(
        |(stores, partitions, copies, (node, zone), troubles, seed)| {
            let copies = copies.min(stores as u32);
            Shape { stores, partitions, copies, node, zone, troubles, seed }
        },
    )
}

/// A cluster whose replicas are anywhere, some too many and some too few.
fn any_cluster(shape: Shape) -> (Meta, Observed) {
    let mut random = Random(shape.seed);
    let (mut meta, mut seen) = cluster(shape.stores, shape.partitions, shape.copies);
    for group in 0..=shape.partitions {
        let wanted = (shape.copies as usize + random.below(8).saturating_sub(4) / 2).min(shape.stores);
        let wanted = wanted.saturating_sub(usize::from(random.below(8) == 0)).max(1);
        let mut stores: Vec<usize> = (0..shape.stores).collect();
        while stores.len() > wanted {
            stores.swap_remove(random.below(stores.len()));
        }
        place(&mut meta, group, &stores);
    }
    for number in 0..shape.stores {
        if shape.node > 0 && random.below(16) > 0 {
            let node = number / shape.node;
            locate(&mut meta, number, &node.to_string(), &(node / shape.zone).to_string());
        }
        trouble(&mut meta, &mut seen, number, shape.troubles, &mut random);
    }
    (meta, seen)
}

fn trouble(meta: &mut Meta, seen: &mut Observed, number: usize, troubles: [usize; 5], random: &mut Random) {
    let drawn = random.below(16);
    let mut bound = 0;
    let drawn = troubles.iter().position(|share| {
        bound += share;
        drawn < bound
    });
    match drawn {
        Some(0) => drain(meta, number, true),
        Some(1) => lose(seen, number),
        Some(2) => {
            meta.apply(MetaCommand::RetireStore { store: store(number) }).unwrap();
            seen.reachable.remove(&store(number));
        }
        Some(3) => drop(seen.full.insert(store(number))),
        Some(_) => drop(seen.reachable.remove(&store(number))),
        None => {}
    }
}

/// Ends that are as good as each other are equal in this.
#[derive(PartialEq, Eq, Debug)]
struct Quality {
    /// Pairs of a partition's voters on one node, and in one zone.
    clashes: (usize, usize),
    /// Replicas on each store that takes some, sorted; only where the stores are equal.
    loads: Vec<usize>,
}

/// Checks everything that holds at any end.
fn check_end(end: &Simulation) -> Quality {
    assert_eq!(plan(&end.meta, &end.seen), []);
    let stores = end.stores();
    let taking: Vec<StoreId> = stores.targets.iter().map(|target| target.store).collect();
    let distinct = |name: fn(&Location) -> &Option<String>| {
        let named: Vec<_> = taking.iter().filter_map(|store| end.meta.locations.get(store)).collect();
        let names: BTreeSet<_> = named.iter().map(|location| name(location)).collect();
        names.len() + taking.len() - named.len()
    };
    let (nodes, zones) = (distinct(|location| &location.node), distinct(|location| &location.zone));
    let mut all_able = true;
    let mut clashes = (0, 0);
    for group in end.meta.groups() {
        if !end.is_able(group) {
            all_able = false;
            continue;
        }
        let (voters, change) = end.meta.group(group).unwrap();
        let copies = end.copies(group);
        assert_eq!(change, None);
        assert!(voters.len() <= copies, "{group} has too many");
        let room = taking.iter().any(|store| end.meta.replica_on(group, *store).is_none());
        let leaving = voters.iter().any(|voter| stores.is_leaving(voter.store));
        let settled = voters.len() == copies && !leaving;
        assert!(settled || !room, "{group} could be settled: {voters:?}");
        let places = stores.staying(voters, None);
        // Each pair is counted from both ends, and each with itself.
        let of = |place: &Place<'_>| place.clash(&places);
        let itself = |place: &Place<'_>| place.clash(&[*place]);
        let pairs = |of: &dyn Fn(&Place<'_>) -> usize| places.iter().map(of).sum::<usize>();
        let node = pairs(&|place| of(place).0 - itself(place).0) / 2;
        let zone = pairs(&|place| of(place).1 - itself(place).1) / 2;
        assert!(!settled || nodes < copies || node == 0, "{group}: two voters on one node");
        assert!(!settled || zones < copies || zone == 0, "{group}: two voters in one zone");
        if group != GroupId::META {
            clashes = (clashes.0 + node, clashes.1 + zone);
        }
    }
    let mut loads: Vec<usize> = taking.iter().map(|store| end.load(*store)).collect();
    loads.sort_unstable();
    if !all_takes(end) || !end.meta.locations.is_empty() {
        loads.clear();
    } else if all_able {
        let (least, most) = (loads.first().unwrap_or(&0), loads.last().unwrap_or(&0));
        assert!(most - least <= 1, "{loads:?}");
    }
    Quality { clashes, loads }
}

/// Every store that stays takes replicas.
fn all_takes(end: &Simulation) -> bool {
    let stores = end.stores();
    end.meta.stores.keys().filter(|store| !stores.is_leaving(**store)).count() == stores.targets.len()
}

/// Runs the cluster to its end, and from somewhere on the way to another.
fn two_ends(shape: Shape, half: usize) {
    let (meta, seen) = any_cluster(shape);
    let mut half_way = Simulation::new(meta, seen, shape.seed);
    half_way.pace = half % 4;
    let able = half_way.meta.groups().all(|group| half_way.is_able(group));
    for _ in 0..half {
        half_way.round();
    }
    let mut other = half_way.clone();
    (other.random, other.pace) = (Random(!shape.seed), 3 - half % 4);
    let (one, other) = (half_way.run(), other.run());
    let (first, second) = (check_end(&one), check_end(&other));
    // Full stores and those out of reach keep what they have, so what moves off them is past recall.
    if all_takes(&one) && able {
        assert_eq!(first, second);
    }
}

/// Stores come to be in trouble, and out of it, while changes are under way.
fn troubled(shape: Shape, rounds: usize) {
    let (meta, seen) = any_cluster(shape);
    let mut simulation = Simulation::new(meta, seen, shape.seed);
    for at in 0..rounds {
        simulation.round();
        let Simulation { meta, seen, random, .. } = &mut simulation;
        let number = random.below(shape.stores);
        if at % 3 != 0 || !meta.stores.contains_key(&store(number)) {
            continue;
        }
        seen.gone.remove(&store(number));
        seen.full.remove(&store(number));
        seen.reachable.insert(store(number));
        drain(meta, number, false);
        trouble(meta, seen, number, shape.troubles, random);
    }
    check_end(&simulation.run());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_order_leads_to_an_end_as_good_as_any(shape in shape(1..13, 1..25), half in 0..12_usize) {
        two_ends(shape, half);
    }

    #[test]
    fn it_ends_whatever_happens_to_the_stores_on_the_way(shape in shape(1..13, 1..25), rounds in 0..40_usize) {
        troubled(shape, rounds);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn a_large_cluster_ends_as_well(shape in shape(48..65, 256..513), half in 0..12_usize) {
        two_ends(shape, half);
    }
}
