//! How long a resource waits after its reconcile failed: twice as long each time, and each resource by itself.

use std::collections::HashMap;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use crate::reconcile::Watched;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// Failures in a row, by resource.
#[derive(Default)]
pub struct Backoffs(Mutex<HashMap<ObjectRef<Watched>, u32>>);

impl Backoffs {
    /// Forgets its failures.
    pub fn succeeded(&self, resource: &Watched) {
        self.0.lock().remove(&ObjectRef::from_obj(resource));
    }

    /// Counts a failure; how long to wait now.
    pub fn failed(&self, resource: &Watched) -> Duration {
        let mut failures = self.0.lock();
        let failures = failures.entry(ObjectRef::from_obj(resource)).or_default();
        let wait = FIRST.saturating_mul(1 << (*failures).min(16)).min(LONGEST);
        *failures += 1;
        wait
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use kube::core::PartialObjectMetaExt;

    use super::*;

    #[test]
    fn one_resources_failures_are_not_anothers() {
        let backoffs = Backoffs::default();
        let named = |name: &str| -> Watched {
            ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }.into_response_partial()
        };
        let (one, other) = (named("one"), named("other"));
        let waits: Vec<Duration> = (0..10).map(|_| backoffs.failed(&one)).collect();
        assert!(waits.is_sorted() && waits[0] == FIRST && waits[9] == LONGEST, "{waits:?}");
        assert_eq!(backoffs.failed(&other), FIRST);
        backoffs.succeeded(&one);
        assert_eq!(backoffs.failed(&one), FIRST);
    }
}
