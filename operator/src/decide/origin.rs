//! Which cluster a resource is: a new one, or the one whose volumes are there.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::observe::Observed;
use crate::validate;

/// Where a resource's UUID comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is written down.
    Written(Uuid),
    /// The claims say it; it is to be written down, and the stores were a cluster before.
    Found(Uuid),
    /// It is to be made.
    New,
}

/// Why no UUID is to be had; each says what a person must do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A new cluster is wanted where another's volumes are.
    #[error(
        "spec.bootstrap says new, and there are volumes of cluster {found}: to have their rows, remove \
         spec.bootstrap; to lose them, delete the ConfigMap {name}-identity and the claims labelled \
         raftduck.io/cluster-uuid={found}"
    )]
    VolumesFound {
        /// The cluster whose volumes they are.
        found: String,
        /// The resource.
        name: String,
    },
    /// Another cluster than the one that is there.
    #[error(
        "spec.bootstrap adopts cluster {wanted}, and what is there belongs to {found}: correct the UUID, or delete \
         what is there"
    )]
    Another {
        /// The cluster that is to be adopted.
        wanted: Uuid,
        /// The cluster that is there.
        found: String,
    },
    /// Nothing to adopt.
    #[error(
        "spec.bootstrap adopts cluster {0}, and no claim of this name carries that UUID: bring its volumes back, or \
         remove spec.bootstrap to begin with nothing"
    )]
    NothingFound(Uuid),
    /// Volumes of several clusters.
    #[error(
        "there are volumes of several clusters, {0}: delete the claims of all but one, by their label \
         raftduck.io/cluster-uuid"
    )]
    Several(String),
}

/// Decides, for the resource of that UID.
///
/// # Errors
/// Where a person must choose.
pub fn origin(cluster: &validate::Cluster, resource: &str, observed: &Observed) -> Result<Origin, Refusal> {
    let claimed: BTreeSet<Uuid> = observed.claims.values().filter_map(|claim| claim.cluster).collect();
    let found_new = |found: Uuid| Refusal::VolumesFound { found: found.to_string(), name: cluster.name.to_string() };
    if let Some(written) = &observed.identity {
        let ours = written.resource.as_deref() == Some(resource);
        return match &cluster.origin {
            // An operator that ended between two writes is no reason to refuse what it wrote.
            validate::Origin::New if !ours => Err(found_new(written.cluster)),
            validate::Origin::Adopt(wanted) if *wanted != written.cluster => {
                Err(Refusal::Another { wanted: *wanted, found: written.cluster.to_string() })
            }
            _ => Ok(Origin::Written(written.cluster)),
        };
    }
    let mut claimed = claimed.into_iter();
    match (claimed.next(), claimed.next(), &cluster.origin) {
        (None, _, validate::Origin::Adopt(wanted)) => Err(Refusal::NothingFound(*wanted)),
        (None, _, _) => Ok(Origin::New),
        (Some(one), None, validate::Origin::New) => Err(found_new(one)),
        (Some(one), None, validate::Origin::Adopt(wanted)) if *wanted != one => {
            Err(Refusal::Another { wanted: *wanted, found: one.to_string() })
        }
        (Some(one), None, _) => Ok(Origin::Found(one)),
        (Some(one), Some(other), _) => {
            let all = [one, other].into_iter().chain(claimed);
            Err(Refusal::Several(all.map(|uuid| uuid.to_string()).collect::<Vec<_>>().join(", ")))
        }
    }
}
