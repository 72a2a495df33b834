#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::ids::PartitionId;
use crate::meta::{PartitionState, Replica};

fn store(number: usize) -> StoreId {
    StoreId(Uuid::from_u128(number as u128))
}

/// Partitions whose replicas are on the given stores, the first preferred; led by `leaders`.
fn cluster(holders: &[Vec<usize>], leaders: &[usize]) -> (Meta, BTreeMap<GroupId, Leadership>) {
    let mut meta = Meta::default();
    let mut next = 0;
    for (at, stores) in holders.iter().enumerate() {
        let replicas = stores.iter().map(|number| {
            next += 1;
            Replica { id: ReplicaId(next), store: store(*number) }
        });
        let id = PartitionId(at as u32 + 1);
        meta.partitions.push(Partition {
            id,
            replicas: replicas.collect(),
            state: PartitionState::Created,
            change: None,
        });
    }
    let leaders = leaders
        .iter()
        .enumerate()
        .map(|(at, number)| (GroupId(at as u32 + 1), Leadership { store: store(*number), ready: true }));
    (meta, leaders.collect())
}

fn alive(stores: impl IntoIterator<Item = usize>) -> BTreeSet<StoreId> {
    stores.into_iter().map(store).collect()
}

#[test]
fn leaders_return_to_a_store_that_is_back_and_first_to_what_it_prefers() {
    let holders: Vec<Vec<usize>> = (0..12).map(|at| vec![at % 3, (at + 1) % 3, (at + 2) % 3]).collect();
    let (meta, mut leaders) = cluster(&holders, &[1, 1, 2, 2, 1, 2, 1, 1, 2, 2, 1, 2]);
    let transfers = spread_leaders(&meta, &leaders, &alive(0..3));
    assert_eq!(transfers.len(), MAX_TRANSFERS);
    for transfer in transfers {
        let partition = meta.partition(PartitionId(transfer.group.0)).unwrap();
        assert_eq!(partition.replicas[0].store, store(0), "only partitions that prefer the store move to it");
        leaders.get_mut(&transfer.group).unwrap().store = store(0);
    }
    assert_eq!(spread_leaders(&meta, &leaders, &alive(0..3)), []);
}

#[test]
fn an_even_spread_rests_whoever_leads_what() {
    let holders = vec![vec![0, 1, 2]; 3];
    let (meta, leaders) = cluster(&holders, &[2, 0, 1]);
    assert_eq!(spread_leaders(&meta, &leaders, &alive(0..3)), []);
}

#[test]
fn a_leader_that_is_not_ready_is_left_alone() {
    let (meta, mut leaders) = cluster(&vec![vec![0, 1]; 4], &[0, 0, 0, 0]);
    leaders.values_mut().for_each(|leader| leader.ready = false);
    assert_eq!(spread_leaders(&meta, &leaders, &alive(0..2)), []);
}

#[test]
fn leaders_leave_a_draining_store_first_and_for_where_least_is_led() {
    let (mut meta, mut leaders) = cluster(&vec![vec![0, 1, 2]; 8], &[0, 0, 0, 0, 0, 0, 1, 1]);
    meta.draining.insert(store(0));
    let transfers = spread_leaders(&meta, &leaders, &alive(0..3));
    let to = |transfer: &Transfer| meta.replica_on(transfer.group, store(2)).unwrap().id == transfer.to_replica;
    assert_eq!(transfers.iter().map(to).collect::<Vec<_>>(), [true, true, false, true]);
    assert!(transfers.iter().all(|transfer| transfer.from == store(0)));
    leaders.values_mut().for_each(|leader| leader.ready = false);
    assert_eq!(spread_leaders(&meta, &leaders, &alive(0..3)), [], "a leader that is not ready is left alone");
}

#[test]
fn a_draining_store_keeps_what_nobody_else_can_lead_and_gets_nothing() {
    let (mut meta, leaders) = cluster(&[vec![0, 1], vec![0, 1], vec![1, 2], vec![1, 2]], &[0, 0, 1, 1]);
    meta.draining = [store(0), store(1)].into();
    let transfers = spread_leaders(&meta, &leaders, &alive(0..3));
    assert_eq!(transfers.iter().map(|transfer| transfer.group).collect::<Vec<_>>(), [GroupId(3), GroupId(4)]);
    assert_eq!(spread_leaders(&meta, &leaders, &alive(0..2)), []);
}

/// The least sum of squared loads over all ways to lead, by trying them all.
fn best(holders: &[Vec<usize>], alive: &[usize], loads: &mut Vec<usize>) -> usize {
    let Some((first, rest)) = holders.split_first() else { return loads.iter().map(|load| load * load).sum() };
    let tries = first.iter().filter(|holder| alive.contains(holder)).copied().collect::<Vec<_>>();
    let costs = tries.into_iter().map(|holder| {
        loads[holder] += 1;
        let cost = best(rest, alive, loads);
        loads[holder] -= 1;
        cost
    });
    costs.min().unwrap_or(usize::MAX)
}

proptest! {
    #[test]
    fn it_ends_as_even_as_the_replicas_permit(
        stores in 1..5_usize,
        dead in 0..5_usize,
        draining in 0..10_usize,
        raw in prop::collection::vec((prop::collection::vec(0..5_usize, 1..4), any::<prop::sample::Index>()), 1..8),
        done in prop::collection::vec(1..=MAX_TRANSFERS, 64),
    ) {
        let up: Vec<usize> = (0..stores).filter(|number| *number != dead || stores == 1).collect();
        let mut holders = Vec::new();
        let mut leads = Vec::new();
        for (held, leader) in raw {
            let mut unique: Vec<usize> = Vec::new();
            for number in held.into_iter().map(|number| number % stores) {
                if !unique.contains(&number) {
                    unique.push(number);
                }
            }
            let living: Vec<usize> = unique.iter().filter(|number| up.contains(number)).copied().collect();
            if !living.is_empty() {
                leads.push(living[leader.index(living.len())]);
                holders.push(unique);
            }
        }
        let (mut meta, mut leaders) = cluster(&holders, &leads);
        meta.draining.insert(store(draining));
        let mut rounds = done.into_iter();
        loop {
            let transfers = spread_leaders(&meta, &leaders, &alive(up.clone()));
            if transfers.is_empty() {
                break;
            }
            prop_assert!(transfers.len() <= MAX_TRANSFERS);
            for transfer in &transfers {
                let partition = meta.partition(PartitionId(transfer.group.0)).unwrap();
                let to = partition.replicas.iter().find(|replica| replica.id == transfer.to_replica).unwrap();
                prop_assert!(alive(up.clone()).contains(&to.store), "never a dead store");
                prop_assert!(to.store != store(draining), "never a draining store");
                prop_assert_eq!(leaders[&transfer.group].store, transfer.from);
                prop_assert!(to.store != transfer.from);
            }
            // Only the first few succeed: the rest must still come out even.
            let some = rounds.next();
            prop_assert!(some.is_some(), "it does not end");
            for transfer in transfers.iter().take(some.unwrap()) {
                let partition = meta.partition(PartitionId(transfer.group.0)).unwrap();
                let to = partition.replicas.iter().find(|replica| replica.id == transfer.to_replica).unwrap();
                leaders.get_mut(&transfer.group).unwrap().store = to.store;
            }
        }
        let mut loads = vec![0_usize; stores];
        for leader in leaders.values() {
            loads[leader.store.0.as_u128() as usize] += 1;
        }
        let staying: Vec<usize> = up.into_iter().filter(|number| *number != draining).collect();
        holders.retain(|held| held.iter().any(|number| staying.contains(number)));
        // It leads only what nobody else can.
        let stuck = loads.get_mut(draining).map_or(0, std::mem::take);
        prop_assert_eq!(stuck + holders.len(), leaders.len());
        let cost: usize = loads.iter().map(|load| load * load).sum();
        prop_assert_eq!(cost, best(&holders, &staying, &mut vec![0; stores]));
    }
}
