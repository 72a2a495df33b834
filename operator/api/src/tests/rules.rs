//! The definition's rules, evaluated as the API server does.

use kube_cel::Validator;
use serde_json::{Value, json};

use crate::definition;

/// The spec as the API server stores it: its defaults are filled in before the rules are asked.
fn cluster(spec: Value) -> Value {
    let mut spec = spec;
    let defaults = json!({"image": "raftduck:1", "partitions": 12, "replicationFactor": 3});
    for (key, value) in defaults.as_object().unwrap() {
        spec.as_object_mut().unwrap().entry(key).or_insert(value.clone());
    }
    json!({"metadata": {"name": "flights"}, "spec": spec})
}

fn workers(replicas: i32, storage: Value) -> Value {
    json!({"replicas": replicas, "storage": storage})
}

fn small() -> Value {
    cluster(json!({"workers": workers(3, json!({"size": "10Gi"}))}))
}

fn with(path: &str, value: Value) -> Value {
    let mut object = small();
    let (parent, key) = path.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
    object
}

/// What the rules say against `new`, coming from `old`.
fn refused(new: &Value, old: Option<&Value>) -> Vec<String> {
    let definition = definition();
    let schema = definition.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
    match Validator::new().validate(&serde_json::to_value(schema).unwrap(), new, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(|error| error.message.clone()).collect(),
    }
}

#[track_caller]
fn refused_for(new: &Value, old: Option<&Value>, parts: &[&str]) {
    let said = refused(new, old);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(parts.iter().all(|part| said[0].contains(part)), "{parts:?} not in {said:?}");
}

#[test]
fn the_least_cluster_is_taken_and_taken_again_unchanged() {
    assert_eq!(refused(&small(), None), Vec::<String>::new());
    assert_eq!(refused(&small(), Some(&small())), Vec::<String>::new());
}

#[test]
fn fewer_workers_than_copies_are_refused_with_both_numbers() {
    let scaled = with("/spec/workers/replicas", json!(2));
    refused_for(&scaled, Some(&small()), &["replicationFactor is 3", "workers.replicas is 2"]);
    assert_eq!(refused(&with("/spec/workers/replicas", json!(5)), Some(&small())), Vec::<String>::new());
}

#[test]
fn an_even_replication_factor_is_refused() {
    refused_for(&with("/spec/replicationFactor", json!(2)), None, &["1, 3 or 5", "not 2"]);
    assert_eq!(refused(&with("/spec/replicationFactor", json!(1)), None), Vec::<String>::new());
}

#[test]
fn partitions_and_replication_factor_are_for_ever() {
    refused_for(&with("/spec/partitions", json!(24)), Some(&small()), &["partitions", "12"]);
    refused_for(&with("/spec/replicationFactor", json!(1)), Some(&small()), &["replicationFactor", "3"]);
}

#[test]
fn storage_only_grows_in_whatever_unit() {
    for grown in ["10Gi", "20Gi", "1Ti", "11000000000"] {
        assert_eq!(refused(&with("/spec/workers/storage/size", json!(grown)), Some(&small())), Vec::<String>::new());
    }
    for shrunk in ["9Gi", "10G", "10000Mi"] {
        refused_for(
            &with("/spec/workers/storage/size", json!(shrunk)),
            Some(&small()),
            &["only grows", "10Gi", shrunk],
        );
    }
}

#[test]
fn a_size_that_is_none_is_refused() {
    for size in ["lots", "0", "10 Gi", "-1Gi"] {
        refused_for(&with("/spec/workers/storage/size", json!(size)), None, &["100Gi"]);
    }
}

#[test]
fn the_storage_class_stays() {
    let classed = with("/spec/workers/storage/className", json!("fast"));
    refused_for(&classed, Some(&small()), &["class cannot be changed"]);
    refused_for(&small(), Some(&classed), &["class cannot be changed"]);
    assert_eq!(refused(&classed, Some(&classed)), Vec::<String>::new());
}

#[test]
fn names_that_make_no_pod_names_are_refused() {
    let longest = "a".repeat(40);
    for name in ["a", "a-1", "flights", longest.as_str()] {
        assert_eq!(refused(&with("/metadata/name", json!(name)), None), Vec::<String>::new(), "{name}");
    }
    let too_long = "a".repeat(41);
    for name in ["1a", "-a", "a-", "a.b", too_long.as_str()] {
        refused_for(&with("/metadata/name", json!(name)), None, &["at most 40 characters"]);
    }
}

#[test]
fn bootstrap_is_one_of_four_and_two_are_reserved() {
    assert_eq!(refused(&with("/spec/bootstrap", json!({"new": {}})), None), Vec::<String>::new());
    refused_for(&with("/spec/bootstrap", json!({})), None, &["exactly one"]);
    refused_for(&with("/spec/bootstrap", json!({"restore": {}})), None, &["reserved"]);
    refused_for(&with("/spec/bootstrap", json!({"recover": {}})), None, &["reserved"]);
    let two = json!({"new": {}, "adopt": {"clusterUuid": "00000000-0000-0000-0000-000000000000"}});
    refused_for(&with("/spec/bootstrap", two), None, &["exactly one"]);
    refused_for(&with("/spec/tls", json!({})), None, &["tls is reserved"]);
}
