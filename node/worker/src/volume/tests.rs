#![allow(clippy::unwrap_used)]

use raftduck_model::meta::LEVEL;

use super::*;

fn membership(cluster: u128) -> Membership {
    Membership { cluster: ClusterId(Uuid::from_u128(cluster)), level: LEVEL, meta: vec![], seeds: vec![] }
}

#[test]
fn a_store_keeps_its_identity() {
    let folder = tempfile::tempdir().unwrap();
    let first = Volume::open(folder.path(), LEVEL).unwrap().store();
    assert_eq!(Volume::open(folder.path(), LEVEL).unwrap().store(), first);
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _held = Volume::open(folder.path(), LEVEL).unwrap();
    assert!(matches!(Volume::open(folder.path(), LEVEL), Err(VolumeError::InUse { .. })));
}

#[test]
fn a_volume_joins_one_cluster_only() {
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::open(folder.path(), LEVEL).unwrap();
    assert_eq!(volume.membership().unwrap(), None);
    volume.join(&membership(1)).unwrap();
    assert_eq!(volume.join(&membership(1)).unwrap(), membership(1));
    assert!(matches!(volume.join(&membership(2)), Err(VolumeError::OtherCluster { .. })));
}

#[test]
fn what_is_set_aside_is_kept_and_the_store_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut volume = Volume::open(folder.path(), LEVEL).unwrap();
    let old = volume.store();
    volume.join(&membership(1)).unwrap();
    fs::write(volume.subfolder("rows").unwrap().join("file"), b"rows").unwrap();
    let aside = volume.set_aside().unwrap();
    assert!(aside.ends_with(format!("retired-{old}")));
    assert_eq!(fs::read(aside.join("rows/file")).unwrap(), b"rows");
    assert_ne!(volume.store(), old);
    assert_eq!((volume.membership().unwrap(), volume.records().replicas().unwrap()), (None, None));
    drop(volume);
    assert_ne!(Volume::open(folder.path(), LEVEL).unwrap().store(), old);
}

/// What is on volumes: these texts are read for ever.
#[test]
fn the_records_have_this_text() {
    let folder = tempfile::tempdir().unwrap();
    let text = |name: &str| -> String {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        text.split_whitespace().collect()
    };
    let mut volume = Volume::open(folder.path(), LEVEL).unwrap();
    volume.store = StoreId(Uuid::from_u128(5));
    write(folder.path(), STORE_FILE, StoreRecord { store: volume.store }).unwrap();
    assert_eq!(text(STORE_FILE), r#"{"format":1,"store":"00000000-0000-0000-0000-000000000005"}"#);
    let full = Membership {
        meta: vec![Replica { id: ReplicaId(3), store: volume.store }],
        seeds: vec![(volume.store, "a:1".to_owned())],
        ..membership(7)
    };
    volume.join(&full).unwrap();
    assert_eq!(
        text(CLUSTER_FILE),
        r#"{"format":1,"cluster":"00000000-0000-0000-0000-000000000007","level":1,"meta":[{"id":3,"store":"00000000-0000-0000-0000-000000000005"}],"seeds":[["00000000-0000-0000-0000-000000000005","a:1"]]}"#
    );
    assert_eq!(volume.membership().unwrap(), Some(full));
    let replicas = Replicas { replicas: [(GroupId(0), ReplicaId(3)), (GroupId(7), ReplicaId(40))].into() };
    volume.records().set_replicas(&replicas).unwrap();
    assert_eq!(text(REPLICAS_FILE), r#"{"format":1,"replicas":[[0,3],[7,40]]}"#);
    assert_eq!(volume.records().replicas().unwrap(), Some(replicas));
}

#[test]
fn a_newer_level_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let newer = Membership { level: LEVEL + 1, ..membership(1) };
    let volume = Volume::open(folder.path(), LEVEL).unwrap();
    assert!(matches!(volume.join(&newer), Err(VolumeError::TooNew { .. })));
    drop(volume);
    Volume::open(folder.path(), LEVEL + 1).unwrap().join(&newer).unwrap();
    let volume = Volume::open(folder.path(), LEVEL).unwrap();
    assert!(matches!(volume.membership(), Err(VolumeError::TooNew { .. })));
}

#[test]
fn a_damaged_record_is_named_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    drop(Volume::open(folder.path(), LEVEL).unwrap());
    let path = folder.path().join(STORE_FILE);
    fs::write(&path, b"{").unwrap();
    assert!(matches!(Volume::open(folder.path(), LEVEL), Err(VolumeError::Damaged { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"{");
}
