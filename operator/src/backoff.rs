//! How long a resource waits after its reconcile failed: twice as long each time, and each resource by itself.

use std::collections::HashMap;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use raftduck_operator_api::AnalyticsCluster;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// Failures in a row, by resource.
#[derive(Default)]
pub struct Backoffs(Mutex<HashMap<ObjectRef<AnalyticsCluster>, u32>>);

impl Backoffs {
    /// Forgets its failures.
    pub fn succeeded(&self, resource: &AnalyticsCluster) {
        self.0.lock().remove(&ObjectRef::from_obj(resource));
    }

    /// Counts a failure; how long to wait now.
    pub fn failed(&self, resource: &AnalyticsCluster) -> Duration {
        let mut failures = self.0.lock();
        let failures = failures.entry(ObjectRef::from_obj(resource)).or_default();
        let wait = FIRST.saturating_mul(1 << (*failures).min(16)).min(LONGEST);
        *failures += 1;
        wait
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_resources_failures_are_not_anothers() {
        let backoffs = Backoffs::default();
        let spec = serde_json::json!({"image": "raftduck:1", "workers": {"storage": {"size": "10Gi"}}});
        let named = |name: &str| AnalyticsCluster::new(name, serde_json::from_value(spec.clone()).unwrap());
        let (one, other) = (named("one"), named("other"));
        let waits: Vec<Duration> = (0..10).map(|_| backoffs.failed(&one)).collect();
        assert!(waits.is_sorted() && waits[0] == FIRST && waits[9] == LONGEST, "{waits:?}");
        assert_eq!(backoffs.failed(&other), FIRST);
        backoffs.succeeded(&one);
        assert_eq!(backoffs.failed(&one), FIRST);
    }
}
