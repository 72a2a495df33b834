//! What the definition as a whole must and must not be.

use serde_json::Value;

use crate::{AnalyticsClusterSpec, ClaimPolicy, DesiredState, ReplaceLost, definition};

/// Calls `look` with every object in `value` and where it stands.
fn each(value: &Value, path: &str, look: &mut impl FnMut(&str, &serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            look(path, object);
            object.iter().for_each(|(key, value)| each(value, &format!("{path}/{key}"), look));
        }
        Value::Array(values) => values.iter().for_each(|value| each(value, path, look)),
        _ => {}
    }
}

fn schema() -> Value {
    serde_json::to_value(definition()).unwrap().pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone()
}

#[test]
fn the_definition_stays_below_200_kib() {
    let bytes = serde_json::to_string(&definition()).unwrap().len();
    assert!(bytes < 200 << 10, "{bytes}");
}

#[test]
fn no_field_is_unsigned_nullable_closed_or_a_phase() {
    each(&schema(), "", &mut |path, object| {
        let format = object.get("format").and_then(Value::as_str).unwrap_or_default();
        assert!(!format.starts_with("uint"), "{path}: {format}");
        assert!(!object.contains_key("nullable"), "{path}");
        assert_ne!(object.get("additionalProperties"), Some(&Value::Bool(false)), "{path}");
        assert!(!path.ends_with("/properties") || !object.contains_key("phase"), "{path}");
    });
}

#[test]
fn every_field_of_the_spec_is_explained() {
    let spec = schema().pointer("/properties/spec").unwrap().clone();
    each(&spec, "", &mut |path, object| {
        let within = path.rsplit_once('/').is_some_and(|(parent, _)| parent.ends_with("/properties"));
        // Kubernetes explains its own tolerations.
        if within && !path.contains("/tolerations/") {
            assert!(object.contains_key("description"), "{path}");
        }
    });
}

#[test]
fn members_and_conditions_are_lists_by_key() {
    for (list, key) in [("members", "name"), ("conditions", "type")] {
        let found = schema().pointer(&format!("/properties/status/properties/{list}")).unwrap().clone();
        assert_eq!(found["x-kubernetes-list-type"], "map", "{list}");
        assert_eq!(found["x-kubernetes-list-map-keys"][0], key, "{list}");
    }
}

#[test]
fn a_table_of_clusters_shows_what_matters() {
    let columns = definition().spec.versions[0].additional_printer_columns.clone().unwrap();
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["Ready", "Desired", "Partitions", "Under-replicated", "Version", "Endpoint", "Age"]);
    // A column shows nothing where its path leads nowhere.
    for column in columns.iter().filter(|column| !column.json_path.starts_with(".metadata")) {
        let pointer = column.json_path.replace('.', "/properties/");
        assert!(schema().pointer(&pointer).is_some(), "{}", column.json_path);
    }
}

#[test]
fn the_least_spec_gets_the_defaults() {
    let text = r#"{"image": "raftduck:0.1.0", "workers": {"storage": {"size": "10Gi"}}}"#;
    let spec: AnalyticsClusterSpec = serde_json::from_str(text).unwrap();
    assert_eq!((spec.workers.replicas, spec.control.replicas), (3, 2));
    assert_eq!((spec.partitions, spec.replication_factor), (12, 3));
    assert_eq!((spec.desired_state, spec.paused), (DesiredState::Running, false));
    let storage = &spec.workers.storage;
    assert_eq!((storage.when_deleted, storage.when_scaled), (ClaimPolicy::Retain, ClaimPolicy::Retain));
    assert_eq!(storage.replace_lost, ReplaceLost::Never);
}

/// The API server refuses a misspelt field where the client asks it to, as kubectl does; an operator that refused one
/// of a later release could read no resource at all.
#[test]
fn a_field_of_a_later_release_is_passed_over() {
    let text =
        r#"{"image": "raftduck:0.1.0", "workers": {"storage": {"size": "10Gi", "new": 1}, "new": {}}, "new": []}"#;
    let spec: AnalyticsClusterSpec = serde_json::from_str(text).unwrap();
    assert_eq!(spec.workers.storage.size, "10Gi");
}

#[test]
fn whole_numbers_are_quantities_too() {
    let text = r#"{"image": "i", "workers": {"storage": {"size": "1Gi"}, "resources": {"limits": {"cpu": 2}}}}"#;
    let spec: AnalyticsClusterSpec = serde_json::from_str(text).unwrap();
    assert_eq!(spec.workers.resources.limits["cpu"].0, "2");
}
