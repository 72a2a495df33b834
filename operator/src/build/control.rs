//! The gateways, and how clients reach them.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{Container, Lifecycle, LifecycleHandler, PodSpec, Service, ServiceSpec, SleepAction};
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec,
    IngressTLS, ServiceBackendPort,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use raftduck_operator_api::{DesiredState, ServiceType};

use super::Builder;
use super::labels::Component;
use super::pod::{self, HTTP, HTTP_PORT, METRICS, METRICS_PORT, Patience};

const TOKENS: &str = "tokens";
const TOKENS_DIR: &str = "/etc/raftduck/tokens";
/// For requests under way.
const TERMINATION_S: i64 = 60;
/// Until load balancers know that a pod is about to end; it must not refuse what they still send.
const LEAVING_S: i64 = 5;
const LIVE: Patience = Patience { every: 10, timeout: 5, failures: 6 };
const READY: Patience = Patience { every: 2, timeout: 2, failures: 2 };

/// Control keeps nothing, so Kubernetes may replace its pods as it likes, as long as none is missed.
pub fn deployment(to: &Builder) -> Deployment {
    let replicas = match to.cluster.desired_state {
        DesiredState::Running => to.cluster.control.replicas,
        DesiredState::Stopped => 0,
    };
    Deployment {
        metadata: to.owned(to.cluster.name.deployment(), Some(Component::Control)),
        spec: Some(DeploymentSpec {
            replicas: Some(i32::from(replicas)),
            selector: to.pods(Some(Component::Control)),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: to.template(Component::Control, pod_spec(to)),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod_spec(to: &Builder) -> PodSpec {
    let control = &to.cluster.control;
    let (scratch, scratch_mount) = pod::scratch();
    let (secret, key) = to.cluster.token_secret();
    let sleep = LifecycleHandler { sleep: Some(SleepAction { seconds: LEAVING_S }), ..LifecycleHandler::default() };
    PodSpec {
        service_account_name: Some(to.cluster.name.control_account().into()),
        termination_grace_period_seconds: Some(TERMINATION_S),
        containers: vec![Container {
            name: Component::Control.text().to_owned(),
            image: Some(to.cluster.image.name.clone()),
            image_pull_policy: to.pull_policy(),
            args: Some(args(to)),
            // DuckDB spills to a folder below the one it was started in.
            working_dir: Some(scratch_mount.mount_path.clone()),
            ports: Some(vec![pod::port(HTTP, HTTP_PORT), pod::port(METRICS, METRICS_PORT)]),
            resources: Some(control.resources.clone()),
            liveness_probe: Some(pod::probe("/livez", HTTP, LIVE)),
            readiness_probe: Some(pod::probe("/readyz", HTTP, READY)),
            lifecycle: Some(Lifecycle { pre_stop: Some(sleep), ..Lifecycle::default() }),
            security_context: Some(pod::confined()),
            volume_mounts: Some(vec![pod::credential_mount(), pod::secret_mount(TOKENS, TOKENS_DIR), scratch_mount]),
            ..Container::default()
        }],
        volumes: Some(vec![to.credential_volume(), pod::secret_volume(TOKENS, secret, key, TOKENS), scratch]),
        ..to.pod(Component::Control, &control.placement)
    }
}

/// What `raftduck control` takes.
fn args(to: &Builder) -> Vec<String> {
    let mut args = vec![
        Component::Control.text().to_owned(),
        format!("--listen=0.0.0.0:{HTTP_PORT}"),
        format!("--metrics-listen=0.0.0.0:{METRICS_PORT}"),
        format!("--stores={}", to.seeds()),
        format!("--token-file={TOKENS_DIR}/{TOKENS}"),
        pod::credential_flag(),
        "--log-format=json".to_owned(),
    ];
    args.extend(to.cluster.control.memory.map(|bytes| format!("--memory={bytes}")));
    args
}

/// What clients use.
pub fn service(to: &Builder) -> Service {
    let control = &to.cluster.control;
    let kind = match control.service {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    let annotations = (!control.service_annotations.is_empty()).then(|| control.service_annotations.clone());
    Service {
        metadata: ObjectMeta { annotations, ..to.owned(to.cluster.name.client_service(), Some(Component::Control)) },
        spec: Some(ServiceSpec {
            type_: Some(kind.to_owned()),
            selector: Some(super::labels::selector(&to.cluster.name, Some(Component::Control))),
            ports: Some(vec![pod::service_port(HTTP, HTTP_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// What clients outside use, where they are to.
pub fn ingress(to: &Builder) -> Option<Ingress> {
    let spec = to.cluster.control.ingress.as_ref()?;
    let port = ServiceBackendPort { name: Some(HTTP.to_owned()), number: None };
    let service = IngressServiceBackend { name: to.cluster.name.client_service().into(), port: Some(port) };
    let path = HTTPIngressPath {
        path: Some(spec.path.clone()),
        path_type: "Prefix".to_owned(),
        backend: IngressBackend { service: Some(service), resource: None },
    };
    let tls = spec
        .tls
        .as_ref()
        .map(|secret| vec![IngressTLS { hosts: Some(vec![spec.host.clone()]), secret_name: Some(secret.to_string()) }]);
    Some(Ingress {
        metadata: ObjectMeta {
            annotations: (!spec.annotations.is_empty()).then(|| spec.annotations.clone()),
            ..to.owned(to.cluster.name.ingress(), Some(Component::Control))
        },
        spec: Some(IngressSpec {
            ingress_class_name: spec.class.clone(),
            rules: Some(vec![IngressRule {
                host: Some(spec.host.clone()),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            tls,
            ..IngressSpec::default()
        }),
        status: None,
    })
}
