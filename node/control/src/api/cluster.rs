//! `GET /v1/cluster`: stores, partition map, leaders.

use axum::extract::State;
use axum::response::Response;
use raftduck_model::GroupId;
use raftduck_model::placement::depends_on;
use raftduck_wire::http::{ChangeStatus, ClusterAnswer, PartitionStatus, ReplicaStatus, StoreStatus};
use raftduck_wire::proto::store::Role;

use super::{App, json};
use crate::view::ClusterView;

pub(super) async fn cluster(State(app): State<App>) -> Response {
    json(&answer(&app.control.view()))
}

fn answer(view: &ClusterView) -> ClusterAnswer {
    let leads = |store| {
        let led = view.leaders.iter().filter(|(group, leader)| **group != GroupId::META && leader.store == store);
        led.count() as u32
    };
    let stores = view.meta.stores.iter().map(|(id, info)| StoreStatus {
        id: id.to_string(),
        address: info.address.clone(),
        connected: view.stores.get(id).is_some_and(|store| store.connected),
        leads: leads(*id),
        groups: depends_on(&view.meta, *id) as u32,
        draining: view.meta.draining.contains(id),
        level: info.level,
    });
    ClusterAnswer {
        cluster: view.meta.cluster.map(|cluster| cluster.to_string()),
        level: view.meta.level,
        epoch: view.meta.epoch.0,
        catalog_version: view.meta.catalog_version,
        stores: stores.collect(),
        meta: group(view, GroupId::META),
        partitions: view.meta.groups().skip(1).map(|id| group(view, id)).collect(),
    }
}

fn group(view: &ClusterView, id: GroupId) -> PartitionStatus {
    let leader = view.leader(id);
    let (voters, change) = view.meta.group(id).unwrap_or_default();
    let replicas = voters.iter().copied().chain(change.and_then(|change| change.add)).map(|replica| {
        let store = view.stores.get(&replica.store).filter(|store| store.connected);
        let said = store.and_then(|store| store.groups.get(&id));
        let role = match said.map(|said| said.role) {
            Some(Role::Leader) => "leader",
            Some(Role::Follower) => "follower",
            Some(Role::Candidate) => "candidate",
            Some(Role::Learner) => "learner",
            None => "unknown",
        };
        ReplicaStatus {
            id: replica.id.0,
            store: replica.store.to_string(),
            role: role.to_owned(),
            applied: said.map(|said| said.applied),
        }
    });
    PartitionStatus {
        id: id.0,
        term: leader.map_or(0, |leader| leader.term),
        leader: leader.map(|leader| leader.store.to_string()),
        replicas: replicas.collect(),
        change: change.map(|change| ChangeStatus {
            add: change.add.map(|replica| replica.store.to_string()),
            remove: voters.iter().find(|voter| Some(voter.id) == change.remove).map(|voter| voter.store.to_string()),
            cancelled: change.cancelled,
        }),
    }
}
