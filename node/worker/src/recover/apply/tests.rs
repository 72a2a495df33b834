#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use bytes::Bytes;
use raftduck_consensus::machine::AppliedState;
use raftduck_consensus::recover::read;
use raftduck_model::meta::{LEVEL, MetaCommand, RecoveredPartition, Recovery, StoreInfo};
use raftduck_model::{Epoch, LogId, PartitionId, ReplicaId, StoreId, TableId};
use uuid::Uuid;

use super::*;
use crate::recover::plan::GroupPlan;
use crate::recover::{Recovering, plan};
use crate::volume::Replicas;

fn other(number: u128) -> StoreId {
    StoreId(Uuid::from_u128(number))
}

const CLUSTER: ClusterId = ClusterId(Uuid::from_u128(9));

/// A volume as the first of a cluster's three stores leaves it, with one partition that has no rows yet.
fn left(folder: &Path) -> Volume {
    let identity = r#"{"format":1,"store":"00000000-0000-0000-0000-000000000001"}"#;
    fs::write(folder.join("store.json"), identity).unwrap();
    let volume = Volume::open(folder, LEVEL).unwrap();
    let stores = [volume.store(), other(2), other(3)];
    let meta: Vec<Replica> =
        stores.iter().zip(1..).map(|(store, id)| Replica { id: ReplicaId(id), store: *store }).collect();
    let seeds: Vec<_> = stores.iter().map(|store| (*store, format!("{store}:1"))).collect();
    volume.join(&Membership { cluster: CLUSTER, level: LEVEL, meta: meta.clone(), seeds: seeds.clone() }).unwrap();
    let groups = [(GroupId::META, ReplicaId(1)), (GroupId(1), ReplicaId(4))];
    volume.records().set_replicas(&Replicas { replicas: groups.into() }).unwrap();
    let bootstrap = MetaCommand::Bootstrap {
        cluster: CLUSTER,
        stores: seeds.into_iter().map(|(store, address)| (store, StoreInfo::at(address))).collect(),
        replicas: meta.clone(),
        partitions: 1,
        replication: 3,
    };
    let created = MetaCommand::PartitionCreated { partition: PartitionId(1) };
    let commands: Vec<Bytes> = [bootstrap, created].iter().map(|command| encode_command(command).unwrap()).collect();
    let wal = open_log(&volume).unwrap();
    // A lone voter's log is as good as any: only its length matters here.
    begin_again(&wal.group(GroupId::META), None, meta[0], 3, &commands).unwrap();
    begin_again(&wal.group(GroupId(1)), None, Replica { id: ReplicaId(4), store: volume.store() }, 3, &[]).unwrap();
    // Whose membership is of three all the same.
    wal.close();
    volume
}

/// The plan for that volume as the only one that is left.
fn planned(volume: &Volume) -> Plan {
    let replica = |id| Replica { id: ReplicaId(id), store: volume.store() };
    let group = |group, id, index| GroupPlan {
        group: GroupId(group),
        replica: replica(id),
        term: 1_000,
        last: Some(LogId { term: 3, leader: ReplicaId(if group == 0 { 1 } else { 4 }), index }),
        committed: None,
        lost_quorum: true,
        voted: true,
        logs: vec![],
    };
    Plan {
        id: "0123456789abcdef".to_owned(),
        cluster: CLUSTER,
        level: LEVEL,
        recovery: Recovery {
            stores: [volume.store()].into(),
            meta: replica(100),
            partitions: vec![RecoveredPartition { replica: replica(101), empty: false }],
            tables: vec![],
            epoch: Epoch(1_000),
            catalog_version: 1_000,
            next_replica: ReplicaId(200),
            next_table: TableId(200),
        },
        groups: vec![group(0, 100, 2), group(1, 101, 0)],
        given_up: vec![(other(2), "b:1".to_owned()), (other(3), "c:1".to_owned())],
        seeds: vec![(volume.store(), "a:1".to_owned())],
    }
}

/// Everything on the volume that a worker goes by.
fn content(volume: &Volume) -> (Vec<String>, Vec<raftduck_consensus::recover::Standing>) {
    let records = ["store.json", "cluster.json", "replicas.json", "meta/meta.json", "recovered-0123456789abcdef.json"];
    let folder = volume.subfolder(".").unwrap();
    let texts = records.map(|name| fs::read_to_string(folder.join(name)).unwrap());
    let wal = open_log(volume).unwrap();
    let standings = wal.groups().into_iter().map(|group| {
        let applied = AppliedState::default();
        read(&wal.group(group), &applied, |_| Ok(())).unwrap()
    });
    let standings = standings.collect();
    wal.close();
    (texts.to_vec(), standings)
}

#[test]
fn killed_after_any_step_no_worker_opens_it_and_done_again_it_is_as_if_never_killed() {
    let whole = {
        let folder = tempfile::tempdir().unwrap();
        let volume = left(folder.path());
        apply(&volume, &planned(&volume)).unwrap();
        content(&volume)
    };
    for killed in 0..=STEPS.len() {
        for half in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let volume = left(folder.path());
            let plan = planned(&volume);
            let wal = open_log(&volume).unwrap();
            for step in &STEPS[..killed] {
                take(*step, &volume, &wal, &plan).unwrap();
            }
            if half && STEPS.get(killed) == Some(&Step::Logs) {
                begin_again(&wal.group(GroupId(1)), plan.groups[1].last, plan.groups[1].replica, 1_000, &[]).unwrap();
            }
            wal.close();
            drop((wal, volume));
            let opened = Volume::open(folder.path(), LEVEL);
            let refused = matches!(opened, Err(VolumeError::HalfRecovered { .. }));
            assert_eq!(refused, (1..STEPS.len()).contains(&killed), "killed after {killed} steps");
            drop(opened);
            if killed < STEPS.len() {
                let recovering = Recovering::open(folder.path(), LEVEL).unwrap();
                assert_eq!(recovering.begun().unwrap(), refused.then(|| plan.clone()));
                recovering.apply(&plan).unwrap();
            }
            let volume = Volume::open(folder.path(), LEVEL).unwrap();
            let content = content(&volume);
            assert_eq!(content, whole, "killed after {killed} steps");
            for (standing, group) in content.1.iter().zip(&plan.groups) {
                assert_eq!(standing.voters, [vec![group.replica]]);
            }
        }
    }
}

#[test]
fn what_a_volume_holds_makes_the_plan_that_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let volume = left(folder.path());
    drop(volume);
    let recovering = Recovering::open(folder.path(), LEVEL).unwrap();
    let report = recovering.survey().unwrap();
    assert_eq!(recovering.survey().unwrap(), report, "looking changes nothing");
    // The membership in this log is of one voter, so nothing was lost.
    assert_eq!(plan(std::slice::from_ref(&report)), Err(crate::recover::PlanError::NothingLost));
    let mut three = report;
    for replica in &mut three.replicas {
        replica.voters[0]
            .extend([Replica { id: ReplicaId(70), store: other(2) }, Replica { id: ReplicaId(71), store: other(3) }]);
    }
    let made = plan(&[three]).unwrap();
    recovering.apply(&made).unwrap();
    let after = recovering.survey().unwrap();
    let meta = after.meta.unwrap();
    assert_eq!((meta.replicas, meta.retired), (vec![made.recovery.meta], [other(2), other(3)].into()));
    for (replica, group) in after.replicas.iter().zip(&made.groups) {
        assert_eq!((replica.replica, replica.term), (group.replica.id, group.term));
    }
}

#[test]
fn a_copy_of_the_cluster_state_that_is_not_taken_goes_and_its_replica_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let volume = left(folder.path());
    let mut plan = planned(&volume);
    let elsewhere = |group: &mut Replica| group.store = other(2);
    plan.recovery.stores.insert(other(2));
    elsewhere(&mut plan.recovery.meta);
    plan.groups.iter_mut().for_each(|group| elsewhere(&mut group.replica));
    apply(&volume, &plan).unwrap();
    let wal = open_log(&volume).unwrap();
    assert!(wal.group(GroupId::META).state().is_empty());
    assert!(!folder.path().join(META_FOLDER).exists());
    // The partition's stays until the map is known, which names it no more.
    let replicas = volume.records().replicas().unwrap().unwrap().replicas;
    assert_eq!(replicas.into_iter().collect::<Vec<_>>(), [(GroupId(1), ReplicaId(4))]);
}

#[test]
fn a_plan_for_others_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let volume = left(folder.path());
    let plan = planned(&volume);
    let foreign = Plan { cluster: ClusterId(Uuid::from_u128(8)), ..plan.clone() };
    assert!(matches!(apply(&volume, &foreign), Err(ApplyError::OtherCluster(_))));
    let mut without = plan.clone();
    without.recovery.stores = [other(2)].into();
    assert!(matches!(apply(&volume, &without), Err(ApplyError::NotKept)));
    assert_eq!(volume.records().recovery().unwrap(), None);
    volume.records().begin_recovery(&plan).unwrap();
    let another = Plan { id: "another".to_owned(), ..plan.clone() };
    assert!(matches!(apply(&volume, &another), Err(ApplyError::Other(id)) if id == plan.id));
    let survey = Recovering { volume }.survey();
    assert!(matches!(survey, Err(crate::recover::SurveyError::Begun(_))), "{survey:?}");
}

#[test]
fn a_folder_without_a_store_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Volume::open_to_recover(folder.path(), LEVEL), Err(VolumeError::NoStore { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let held = left(folder.path());
    assert!(matches!(Volume::open_to_recover(folder.path(), LEVEL), Err(VolumeError::InUse { .. })));
    drop(held);
    assert!(Volume::open_to_recover(folder.path(), LEVEL).is_ok());
}

/// What is on volumes: this text is read for ever.
#[test]
fn a_plan_has_this_text_on_a_volume() {
    let folder = tempfile::tempdir().unwrap();
    let volume = left(folder.path());
    let plan = planned(&volume);
    volume.records().begin_recovery(&plan).unwrap();
    let text = fs::read_to_string(folder.path().join("recovery.json")).unwrap();
    let dense: String = text.split_whitespace().collect();
    assert_eq!(
        dense.replace("00000000-0000-0000-0000-00000000000", ""),
        r#"{"format":1,"id":"0123456789abcdef","cluster":"9","level":1,"recovery":{"stores":["1"],"meta":{"id":100,"store":"1"},"partitions":[{"replica":{"id":101,"store":"1"}}],"epoch":1000,"catalog_version":1000,"next_replica":200,"next_table":200},"groups":[{"group":0,"replica":{"id":100,"store":"1"},"term":1000,"last":{"term":3,"leader":1,"index":2},"committed":null,"lost_quorum":true,"voted":true,"logs":[]},{"group":1,"replica":{"id":101,"store":"1"},"term":1000,"last":{"term":3,"leader":4,"index":0},"committed":null,"lost_quorum":true,"voted":true,"logs":[]}],"given_up":[["2","b:1"],["3","c:1"]],"seeds":[["1","a:1"]]}"#
    );
    assert_eq!(volume.records().recovery().unwrap(), Some(plan));
}
