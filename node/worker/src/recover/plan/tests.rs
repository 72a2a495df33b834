#![allow(clippy::unwrap_used, clippy::panic)]

use raftduck_model::meta::StoreInfo;
use raftduck_model::{Column, PartitionId, SchemaVersion};
use uuid::Uuid;

use super::*;

fn store(number: u128) -> StoreId {
    StoreId(Uuid::from_u128(number))
}

/// Five stores, each of two partitions on three of them, all created; the meta group on the stores 1, 2 and 3.
fn state() -> Meta {
    let mut meta = Meta::default();
    let replicas = (1..=3).map(|number| Replica { id: ReplicaId(number), store: store(number.into()) });
    meta.apply(MetaCommand::Bootstrap {
        cluster: ClusterId(Uuid::from_u128(9)),
        stores: (1..=5).map(|number| (store(number), StoreInfo::at(format!("s{number}:1")))).collect(),
        replicas: replicas.collect(),
        partitions: 2,
        replication: 3,
    })
    .unwrap();
    for partition in 1..=2 {
        meta.apply(MetaCommand::PartitionCreated { partition: PartitionId(partition) }).unwrap();
    }
    meta
}

fn at(term: u64, index: u64) -> Option<LogId> {
    Some(LogId { term, leader: ReplicaId(1), index })
}

/// The store's replicas of the state's groups, each with a log up to `last`.
fn report(state: &Meta, number: u128, last: Option<LogId>) -> Report {
    let mut report = Report::new(state.cluster.unwrap(), state.level, store(number));
    for group in state.groups() {
        let Some(replica) = state.replica_on(group, store(number)) else { continue };
        let (voters, _) = state.group(group).unwrap();
        report.replicas.push(ReplicaReport {
            group,
            replica: replica.id,
            term: 7,
            last,
            committed: last,
            applied: last,
            voters: vec![voters.to_vec()],
            learners: vec![],
        });
        if group == GroupId::META {
            report.meta = Some(state.clone());
        }
    }
    report
}

fn table(id: u32, name: &str, version: u32) -> Table {
    let column = Column { name: "a".to_owned(), kind: "INTEGER".parse().unwrap(), nullable: true, default: None };
    Table { id: TableId(id), name: name.to_owned(), version: SchemaVersion(version), columns: vec![column], key: 0 }
}

#[test]
fn the_only_store_that_is_left_holds_everything_alone_and_the_others_are_given_up() {
    let state = state();
    let plan = plan(&[report(&state, 3, at(7, 40))]).unwrap();
    let given_up: Vec<StoreId> = plan.given_up.iter().map(|(store, _)| *store).collect();
    assert_eq!(given_up, [store(1), store(2), store(4), store(5)]);
    assert_eq!(plan.seeds, [(store(3), "s3:1".to_owned())]);
    assert_eq!(plan.groups.iter().map(|group| group.group).collect::<Vec<_>>(), state.groups().collect::<Vec<_>>());
    let ids: BTreeSet<ReplicaId> = plan.groups.iter().map(|group| group.replica.id).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.first() > Some(&state.next_replica));
    for group in &plan.groups {
        assert_eq!((group.replica.store, group.last, group.lost_quorum), (store(3), at(7, 40), true));
        assert!(group.voted);
        assert!(group.term > 7);
    }
    // What is written into the log is what the state accepts, and it leaves no other voter anywhere.
    let mut recovered = state.clone();
    recovered.apply(MetaCommand::Recover(plan.recovery.clone())).unwrap();
    for group in recovered.groups() {
        assert_eq!(recovered.group(group).unwrap().0, [plan.groups[group.0 as usize].replica]);
    }
}

#[test]
fn each_group_begins_from_the_newest_log_that_is_left_of_it() {
    let state = state();
    let (mut one, mut two) = (report(&state, 2, at(7, 40)), report(&state, 3, at(7, 41)));
    // Newer is of a later term first, and longer only then.
    one.replicas[0].last = at(8, 12);
    two.replicas[1].term = 90;
    // Or every group had its quorum.
    one.replicas[2].last = None;
    let made = plan(&[one.clone(), two.clone()]).unwrap();
    assert_eq!(made.groups.iter().map(|group| group.replica.store).collect::<Vec<_>>(), [store(2), store(3), store(3)]);
    assert!(made.groups[1].term > 90, "a term that only the other store has seen");
    assert_eq!(made.groups[0].logs, [(store(2), at(8, 12)), (store(3), at(7, 41))]);
    assert_eq!(plan(&[two, one]).unwrap(), made, "whoever asks");
}

#[test]
fn a_group_lost_its_quorum_where_the_logs_that_are_left_are_no_majority_of_every_set_of_voters() {
    let state = state();
    // Partition 1 is on the stores 1, 2 and 3, partition 2 on 2, 3 and 4.
    let [two, three, four] = [2, 3, 4].map(|number| report(&state, number, at(7, 40)));
    let lost = |reports: &[Report]| -> Vec<bool> {
        plan(reports).unwrap().groups.iter().map(|group| group.lost_quorum).collect()
    };
    assert_eq!(lost(&[four.clone(), three.clone()]), [true, true, false]);
    let mut joint = two.clone();
    let others = [1, 4, 5].map(|number| Replica { id: ReplicaId(50 + number), store: store(number.into()) });
    joint.replicas[1].voters.push(others.to_vec());
    joint.replicas[1].last = at(7, 99);
    assert_eq!(lost(&[joint, three.clone()]), [false, true, false]);
    // A voter whose volume came back empty is none that is left.
    let mut empty = two.clone();
    empty.replicas[2].last = None;
    assert_eq!(lost(&[empty, three.clone()]), [false, false, true]);
    assert_eq!(plan(&[two, three]), Err(PlanError::NothingLost));
}

#[test]
fn a_copy_without_a_vote_is_taken_where_there_is_no_other_and_said_to_be_one() {
    let state = state();
    let mut report = report(&state, 3, at(7, 40));
    let learner = Replica { id: report.replicas[1].replica, store: store(3) };
    report.replicas[1].voters = vec![vec![Replica { id: ReplicaId(80), store: store(1) }]];
    report.replicas[1].learners = vec![learner];
    let made = plan(&[report]).unwrap();
    assert_eq!(made.groups.iter().map(|group| group.voted).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!((made.groups[1].last, made.groups[1].lost_quorum), (at(7, 40), true));
}

#[test]
fn a_partition_of_which_nothing_is_left_begins_empty_on_the_emptiest_store() {
    let state = state();
    // Store 1 has nothing of partition 2, and store 5 nothing at all.
    let made = plan(&[report(&state, 1, at(7, 40)), report(&state, 5, None)]).unwrap();
    let [_, one, two] = made.groups.as_slice() else { panic!("{made:?}") };
    assert_eq!((one.replica.store, one.is_lost()), (store(1), false));
    assert_eq!((two.replica.store, two.last, two.is_lost()), (store(5), None, true));
    assert_eq!(made.recovery.partitions.iter().map(|one| one.empty).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn tables_that_only_the_partitions_know_are_kept_and_dropped_ones_stay_dropped() {
    let mut state = state();
    for name in ["t", "u"] {
        let columns = table(1, "", 1).columns;
        let create = MetaCommand::CreateTable { name: name.to_owned(), columns, key: 0, if_not_exists: false };
        state.apply(create).unwrap();
    }
    state.apply(MetaCommand::DropTable { name: "u".to_owned(), if_exists: false }).unwrap();
    let mut report = report(&state, 3, at(7, 40));
    let wider = Table { columns: [table(1, "t", 1).columns, table(1, "t", 1).columns].concat(), ..table(1, "t", 2) };
    // Dropped; known better; new; new under the name of one that is there.
    report.tables = vec![wider.clone(), table(2, "u", 1), table(3, "new", 1), table(4, "T", 1)];
    let recovery = plan(&[report]).unwrap().recovery;
    assert_eq!(recovery.tables, [wider, table(3, "new", 1), table(4, "T_4", 1)]);
    assert!(recovery.next_table > TableId(5));
}

#[test]
fn reports_that_make_no_plan_are_refused() {
    let mut state = state();
    let three = report(&state, 3, at(7, 40));
    assert_eq!(plan(&[]), Err(PlanError::NoMeta));
    assert_eq!(plan(&[report(&state, 4, at(7, 40))]), Err(PlanError::NoMeta));
    assert_eq!(plan(&[three.clone(), three.clone()]), Err(PlanError::Twice(store(3))));
    let other = Report::new(ClusterId(Uuid::from_u128(8)), 1, store(4));
    assert!(matches!(plan(&[three.clone(), other]), Err(PlanError::OtherCluster(..))));
    state.apply(MetaCommand::RetireStore { store: store(3) }).unwrap();
    let newer = report(&state, 2, at(8, 1));
    assert_eq!(plan(&[newer, three.clone()]), Err(PlanError::Retired(store(3))));
    let mut newer = three.clone();
    newer.meta.as_mut().unwrap().level = LEVEL + 1;
    assert_eq!(plan(&[newer]), Err(PlanError::TooNew(LEVEL + 1)));
    let mut unborn = three;
    unborn.meta = Some(Meta::default());
    assert!(matches!(plan(&[unborn]), Err(PlanError::Meta(MetaError::NotBootstrapped))));
}
