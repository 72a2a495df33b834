//! A cluster that begins again from what is left of it.

use super::*;

/// What makes store 2 all that is left of [`cluster`].
fn recovery(meta: &Meta) -> Recovery {
    let replica = |offset: u64| replica(meta.next_replica.0 + 100 + offset, 2);
    let partitions = (1..=4).map(|offset| RecoveredPartition { replica: replica(offset), empty: offset == 4 });
    Recovery {
        stores: [store(2)].into(),
        meta: replica(0),
        partitions: partitions.collect(),
        tables: Vec::new(),
        epoch: Epoch(1_000),
        catalog_version: 1_000,
        next_replica: ReplicaId(meta.next_replica.0 + 200),
        next_table: TableId(300),
    }
}

#[test]
fn what_is_left_serves_alone_and_what_is_lost_is_retired_and_no_number_comes_again() {
    let mut meta = cluster();
    for partition in 1..=4 {
        meta.apply(MetaCommand::PartitionCreated { partition: PartitionId(partition) }).unwrap();
    }
    meta.apply(create("t", vec![column("a", "INTEGER")], false)).unwrap();
    meta.apply(begin(1, Some(3), None)).unwrap();
    meta.apply(begin(0, None, Some(1))).unwrap();
    meta.apply(MetaCommand::DrainStore { store: store(2), draining: true }).unwrap();
    meta.apply(MetaCommand::PermitRestart { store: store(2), now: 0, until: 9 }).unwrap();
    let mut to = recovery(&meta);
    to.tables = vec![Table { id: TableId(200), name: "found".to_owned(), ..meta.table("t").unwrap().clone() }];
    let before = meta.clone();
    meta.apply(MetaCommand::Recover(to.clone())).unwrap();

    assert_eq!(meta.stores.keys().copied().collect::<Vec<_>>(), [store(2)]);
    assert_eq!(meta.retired, [store(1), store(3)].into());
    assert_eq!((meta.draining.len(), meta.restart, meta.change), (0, None, None));
    assert_eq!(meta.replicas, [to.meta]);
    for (partition, recovered) in meta.partitions.iter().zip(&to.partitions) {
        assert_eq!((partition.replicas.as_slice(), partition.change), ([recovered.replica].as_slice(), None));
        assert_eq!(partition.state == PartitionState::Creating, recovered.empty);
    }
    assert!(meta.table("found").is_some() && meta.table("t") == before.table("t"));
    // Every replica there ever was is removed, none that is now.
    for group in meta.groups() {
        assert!((1..before.next_replica.0).all(|id| meta.is_removed(group, ReplicaId(id))));
        assert!(!meta.is_removed(group, meta.replica_on(group, store(2)).unwrap().id));
    }
    // The second time changes nothing, not even after other changes.
    let MetaReply::Table { table } = meta.apply(create("u", vec![column("a", "INTEGER")], false)).unwrap() else {
        panic!("no table");
    };
    assert_eq!(table.id, TableId(300));
    let after = meta.clone();
    assert_eq!(meta.apply(MetaCommand::Recover(to)), Ok(MetaReply::Done));
    assert_eq!(meta, after);
}

#[test]
fn a_recovery_that_would_give_a_number_out_twice_or_contradicts_the_state_is_refused() {
    let changes: [fn(&mut Recovery, &Meta); 10] = [
        |to, _| to.partitions.truncate(3),
        |to, meta| to.meta.id.0 = meta.next_replica.0 - 1,
        |to, _| to.meta.id = to.partitions[0].replica.id,
        |to, _| to.next_replica = to.partitions[3].replica.id,
        |to, _| to.next_table = TableId(0),
        |to, _| to.tables = vec![Table { id: to.next_table, ..table() }],
        |to, _| to.catalog_version = 0,
        |to, _| to.meta.store = store(1),
        |to, _| to.partitions[2].replica.store = store(3),
        |to, meta| to.stores.extend(meta.retired.iter().copied()),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut meta = cluster();
        meta.apply(create("t", vec![column("a", "INTEGER")], false)).unwrap();
        meta.apply(MetaCommand::RegisterStore { store: store(4), info: info("s:1") }).unwrap();
        meta.apply(MetaCommand::RetireStore { store: store(4) }).unwrap();
        let mut to = recovery(&meta);
        change(&mut to, &meta);
        assert!(matches!(refused(&mut meta, MetaCommand::Recover(to)), MetaError::Invalid { .. }), "change {at}");
    }
    let to = recovery(&cluster());
    assert_eq!(refused(&mut Meta::default(), MetaCommand::Recover(to)), MetaError::NotBootstrapped);
}

fn table() -> Table {
    Table {
        id: TableId(1),
        name: "t".to_owned(),
        version: crate::ids::SchemaVersion(1),
        columns: vec![column("a", "INTEGER")],
        key: 0,
    }
}
