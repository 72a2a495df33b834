//! What must hold of every cluster's objects, whatever they look like otherwise.

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::*;

fn built(text: &str) -> Objects {
    let (cluster, around) = read(text);
    objects(&cluster, &around)
}

fn worker(objects: &Objects) -> PodSpec {
    objects.stateful_set.spec.clone().unwrap().template.spec.unwrap()
}

fn control(objects: &Objects) -> PodSpec {
    objects.deployment.spec.clone().unwrap().template.spec.unwrap()
}

fn values(objects: &Objects) -> Vec<Value> {
    let o = objects;
    let mut all = vec![
        serde_json::to_value(&o.workers_service),
        serde_json::to_value(&o.stateful_set),
        serde_json::to_value(&o.deployment),
        serde_json::to_value(&o.client_service),
    ];
    all.extend(o.ingress.iter().map(serde_json::to_value));
    all.extend(o.accounts.iter().map(serde_json::to_value));
    all.extend(o.budgets.iter().map(serde_json::to_value));
    all.extend(o.policies.iter().map(serde_json::to_value));
    all.extend(o.pod_monitor.iter().map(serde_json::to_value));
    all.into_iter().map(Result::unwrap).collect()
}

#[test]
fn everything_is_owned_and_labelled_but_the_identity_stays() {
    let objects = built(FULL);
    for value in values(&objects) {
        let metadata = &value["metadata"];
        assert_eq!(metadata["ownerReferences"][0]["controller"], true, "{metadata}");
        assert_eq!(metadata["namespace"], "team", "{metadata}");
        assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], "flights", "{metadata}");
        assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "raftduck-operator", "{metadata}");
    }
    assert_eq!(objects.identity.metadata.owner_references, None);
    assert_eq!(objects.identity.immutable, Some(true));
}

#[test]
fn the_uuid_is_on_the_claims_and_in_the_identity() {
    let objects = built(MINIMAL);
    let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
    let claim = &objects.stateful_set.spec.unwrap().volume_claim_templates.unwrap()[0];
    assert_eq!(claim.metadata.labels.as_ref().unwrap()[labels::CLUSTER_UUID], uuid);
    assert_eq!(objects.identity.data.unwrap()["cluster-uuid"], uuid);
}

#[test]
fn claims_are_kept_by_the_stateful_set_whatever_the_policy() {
    for text in [MINIMAL, FULL] {
        let spec = built(text).stateful_set.spec.unwrap();
        let policy = spec.persistent_volume_claim_retention_policy.unwrap();
        assert_eq!((policy.when_deleted.as_deref(), policy.when_scaled.as_deref()), (Some("Retain"), Some("Retain")));
    }
}

#[test]
fn pods_meet_the_restricted_standard() {
    for pod in [worker(&built(FULL)), control(&built(FULL))] {
        let context = pod.security_context.unwrap();
        assert_eq!(context.run_as_non_root, Some(true));
        assert_eq!(context.seccomp_profile.unwrap().type_, "RuntimeDefault");
        assert_eq!((pod.automount_service_account_token, pod.enable_service_links), (Some(false), Some(false)));
        assert_eq!((pod.host_network, pod.host_pid, pod.host_ipc), (None, None, None));
        for container in pod.containers {
            let context = container.security_context.unwrap();
            assert_eq!(context.allow_privilege_escalation, Some(false));
            assert_eq!(context.capabilities.unwrap().drop.unwrap(), ["ALL"]);
            assert_eq!(context.read_only_root_filesystem, Some(true));
        }
    }
}

#[test]
fn a_store_may_take_hours_to_recover() {
    let pod = worker(&built(MINIMAL));
    let container = &pod.containers[0];
    let start = container.startup_probe.clone().unwrap();
    assert!(start.failure_threshold.unwrap() * start.period_seconds.unwrap() >= 6 * 3600);
    // What restarts a store asks that store alone.
    for probe in [start, container.liveness_probe.clone().unwrap()] {
        assert_eq!(probe.http_get.unwrap().path.as_deref(), Some("/livez"));
    }
    assert_eq!(pod.termination_grace_period_seconds, Some(120));
}

#[test]
fn the_size_is_what_was_decided_and_moves_nothing_else() {
    let (cluster, around) = read(FULL);
    let before = objects(&cluster, &around);
    let after = objects(&cluster, &Surroundings { worker_pods: 4, ..around });
    let (mut before, after) = (before.stateful_set.spec.unwrap(), after.stateful_set.spec.unwrap());
    assert_eq!((before.replicas, after.replicas), (Some(5), Some(4)));
    before.replicas = after.replicas;
    assert_eq!(before, after);
}

#[test]
fn another_size_wanted_restarts_no_pod() {
    let three = built(FULL);
    let five = built(&FULL.replace("replicas: 5", "replicas: 7"));
    assert_eq!(worker(&three), worker(&five));
    assert_eq!(control(&three), control(&five));
}

#[test]
fn no_eviction_takes_a_worker_while_copies_are_missing() {
    let (cluster, around) = read(MINIMAL);
    let most = |evictions| {
        let built = objects(&cluster, &Surroundings { evictions, ..around.clone() });
        built.budgets.map(|budget| budget.spec.unwrap().max_unavailable.unwrap())
    };
    assert_eq!(most(Evictions::One), [IntOrString::Int(1), IntOrString::Int(1)]);
    assert_eq!(most(Evictions::None), [IntOrString::Int(0), IntOrString::Int(1)]);
}

#[test]
fn a_stopped_cluster_has_no_control() {
    let (mut cluster, around) = read(MINIMAL);
    cluster.desired_state = raftduck_operator_api::DesiredState::Stopped;
    assert_eq!(objects(&cluster, &around).deployment.spec.unwrap().replicas, Some(0));
}

#[test]
fn selectors_pick_what_the_templates_make() {
    let objects = built(FULL);
    let workers = objects.stateful_set.spec.unwrap();
    let control = objects.deployment.spec.unwrap();
    let of = |selector: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector| selector.match_labels.clone();
    for (selector, template) in [(of(&workers.selector), workers.template), (of(&control.selector), control.template)] {
        let labels = template.metadata.unwrap().labels.unwrap();
        assert!(selector.unwrap().iter().all(|(key, value)| labels.get(key) == Some(value)));
    }
}

/// A file of the repository; Cargo runs tests in their package's folder.
fn source(path: &str) -> String {
    std::fs::read_to_string(format!("../{path}")).unwrap()
}

#[test]
fn every_flag_is_one_that_the_processes_take() {
    // Depending on the processes' crate would compile DuckDB; clap makes a flag of each field here.
    let taken = source("node/src/cli/roles.rs") + &source("node/src/logs.rs");
    for pod in [worker(&built(FULL)), control(&built(FULL))] {
        let args = pod.containers[0].args.clone().unwrap();
        assert!(args.len() > 6 && ["worker", "control"].contains(&args[0].as_str()), "{args:?}");
        for arg in &args[1..] {
            let flag = arg.strip_prefix("--").and_then(|arg| arg.split_once('=')).unwrap().0;
            assert!(taken.contains(&format!("    pub {}: ", flag.replace('-', "_"))), "{arg}");
        }
    }
}

#[test]
fn pods_run_as_the_images_user() {
    let user = worker(&built(MINIMAL)).security_context.unwrap().run_as_user.unwrap();
    assert!(source("Dockerfile").contains(&format!("USER {user}\n")), "{user}");
}
