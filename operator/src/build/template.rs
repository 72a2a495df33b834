//! Which release of the pod templates a cluster's pods are made from.
//!
//! A pod made from another template is a pod restarted. So an operator that was upgraded goes on building what its
//! predecessor built, and takes its own templates up when the spec changes: a moment that a person chose.

use raftduck_operator_api::AnalyticsCluster;

/// Raised whenever a pod template built here comes out otherwise for the same cluster. The older ones are built as
/// before, wherever `Surroundings::template` is one of theirs.
pub const NEWEST: i32 = 1;

/// The revision for `resource`, where the operator knows those up to `newest`: what its pods have, until the spec
/// changes. One that is not known, because the operator was taken back, is as good as none.
pub fn revision(resource: &AnalyticsCluster, newest: i32) -> i32 {
    let unchanged = |observed| observed == resource.metadata.generation;
    let status = resource.status.as_ref().filter(|status| unchanged(status.observed_generation));
    status.and_then(|status| status.template_revision).filter(|pinned| (1..=newest).contains(pinned)).unwrap_or(newest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use raftduck_operator_api::AnalyticsClusterStatus;
    use serde_json::json;

    use super::*;

    fn resource(generation: i64, status: Option<(i64, i32)>) -> AnalyticsCluster {
        let spec = json!({"image": "raftduck:1", "workers": {"storage": {"size": "10Gi"}}});
        let mut resource = AnalyticsCluster::new("flights", serde_json::from_value(spec).unwrap());
        resource.metadata.generation = Some(generation);
        resource.status = status.map(|(observed, template)| AnalyticsClusterStatus {
            observed_generation: Some(observed),
            template_revision: Some(template),
            ..AnalyticsClusterStatus::default()
        });
        resource
    }

    #[test]
    fn it_moves_with_the_spec_only() {
        assert_eq!(revision(&resource(1, None), 3), 3, "a new cluster");
        assert_eq!(revision(&resource(1, Some((1, 2))), 3), 2, "the operator was upgraded");
        assert_eq!(revision(&resource(2, Some((1, 2))), 3), 3, "and the spec changed");
        assert_eq!(revision(&resource(2, Some((2, 3))), 2), 2, "the operator was taken back");
    }
}
