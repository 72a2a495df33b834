//! What the pods of both roles share.

use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ContainerPort, EmptyDirVolumeSource, HTTPGetAction, KeyToPath, LocalObjectReference,
    PodAffinityTerm, PodAntiAffinity, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile,
    SecretVolumeSource, SecurityContext, ServicePort, Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use raftduck_operator_api::{PullPolicy, Spread};

use super::Builder;
use super::labels::{Component, NODE, TEMPLATE, ZONE};
use crate::names::SecretName;
use crate::validate::Placement;

/// Where a worker listens for stores, control, the operator and scrapers.
pub const STORE_PORT: u16 = 8081;
/// That port's name.
pub const STORE: &str = "store";
/// Where control listens for clients.
pub const HTTP_PORT: u16 = 8080;
/// That port's name.
pub const HTTP: &str = "http";
/// Where control serves its metrics without a token.
pub const METRICS_PORT: u16 = 9090;
/// That port's name.
pub const METRICS: &str = "metrics";

/// The user of the image; its Dockerfile says so too.
const USER: i64 = 10_001;
/// Control finds its stores through these, and an empty store a cluster: the pods that go last. The list does not
/// follow the cluster's size, or each change of size would restart every pod; names without a pod are passed over.
const SEEDS: u8 = 3;
/// Where the cluster's credential is mounted.
const CREDENTIAL_DIR: &str = "/etc/raftduck/credential";
/// The key and the file of the credential.
pub const CREDENTIAL: &str = "credential";

impl Builder<'_> {
    /// The part of a pod that says how it is kept apart from the rest, by Kubernetes' restricted standard.
    pub fn pod(&self, component: Component, placement: &Placement) -> PodSpec {
        let pull_secrets = &self.cluster.image.pull_secrets;
        let reference = |secret: &SecretName| LocalObjectReference { name: secret.to_string() };
        PodSpec {
            automount_service_account_token: Some(false),
            // Kubernetes would set RAFTDUCK_… for a Service of a like name, which the processes read as settings.
            enable_service_links: Some(false),
            image_pull_secrets: (!pull_secrets.is_empty()).then(|| pull_secrets.iter().map(reference).collect()),
            node_selector: (!placement.node_selector.is_empty()).then(|| placement.node_selector.clone()),
            tolerations: (!placement.tolerations.is_empty()).then(|| placement.tolerations.clone()),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                fs_group: Some(USER),
                // Else every file of a large volume would be touched at each start.
                fs_group_change_policy: Some("OnRootMismatch".to_owned()),
                seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
                ..PodSecurityContext::default()
            }),
            affinity: Some(Affinity { pod_anti_affinity: Some(self.apart(component)), ..Affinity::default() }),
            ..PodSpec::default()
        }
    }

    /// The pods of one component, as whatever makes them is told.
    pub fn template(&self, component: Component, spec: PodSpec) -> PodTemplateSpec {
        let revision = (TEMPLATE.to_owned(), self.around.template.to_string());
        let metadata = ObjectMeta {
            labels: Some(self.labels(Some(component))),
            annotations: Some([revision].into()),
            ..ObjectMeta::default()
        };
        PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
    }

    /// Apart on nodes, then in zones. Not by topology spread constraints: of those that are only wished for, none counts
    /// on a node that lacks the label of any, and many a cluster knows no zones.
    fn apart(&self, component: Component) -> PodAntiAffinity {
        let term = |key: &str| PodAffinityTerm {
            topology_key: key.to_owned(),
            label_selector: Some(self.pods(Some(component))),
            ..PodAffinityTerm::default()
        };
        let wish = |weight, key| WeightedPodAffinityTerm { weight, pod_affinity_term: term(key) };
        let never = component == Component::Worker && self.cluster.workers.spread == Spread::Required;
        PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: never.then(|| vec![term(NODE)]),
            preferred_during_scheduling_ignored_during_execution: Some(vec![wish(100, NODE), wish(50, ZONE)]),
        }
    }

    /// When the image is fetched, as a container says it.
    pub fn pull_policy(&self) -> Option<String> {
        let text = |policy| match policy {
            PullPolicy::Always => "Always",
            PullPolicy::IfNotPresent => "IfNotPresent",
            PullPolicy::Never => "Never",
        };
        self.cluster.image.pull.map(|policy| text(policy).to_owned())
    }

    /// Stores that are there as long as any is.
    pub fn seeds(&self) -> String {
        (0..SEEDS).map(|ordinal| self.cluster.worker_address(ordinal)).collect::<Vec<_>>().join(",")
    }

    /// The cluster's credential, as a volume.
    pub fn credential_volume(&self) -> Volume {
        secret_volume(CREDENTIAL, self.cluster.name.credential(), CREDENTIAL, CREDENTIAL)
    }
}

/// The flag that names the credential's file.
pub fn credential_flag() -> String {
    format!("--cluster-token-file={CREDENTIAL_DIR}/{CREDENTIAL}")
}

/// Where the credential is mounted.
pub fn credential_mount() -> VolumeMount {
    secret_mount(CREDENTIAL, CREDENTIAL_DIR)
}

/// One key of a Secret as a file.
pub fn secret_volume(name: &str, secret: SecretName, key: &str, file: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.into()),
            items: Some(vec![KeyToPath { key: key.to_owned(), path: file.to_owned(), mode: None }]),
            default_mode: Some(0o440),
            optional: None,
        }),
        ..Volume::default()
    }
}

/// A whole folder: a file mounted by itself would not follow its Secret.
pub fn secret_mount(name: &str, folder: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: folder.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

/// The volume and the mount of /tmp, the only other place that may be written to.
pub fn scratch() -> (Volume, VolumeMount) {
    let name = "tmp".to_owned();
    let empty_dir = Some(EmptyDirVolumeSource::default());
    (
        Volume { name: name.clone(), empty_dir, ..Volume::default() },
        VolumeMount { name, mount_path: "/tmp".to_owned(), ..VolumeMount::default() },
    )
}

/// What no container of ours needs.
pub fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// A port's protocol. It is said although it is the default: server-side apply knows a port by number and protocol.
pub const TCP: &str = "TCP";

/// A named port of a container.
pub fn port(name: &str, number: u16) -> ContainerPort {
    let protocol = Some(TCP.to_owned());
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol,
        ..ContainerPort::default()
    }
}

/// The same port of a Service.
pub fn service_port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        protocol: Some(TCP.to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}

/// How often and how patiently a path is asked, in seconds.
pub struct Patience {
    /// Between two questions.
    pub every: i32,
    /// For one answer.
    pub timeout: i32,
    /// Failures in a row that count.
    pub failures: i32,
}

/// Asks `path` of the port of that name.
pub fn probe(path: &str, port: &str, patience: Patience) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(port.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(patience.every),
        timeout_seconds: Some(patience.timeout),
        failure_threshold: Some(patience.failures),
        ..Probe::default()
    }
}
