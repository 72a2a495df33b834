#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::check::check;
use crate::testkit::{catalog, store, tree};

fn holding(number: u128, partitions: impl IntoIterator<Item = u32>) -> Holding {
    Holding { store: store(number), partitions: partitions.into_iter().map(PartitionId).collect() }
}

fn planned(sql: &str, holdings: &[Holding], bytes: u64) -> Vec<String> {
    let meta = catalog();
    let facts = check(&tree(sql), &meta).unwrap();
    explain(&plan(&facts, &meta, holdings, bytes, 1_000).unwrap())
        .into_iter()
        .map(|line| line.replace("00000000-0000-0000-0000-00000000000", "s"))
        .collect()
}

#[test]
fn the_first_store_that_holds_everything_runs_it() {
    assert_eq!(
        planned("SELECT count(*) FROM t", &[holding(2, 1..=12), holding(1, 1..=12)], 10),
        ["Local: store s2 runs it whole over t", "  partitions 1,2,3,4,5,6,7,8,9,10,11,12"]
    );
    assert_eq!(
        planned("SELECT count(*) FROM t", &[holding(1, 1..=11), holding(2, 1..=12)], 10)[0],
        "Local: store s2 runs it whole over t"
    );
}

#[test]
fn where_no_store_holds_everything_rows_are_shipped() {
    assert_eq!(
        planned("SELECT x.a, u.c FROM t x JOIN u USING (k)", &[holding(1, 1..=8), holding(2, 5..=12)], 10),
        [
            "Ship: a query process runs it on rows from the stores, because no store holds every partition",
            "  ships t(k, a)",
            "  ships u(k, c)",
            "  from store s1: partitions 1,2,3,4,5,6,7,8",
            "  from store s2: partitions 9,10,11,12",
        ]
    );
}

#[test]
fn counting_rows_ships_the_key() {
    let lines = planned("SELECT count(*) FROM t", &[holding(1, 1..=12)], 5_000);
    assert_eq!(
        lines[0],
        "Ship: a query process runs it on rows from the stores, because its tables take 5000 bytes, beyond one store's 1000"
    );
    assert_eq!(lines[1], "  ships t(k)");
}

#[test]
fn unbounded_functions_run_in_a_process() {
    let all = [holding(1, 1..=12)];
    assert_eq!(
        planned("SELECT repeat('a', 1500000000)", &all, 0),
        ["Child: a query process runs it, because the output of repeat is not bounded by its input"]
    );
    assert!(planned("SELECT a FROM t WHERE len(repeat('a', 1500000000)) > 1", &all, 0)[0].starts_with("Ship: "));
    assert_eq!(planned("SELECT 1 + 1", &all, 0), ["Constant: control answers it, no table is read"]);
}

#[test]
fn what_nobody_holds_is_named_missing() {
    let lines = planned("SELECT count(*) FROM t", &[holding(1, 1..=10)], 0);
    assert_eq!(lines.last().unwrap(), "  missing partitions 11,12: the answer is partial");
    let meta = catalog();
    let facts = check(&tree("SELECT count(*) FROM t"), &meta).unwrap();
    assert_eq!(plan(&facts, &meta, &[], 0, 1), Err(PlanError::Unavailable));
}

proptest! {
    #[test]
    fn every_partition_is_asked_of_one_store_that_holds_it_or_missing(
        holders in prop::collection::vec(prop::collection::btree_set(1..=12_u32, 0..12), 0..6)
    ) {
        let holdings: Vec<Holding> =
            holders.into_iter().enumerate().map(|(at, held)| holding(at as u128 + 1, held)).collect();
        let wanted: BTreeSet<PartitionId> = (1..=12).map(PartitionId).collect();
        let (from, missing) = cover(&wanted, &holdings);
        let mut seen: Vec<PartitionId> = missing.clone();
        for (store, partitions) in &from {
            let holding = holdings.iter().find(|holding| holding.store == *store).unwrap();
            prop_assert!(partitions.iter().all(|partition| holding.partitions.contains(partition)));
            seen.extend(partitions);
        }
        seen.sort();
        prop_assert_eq!(seen, wanted.into_iter().collect::<Vec<_>>());
        for partition in missing {
            prop_assert!(holdings.iter().all(|holding| !holding.partitions.contains(&partition)));
        }
    }
}
