//! All objects of two clusters, byte by byte. `UPDATE_GOLDEN=1 cargo test -p raftduck-operator` writes them anew; what
//! changes in a pod template there needs another revision: `template::NEWEST`.

use serde::Serialize;

use super::*;

fn documents(objects: &Objects) -> String {
    let mut text = String::new();
    let o = objects;
    add(&mut text, &o.identity);
    o.accounts.iter().for_each(|account| add(&mut text, account));
    add(&mut text, &o.workers_service);
    add(&mut text, &o.stateful_set);
    add(&mut text, &o.deployment);
    add(&mut text, &o.client_service);
    o.ingress.iter().for_each(|ingress| add(&mut text, ingress));
    o.budgets.iter().for_each(|budget| add(&mut text, budget));
    o.policies.iter().for_each(|policy| add(&mut text, policy));
    o.pod_monitor.iter().for_each(|monitor| add(&mut text, monitor));
    text
}

fn add(text: &mut String, object: &impl Serialize) {
    // Through a value, whose maps are sorted: the order of a struct's fields is no promise of k8s-openapi.
    let value = serde_json::to_value(object).unwrap();
    text.push_str("---\n");
    text.push_str(&serde_yaml::to_string(&value).unwrap());
}

#[track_caller]
fn held_against(golden: &str, resource: &str, name: &str) {
    let (cluster, around) = read(resource);
    let built = documents(&objects(&cluster, &around));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = format!("{}/src/build/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, built).unwrap();
        return;
    }
    let line = built.lines().zip(golden.lines()).position(|(built, golden)| built != golden);
    assert_eq!(built, golden, "{name} differs, first in line {:?}", line.map(|line| line + 1));
}

#[test]
fn the_least_clusters_objects_are_these() {
    held_against(include_str!("../golden/minimal.objects.yaml"), MINIMAL, "minimal.objects.yaml");
}

#[test]
fn a_cluster_with_every_setting_has_these_objects() {
    held_against(include_str!("../golden/full.objects.yaml"), FULL, "full.objects.yaml");
}
