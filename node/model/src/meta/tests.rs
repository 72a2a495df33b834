#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::limits;

mod changes;
mod levels;
mod recovery;

fn store(number: u128) -> StoreId {
    StoreId(Uuid::from_u128(number))
}

fn info(address: &str) -> StoreInfo {
    StoreInfo::at(address)
}

fn bootstrap(cluster: u128) -> MetaCommand {
    MetaCommand::Bootstrap {
        cluster: ClusterId(Uuid::from_u128(cluster)),
        stores: (1..=3).map(|number| (store(number), info("s:1"))).collect(),
        replicas: (1..=3).map(|number| Replica { id: ReplicaId(number), store: store(number.into()) }).collect(),
        partitions: 4,
        replication: 2,
    }
}

fn column(name: &str, kind: &str) -> Column {
    Column { name: name.to_owned(), kind: kind.parse().unwrap(), nullable: true, default: None }
}

fn create(name: &str, columns: Vec<Column>, if_not_exists: bool) -> MetaCommand {
    MetaCommand::CreateTable { name: name.to_owned(), columns, key: 0, if_not_exists }
}

fn add(table: &str, column: Column, if_not_exists: bool) -> MetaCommand {
    MetaCommand::AddColumn { table: table.to_owned(), column, if_not_exists }
}

fn drop_table(name: &str, if_exists: bool) -> MetaCommand {
    MetaCommand::DropTable { name: name.to_owned(), if_exists }
}

fn begin(group: u32, add: Option<u128>, remove: Option<u64>) -> MetaCommand {
    MetaCommand::BeginChange { group: GroupId(group), add: add.map(store), remove: remove.map(ReplicaId) }
}

fn replica(id: u64, number: u128) -> Replica {
    Replica { id: ReplicaId(id), store: store(number) }
}

fn cluster() -> Meta {
    let mut meta = Meta::default();
    meta.apply(bootstrap(9)).unwrap();
    meta
}

/// The error, after a check that it changed nothing.
fn refused(meta: &mut Meta, command: MetaCommand) -> MetaError {
    let before = meta.clone();
    let error = meta.apply(command).unwrap_err();
    assert_eq!(*meta, before);
    error
}

#[test]
fn a_partition_whose_first_store_is_lost_is_created_by_the_next() {
    let mut meta = cluster();
    let creator = |meta: &Meta| meta.creator(meta.partition(PartitionId(1)).unwrap()).map(|replica| replica.store);
    assert_eq!(creator(&meta), Some(store(1)));
    meta.apply(MetaCommand::RetireStore { store: store(1) }).unwrap();
    assert_eq!(creator(&meta), Some(store(2)));
    meta.apply(MetaCommand::PartitionCreated { partition: PartitionId(1) }).unwrap();
    assert_eq!(creator(&meta), None);
}

#[test]
fn a_bootstrap_places_every_copy_on_a_store_of_its_own_with_an_id_of_its_own() {
    let mut meta = cluster();
    let mut ids: Vec<ReplicaId> = meta.replicas.iter().map(|replica| replica.id).collect();
    for partition in &meta.partitions {
        let [first, second] = partition.replicas.as_slice() else { panic!("{partition:?}") };
        assert_ne!(first.store, second.store);
        ids.extend([first.id, second.id]);
    }
    assert_eq!(ids, (1..=11).map(ReplicaId).collect::<Vec<_>>());
    assert_eq!((meta.next_replica, meta.partition_count().unwrap().get()), (ReplicaId(12), 4));
    let before = meta.clone();
    assert_eq!(meta.apply(bootstrap(9)), Ok(MetaReply::Done));
    assert_eq!(meta, before);
    assert!(matches!(refused(&mut meta, bootstrap(8)), MetaError::OtherCluster { .. }));
}

#[test]
fn a_bootstrap_that_cannot_be_met_is_refused() {
    type Change = fn(&mut Vec<(StoreId, StoreInfo)>, &mut Vec<Replica>, &mut u32, &mut u32);
    let changes: [Change; 9] = [
        |_, _, partitions, _| *partitions = 0,
        |_, _, partitions, _| *partitions = limits::PARTITIONS + 1,
        |_, _, _, replication| *replication = 0,
        |_, _, _, replication| *replication = 4,
        |stores, _, _, _| stores.push((store(1), info("again:1"))),
        |_, replicas, _, _| replicas.clear(),
        |_, replicas, _, _| replicas[1].id = replicas[0].id,
        |_, replicas, _, _| replicas[0].store = store(7),
        |_, replicas, _, _| replicas[0].id = ReplicaId(u64::MAX),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let MetaCommand::Bootstrap { cluster, mut stores, mut replicas, mut partitions, mut replication } =
            bootstrap(9)
        else {
            panic!("not a bootstrap");
        };
        change(&mut stores, &mut replicas, &mut partitions, &mut replication);
        let command = MetaCommand::Bootstrap { cluster, stores, replicas, partitions, replication };
        assert!(matches!(refused(&mut Meta::default(), command), MetaError::BadBootstrap { .. }), "change {at}");
    }
}

#[test]
fn a_store_that_moves_raises_the_epoch_and_one_that_repeats_itself_does_not() {
    let mut meta = cluster();
    let epoch = meta.epoch.0;
    let moved = MetaCommand::RegisterStore { store: store(2), info: info("elsewhere:1") };
    for _ in 0..2 {
        meta.apply(moved.clone()).unwrap();
        assert_eq!(meta.epoch.0, epoch + 1);
    }
    assert_eq!(meta.stores[&store(2)], info("elsewhere:1"));
}

#[test]
fn a_partition_is_created_once() {
    let mut meta = cluster();
    let epoch = meta.epoch.0;
    for _ in 0..2 {
        meta.apply(MetaCommand::PartitionCreated { partition: PartitionId(4) }).unwrap();
        assert_eq!(meta.epoch.0, epoch + 1);
        assert_eq!(meta.partition(PartitionId(4)).unwrap().state, PartitionState::Created);
    }
    for none in [0, 5] {
        let error = refused(&mut meta, MetaCommand::PartitionCreated { partition: PartitionId(none) });
        assert!(matches!(error, MetaError::Invalid { .. }));
    }
}

#[test]
fn a_name_that_is_dropped_and_created_again_is_another_table() {
    let mut meta = cluster();
    meta.apply(create("t", vec![column("a", "INTEGER")], false)).unwrap();
    let first = meta.table("T").unwrap().id;
    assert!(matches!(
        refused(&mut meta, create("T", vec![column("a", "INTEGER")], false)),
        MetaError::TableExists { .. }
    ));
    assert!(matches!(meta.apply(create("t", vec![], true)), Ok(MetaReply::Table { .. })));
    meta.apply(drop_table("t", false)).unwrap();
    assert!(matches!(refused(&mut meta, drop_table("t", false)), MetaError::NoSuchTable { .. }));
    assert_eq!(meta.apply(drop_table("t", true)), Ok(MetaReply::Done));
    meta.apply(create("t", vec![column("a", "INTEGER")], false)).unwrap();
    assert!(meta.table("t").unwrap().id > first);
}

#[test]
fn a_table_that_does_not_hold_together_is_refused() {
    let mut meta = cluster();
    let many = (0..=limits::COLUMNS).map(|at| column(&format!("c{at}"), "INTEGER")).collect();
    assert!(matches!(refused(&mut meta, create("t", many, false)), MetaError::TooManyColumns { .. }));
    for (name, columns) in [
        ("t", vec![]),
        ("", vec![column("a", "INTEGER")]),
        ("t", vec![column("a", "DOUBLE")]),
        ("t", vec![column("a", "INTEGER"), column("A", "INTEGER")]),
        ("t", vec![column("a", "INTEGER"), column("_PART", "INTEGER")]),
        ("t", vec![column("a", "INTEGER"), column("", "INTEGER")]),
    ] {
        assert!(matches!(refused(&mut meta, create(name, columns, false)), MetaError::Invalid { .. }), "{name}");
    }
    let error = refused(&mut Meta::default(), create("t", vec![column("a", "INTEGER")], false));
    assert_eq!(error, MetaError::NotBootstrapped);
}

#[test]
fn a_column_is_added_at_the_end_under_a_new_version() {
    let mut meta = cluster();
    meta.apply(create("t", vec![column("a", "INTEGER")], false)).unwrap();
    let reply = meta.apply(add("t", column("b", "DOUBLE[]"), false)).unwrap();
    let MetaReply::Table { table } = reply else { panic!("{reply:?}") };
    assert_eq!((table.version.0, table.columns.len()), (2, 2));
    assert!(matches!(refused(&mut meta, add("t", column("B", "DATE"), false)), MetaError::ColumnExists { .. }));
    assert!(meta.apply(add("t", column("B", "DATE"), true)).is_ok());
    assert_eq!(meta.table("t"), Some(&table));
    assert!(matches!(refused(&mut meta, add("x", column("b", "DATE"), false)), MetaError::NoSuchTable { .. }));
    assert!(matches!(refused(&mut meta, add("t", column("_idx", "DATE"), false)), MetaError::Invalid { .. }));
    let strict = Column { nullable: false, ..column("c", "DATE") };
    assert!(matches!(refused(&mut meta, add("t", strict.clone(), false)), MetaError::Invalid { .. }));
    let filled = Column { default: Some("DATE '2026-01-01'".to_owned()), ..strict };
    assert!(meta.apply(add("t", filled, false)).is_ok());
}

fn any_command() -> impl Strategy<Value = MetaCommand> {
    let change = (prop::option::of((1..20_u64, 1..5_u128)), prop::option::of(1..20_u64), any::<bool>()).prop_map(
        |(add, remove, cancelled)| Change {
            add: add.map(|(id, number)| replica(id, number)),
            remove: remove.map(ReplicaId),
            cancelled,
        },
    );
    let voters = prop::collection::vec((1..20_u64, 1..5_u128).prop_map(|(id, number)| replica(id, number)), 0..3);
    prop_oneof![
        4 => catalog_command(),
        1 => (1..6_u128, any::<bool>())
            .prop_map(|(number, draining)| MetaCommand::DrainStore { store: store(number), draining }),
        1 => (1..6_u128).prop_map(|number| MetaCommand::RetireStore { store: store(number) }),
        1 => (1..6_u128, 0..50_u64)
            .prop_map(|(number, now)| MetaCommand::PermitRestart { store: store(number), now, until: now + 10 }),
        1 => (1..6_u128).prop_map(|number| MetaCommand::EndRestart { store: store(number) }),
        1 => (1..6_u128, prop::option::of("[ab]")).prop_map(|(number, node)| MetaCommand::LocateStore {
            store: store(number),
            location: Location { node, zone: None }
        }),
        1 => (0..3_u32, prop::option::of(1..6_u128), prop::option::of(1..8_u64))
            .prop_map(|(group, add, remove)| begin(group, add, remove)),
        1 => (0..3_u32).prop_map(|group| MetaCommand::CancelChange { group: GroupId(group) }),
        1 => (0..3_u32, change, voters)
            .prop_map(|(group, change, voters)| MetaCommand::EndChange { group: GroupId(group), change, voters }),
    ]
}

fn catalog_command() -> impl Strategy<Value = MetaCommand> {
    let name = prop::sample::select(vec!["t", "T", "u", ""]);
    let kind = prop::sample::select(vec!["INTEGER", "DOUBLE", "VARCHAR"]);
    prop_oneof![
        (8..10_u128).prop_map(bootstrap),
        (1..5_u128, "[ab]")
            .prop_map(|(number, address)| MetaCommand::RegisterStore { store: store(number), info: info(&address) }),
        (0..6_u32).prop_map(|number| MetaCommand::PartitionCreated { partition: PartitionId(number) }),
        (name.clone(), kind.clone(), any::<bool>()).prop_map(|(name, kind, quiet)| create(
            name,
            vec![column("a", kind)],
            quiet
        )),
        (name.clone(), any::<bool>()).prop_map(|(name, quiet)| drop_table(name, quiet)),
        (name, "[a-d]", kind, any::<bool>()).prop_map(|(name, new, kind, quiet)| add(name, column(&new, kind), quiet)),
    ]
}

proptest! {
    #[test]
    fn a_replay_from_any_prefix_and_every_command_twice_give_one_state(
        commands in prop::collection::vec(any_command(), 0..60), cut in any::<prop::sample::Index>()
    ) {
        let mut once = Meta::default();
        let mut twice = Meta::default();
        let cut = cut.index(commands.len() + 1);
        let mut snapshot = Meta::default();
        for (at, command) in commands.iter().enumerate() {
            let _ = once.apply(command.clone());
            let _ = twice.apply(command.clone());
            let _ = twice.apply(command.clone());
            if at + 1 == cut {
                snapshot = serde_json::from_str(&serde_json::to_string(&once).unwrap()).unwrap();
            }
        }
        for command in &commands[cut..] {
            let _ = snapshot.apply(command.clone());
        }
        prop_assert_eq!(&twice, &once);
        prop_assert_eq!(&snapshot, &once);
    }
}
