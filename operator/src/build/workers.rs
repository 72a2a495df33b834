//! The processes that hold the rows.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSpec,
    Service, ServiceSpec, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Builder;
use super::labels::Component;
use super::pod::{self, Patience, STORE, STORE_PORT};
use crate::names::DATA_VOLUME;

/// Where the volume is mounted, and the store's folder on it: a volume's own top folder holds `lost+found`.
const MOUNT: &str = "/var/lib/raftduck";
const FOLDER: &str = "/var/lib/raftduck/store";
/// For handing leaders over and closing the volume in order.
const TERMINATION_S: i64 = 120;
/// A day: whatever a store does before it answers, such as opening a large volume, is no reason to end it.
const START: Patience = Patience { every: 1, timeout: 5, failures: 86_400 };
/// Five minutes without any answer. It is asked locally only, so no other store's trouble ends this one.
const LIVE: Patience = Patience { every: 10, timeout: 5, failures: 30 };
const READY: Patience = Patience { every: 2, timeout: 2, failures: 3 };

/// Gives each worker a name, ready or not: a store is found by the others before it is ready, or it never would be.
pub fn service(to: &Builder) -> Service {
    Service {
        metadata: to.owned(to.cluster.name.workers_service(), Some(Component::Worker)),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(super::labels::selector(&to.cluster.name, Some(Component::Worker))),
            ports: Some(vec![pod::service_port(STORE, STORE_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// All at once, and replaced only by whoever deletes a pod: the operator, under a restart permit. Kubernetes' own
/// ordered roll-out would wait for ever at a worker that is not ready.
pub fn stateful_set(to: &Builder) -> StatefulSet {
    let keep = || Some("Retain".to_owned());
    StatefulSet {
        metadata: to.owned(to.cluster.name.stateful_set(), Some(Component::Worker)),
        spec: Some(StatefulSetSpec {
            service_name: Some(to.cluster.name.workers_service().into()),
            replicas: Some(i32::from(to.around.worker_pods)),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            // Whatever the policy: the operator deletes a claim itself, once its store is retired.
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: keep(),
                when_scaled: keep(),
            }),
            selector: to.pods(Some(Component::Worker)),
            template: to.template(Component::Worker, pod_spec(to)),
            volume_claim_templates: Some(vec![claim(to)]),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn claim(to: &Builder) -> PersistentVolumeClaim {
    let storage = &to.cluster.workers.storage;
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(DATA_VOLUME.to_owned()),
            labels: Some(to.labels_with_uuid(Some(Component::Worker))),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(storage.size_text.clone()))])),
                limits: None,
            }),
            storage_class_name: storage.class.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

fn pod_spec(to: &Builder) -> PodSpec {
    let workers = &to.cluster.workers;
    let (scratch, scratch_mount) = pod::scratch();
    PodSpec {
        service_account_name: Some(to.cluster.name.workers_account().into()),
        termination_grace_period_seconds: Some(TERMINATION_S),
        priority_class_name: workers.priority_class.clone(),
        containers: vec![Container {
            name: Component::Worker.text().to_owned(),
            image: Some(to.cluster.image.name.clone()),
            image_pull_policy: to.pull_policy(),
            args: Some(args(to)),
            env: Some(vec![pod_name()]),
            ports: Some(vec![pod::port(STORE, STORE_PORT)]),
            resources: Some(workers.resources.clone()),
            startup_probe: Some(pod::probe("/livez", STORE, START)),
            liveness_probe: Some(pod::probe("/livez", STORE, LIVE)),
            readiness_probe: Some(pod::probe("/readyz", STORE, READY)),
            security_context: Some(pod::confined()),
            volume_mounts: Some(vec![
                VolumeMount { name: DATA_VOLUME.to_owned(), mount_path: MOUNT.to_owned(), ..VolumeMount::default() },
                pod::credential_mount(),
                scratch_mount,
            ]),
            ..Container::default()
        }],
        volumes: Some(vec![to.credential_volume(), scratch]),
        ..to.pod(Component::Worker, &workers.placement)
    }
}

/// What `raftduck worker` takes.
fn args(to: &Builder) -> Vec<String> {
    let workers = &to.cluster.workers;
    let mut args = vec![
        Component::Worker.text().to_owned(),
        format!("--data={FOLDER}"),
        format!("--listen=0.0.0.0:{STORE_PORT}"),
        format!("--advertise={}", to.cluster.store_address("$(POD_NAME)")),
        format!("--join={}", to.seeds()),
        pod::credential_flag(),
        "--log-format=json".to_owned(),
    ];
    args.extend(workers.memory.map(|bytes| format!("--memory={bytes}")));
    args.extend(workers.threads.map(|threads| format!("--threads={threads}")));
    args.extend(workers.spill.map(|bytes| format!("--spill={bytes}")));
    args.extend(workers.log_size.map(|bytes| format!("--log-size={bytes}")));
    args.extend(workers.replace_after.as_ref().map(|time| format!("--replace-after={time}")));
    args
}

fn pod_name() -> EnvVar {
    let field_ref = ObjectFieldSelector { field_path: "metadata.name".to_owned(), api_version: None };
    EnvVar {
        name: "POD_NAME".to_owned(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() }),
    }
}
