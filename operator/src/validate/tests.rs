#![allow(clippy::unwrap_used)]
use raftduck_operator_api::AnalyticsClusterSpec;
use serde_json::{Value, json};

use super::*;

/// The least resource with some of its spec replaced.
fn read(change: Value) -> Result<Cluster, Invalid> {
    let mut spec = json!({"image": "raftduck:1", "workers": {"storage": {"size": "10Gi"}}});
    json_patch::merge(&mut spec, &change);
    let spec: AnalyticsClusterSpec = serde_json::from_value(spec).unwrap();
    let mut resource = AnalyticsCluster::new("flights", spec);
    resource.metadata.namespace = Some("team".into());
    Cluster::read(&resource)
}

#[track_caller]
fn refused_for(change: Value, parts: &[&str]) {
    let error = read(change).unwrap_err().to_string();
    assert!(parts.iter().all(|part| error.contains(part)), "{parts:?} not in {error:?}");
}

#[test]
fn the_least_resource_is_a_cluster_of_three() {
    let cluster = read(json!({})).unwrap();
    assert_eq!((cluster.workers.replicas, cluster.partitions, cluster.replication_factor), (3, 12, 3));
    assert_eq!(cluster.workers.storage.size.get(), 10 << 30);
    assert_eq!(cluster.origin, Origin::WhatIsThere);
    assert_eq!(cluster.token_secret(), (cluster.name.tokens(), "tokens"));
}

#[test]
fn numbers_out_of_bounds_are_refused_with_the_bounds() {
    refused_for(json!({"workers": {"replicas": 65}}), &["spec.workers.replicas", "65", "1 to 64"]);
    refused_for(json!({"control": {"replicas": 0}}), &["spec.control.replicas", "0", "1 to 64"]);
    refused_for(json!({"partitions": 4097}), &["spec.partitions", "4097", "4096"]);
    refused_for(json!({"workers": {"settings": {"threads": -1}}}), &["threads", "-1"]);
}

#[test]
fn copies_need_workers() {
    refused_for(json!({"replicationFactor": 2}), &["spec.replicationFactor is 2", "1, 3 or 5"]);
    refused_for(json!({"workers": {"replicas": 2}}), &["spec.replicationFactor is 3", "spec.workers.replicas is 2"]);
    assert_eq!(read(json!({"replicationFactor": 1, "workers": {"replicas": 1}})).unwrap().replication_factor, 1);
}

#[test]
fn amounts_and_texts_of_the_wrong_form_say_where_and_what_instead() {
    refused_for(json!({"workers": {"storage": {"size": "10GB"}}}), &["spec.workers.storage.size", "100Gi"]);
    refused_for(json!({"workers": {"settings": {"spill": "much"}}}), &["spec.workers.settings.spill", "much"]);
    refused_for(json!({"workers": {"settings": {"replaceAfter": "10"}}}), &["replaceAfter", "10m"]);
    refused_for(json!({"image": "a b"}), &["spec.image", "raftduck:0.1.0"]);
    refused_for(json!({"control": {"ingress": {"host": "Rows"}}}), &["spec.control.ingress.host", "rows.example.com"]);
    refused_for(json!({"auth": {"tokenSecret": {"name": "T"}}}), &["spec.auth.tokenSecret.name", "lower-case"]);
    refused_for(json!({"auth": {"tokenSecret": {"name": "t", "key": "a/b"}}}), &["tokenSecret.key"]);
    refused_for(json!({"monitoring": {"scraperNamespace": "A"}}), &["scraperNamespace"]);
}

#[test]
fn what_is_reserved_is_refused() {
    refused_for(json!({"tls": {}}), &["spec.tls", "leave it out"]);
    refused_for(json!({"bootstrap": {"restore": {}}}), &["spec.bootstrap.restore"]);
    refused_for(json!({"bootstrap": {"recover": {}}}), &["spec.bootstrap.recover"]);
}

#[test]
fn a_cluster_begins_in_one_way() {
    let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
    let adopt = json!({"adopt": {"clusterUuid": uuid}});
    assert_eq!(read(json!({"bootstrap": adopt})).unwrap().origin, Origin::Adopt(uuid.parse().unwrap()));
    assert_eq!(read(json!({"bootstrap": {"new": {}}})).unwrap().origin, Origin::New);
    refused_for(json!({"bootstrap": {}}), &["names 0 ways"]);
    refused_for(json!({"bootstrap": {"new": {}, "adopt": {"clusterUuid": uuid}}}), &["names 2 ways"]);
    refused_for(json!({"bootstrap": {"adopt": {"clusterUuid": "mine"}}}), &["clusterUuid", "mine"]);
}

#[test]
fn duckdb_gets_what_is_set_or_a_quarter_of_the_limit() {
    let limit = json!({"workers": {"resources": {"limits": {"memory": "4Gi"}}}});
    assert_eq!(read(limit.clone()).unwrap().workers.memory.unwrap().get(), 1 << 30);
    let mut both = limit;
    json_patch::merge(&mut both, &json!({"workers": {"settings": {"memory": "3Gi"}}}));
    assert_eq!(read(both).unwrap().workers.memory.unwrap().get(), 3 << 30);
    assert_eq!(read(json!({})).unwrap().workers.memory, None);
}

#[test]
fn a_resource_without_a_namespace_was_never_stored() {
    let spec = json!({"image": "raftduck:1", "workers": {"storage": {"size": "10Gi"}}});
    let resource = AnalyticsCluster::new("flights", serde_json::from_value(spec).unwrap());
    assert_eq!(Cluster::read(&resource).unwrap_err(), Invalid::NotStored("namespace"));
}
