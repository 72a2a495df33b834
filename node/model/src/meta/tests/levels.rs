#![allow(clippy::unwrap_used)]

use super::*;

fn of_level(level: u32) -> StoreInfo {
    StoreInfo { level, ..info("a:1") }
}

fn register(meta: &mut Meta, number: u128, level: u32) -> Result<MetaReply, MetaError> {
    meta.apply(MetaCommand::RegisterStore { store: store(number), info: of_level(level) })
}

#[test]
fn a_level_is_raised_once_every_store_knows_it() {
    let mut meta = cluster();
    let first = meta.level;
    let raise = |meta: &mut Meta| meta.apply(MetaCommand::RaiseLevel { to: first + 1 });
    for number in 1..=3 {
        assert_eq!(meta.next_level(), None);
        let left = (number..=3).map(store).collect();
        assert_eq!(raise(&mut meta), Err(MetaError::StoresBehind { level: first + 1, stores: left }));
        register(&mut meta, number, first + 1).unwrap();
    }
    assert_eq!(meta.next_level(), Some(first + 1));
    let epoch = meta.epoch;
    raise(&mut meta).unwrap();
    assert_eq!((meta.level, meta.next_level()), (first + 1, None));
    assert!(meta.epoch > epoch, "nobody would hear of it");
    let raised = meta.clone();
    raise(&mut meta).unwrap();
    assert_eq!(meta, raised, "a second time changes nothing");
}

#[test]
fn until_then_a_release_can_be_taken_back_and_afterwards_not() {
    let mut meta = cluster();
    let first = meta.level;
    for level in [first + 1, first, first + 1] {
        for number in 1..=3 {
            register(&mut meta, number, level).unwrap();
        }
    }
    meta.apply(MetaCommand::RaiseLevel { to: first + 1 }).unwrap();
    let refused = Err(MetaError::WrongLevel { level: first, cluster: first + 1 });
    assert_eq!(register(&mut meta, 1, first), refused);
    assert_eq!(register(&mut meta, 4, first), refused, "nor does an old release join");
    register(&mut meta, 4, first + 1).unwrap();
}

#[test]
fn no_level_is_left_out() {
    let mut meta = cluster();
    let first = meta.level;
    assert!(matches!(register(&mut meta, 1, first + 2), Err(MetaError::WrongLevel { .. })));
    assert!(matches!(meta.apply(MetaCommand::RaiseLevel { to: first + 2 }), Err(MetaError::Invalid { .. })));
}

/// A replay by a later release comes to the level that the first one saw.
#[test]
fn a_new_cluster_is_of_its_oldest_release() {
    let bootstrap = |levels: [u32; 2]| {
        let stores = levels.iter().zip(1..).map(|(level, number)| (store(number), of_level(*level))).collect();
        let mut meta = Meta::default();
        meta.apply(MetaCommand::Bootstrap {
            cluster: ClusterId(Uuid::from_u128(9)),
            stores,
            replicas: vec![Replica { id: ReplicaId(1), store: store(1) }],
            partitions: 1,
            replication: 1,
        })
        .map(|_| meta.level)
    };
    assert_eq!(bootstrap([7, 7]), Ok(7));
    assert_eq!(bootstrap([8, 7]), Ok(7));
    assert!(matches!(bootstrap([9, 7]), Err(MetaError::BadBootstrap { .. })));
}
