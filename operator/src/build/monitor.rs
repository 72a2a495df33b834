//! What Prometheus' operator is told.

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use raftduck_operator_api::PodMonitoring;
use serde_json::json;

use super::Builder;
use super::labels::selector;
use super::pod::{METRICS, STORE};

/// The kind, which many a Kubernetes cluster does not know.
pub fn kind() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("monitoring.coreos.com", "v1", "PodMonitor"))
}

/// Workers and controls, each on the port that it has.
pub fn pod_monitor(to: &Builder) -> Option<DynamicObject> {
    if to.cluster.monitoring.pod_monitor == PodMonitoring::Never {
        return None;
    }
    let mut metadata = to.owned(to.cluster.name.pod_monitor(), None);
    // Our own labels last: by them the operator finds the object again.
    let mut labels = to.cluster.monitoring.labels.clone();
    labels.extend(to.labels(None));
    metadata.labels = Some(labels);
    let spec = json!({"spec": {
        "selector": {"matchLabels": selector(&to.cluster.name, None)},
        "podMetricsEndpoints": [{"port": STORE}, {"port": METRICS}],
        "podTargetLabels": ["app.kubernetes.io/instance", "app.kubernetes.io/component"],
    }});
    Some(DynamicObject { metadata, ..DynamicObject::new("", &kind()).data(spec) })
}
