//! What is to be done next, from what is wanted and what is there: pure, so that every order of changes is a test.
//!
//! Nothing is remembered between two decisions. Whatever a step begins can be seen afterwards in Kubernetes' objects or
//! in the stores' own state, so an operator that ends anywhere is followed by one that goes on from there.

use std::fmt;

use raftduck_model::StoreId;
use raftduck_model::meta::Location;
use raftduck_operator_api::DesiredState;
use raftduck_wire::http::BootstrapRequest;
use uuid::Uuid;

use crate::names::ClaimName;
use crate::observe::Observed;
use crate::validate::Cluster;

mod claims;
mod origin;
mod roll;
mod size;
mod stores;

pub use origin::{Origin, Refusal, origin};

/// What is to be done, in this order: the steps before, the objects with that many pods, the steps after.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Steps before the objects are applied.
    pub before: Vec<Step>,
    /// Worker pods there are to be.
    pub pods: Pods,
    /// Steps after.
    pub after: Vec<Step>,
    /// What is waited for, in words; none where all is as it is to be.
    pub waits: Vec<String>,
    /// What only a person can mend.
    pub needs: Vec<String>,
}

/// How many worker pods there are to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pods {
    /// That many, where every store of `leaving` is still safe to remove.
    pub count: u8,
    /// Else that many.
    pub otherwise: u8,
    /// The stores of the pods that go.
    pub leaving: Vec<StoreId>,
}

impl Pods {
    /// That many, whatever the stores say.
    fn of(count: u8) -> Self {
        Self { count, otherwise: count, leaving: Vec::new() }
    }
}

/// One change, to Kubernetes or to the stores. Doing one again changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Makes the stores a cluster.
    Bootstrap(BootstrapRequest),
    /// Writes down that this was done.
    MarkBootstrapped,
    /// Has a store emptied.
    Drain(StoreId),
    /// Has it emptied no more.
    Undrain(StoreId),
    /// Gives a store up that holds nothing any more, once that was asked once more.
    RetireEmptied(StoreId),
    /// Gives a store up whose volume is lost; others hold what it held.
    RetireLost(StoreId),
    /// Tells the data plane where a store runs.
    Locate(StoreId, Location),
    /// Lets the store of a pod be ended, then deletes the pod.
    Restart {
        /// The pod.
        ordinal: u8,
        /// The pod's UID.
        pod: String,
        /// Its store.
        store: StoreId,
        /// Whether it serves: then leave to restart must be given; else a missing quorum is no reason to wait.
        serving: bool,
    },
    /// Deletes a pod that serves nothing.
    Replace {
        /// The pod.
        ordinal: u8,
        /// The pod's UID.
        pod: String,
    },
    /// A restart is over.
    EndRestart(StoreId),
    /// Raises the cluster's level.
    Finalise(u32),
    /// Has a volume grow.
    Grow(ClaimName),
    /// Has the StatefulSet made anew around its pods: its claims' template cannot be changed.
    Reshape {
        /// The StatefulSet's UID.
        uid: String,
    },
    /// Writes on a claim whether its store was given up.
    Mark {
        /// The claim.
        claim: ClaimName,
        /// Whether it was.
        retired: bool,
    },
    /// Has a claim go, or stay, when the resource goes.
    Own {
        /// The claim.
        claim: ClaimName,
        /// Whether it goes.
        owned: bool,
    },
    /// Has what says which cluster this is go, or stay, when the resource goes.
    OwnIdentity(bool),
    /// Deletes a claim.
    Delete {
        /// The claim.
        claim: ClaimName,
        /// Its UID.
        uid: String,
    },
}

impl Step {
    /// What it does, in one word: an Event's reason, a metric's label.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Bootstrap(_) => "Bootstrapped",
            Self::MarkBootstrapped => "BootstrapNoted",
            Self::Drain(_) => "StoreDraining",
            Self::Undrain(_) => "StoreKept",
            Self::RetireEmptied(_) => "StoreRetired",
            Self::RetireLost(_) => "LostStoreRetired",
            Self::Locate(..) => "StoreLocated",
            Self::Restart { .. } => "WorkerRestarted",
            Self::Replace { .. } => "WorkerReplaced",
            Self::EndRestart(_) => "RestartOver",
            Self::Finalise(_) => "LevelRaised",
            Self::Grow(_) => "VolumeGrowing",
            Self::Reshape { .. } => "StatefulSetReshaped",
            Self::Mark { .. } => "VolumeMarked",
            Self::Own { .. } | Self::OwnIdentity(_) => "PolicyNoted",
            Self::Delete { .. } => "VolumeDeleted",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bootstrap(request) => write!(f, "make a cluster of {} stores", request.stores.len()),
            Self::MarkBootstrapped => write!(f, "note that the cluster was made"),
            Self::Drain(store) => write!(f, "empty store {store}"),
            Self::Undrain(store) => write!(f, "let store {store} fill again"),
            Self::RetireEmptied(store) => write!(f, "retire store {store}, which holds nothing any more"),
            Self::RetireLost(store) => write!(f, "retire store {store}, whose volume is lost"),
            Self::Locate(store, location) => {
                let or_none = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
                write!(f, "store {store} is on node {}, zone {}", or_none(&location.node), or_none(&location.zone))
            }
            Self::Restart { ordinal, store, .. } => write!(f, "restart worker {ordinal}, store {store}"),
            Self::Replace { ordinal, .. } => write!(f, "replace worker {ordinal}'s pod, which serves nothing"),
            Self::EndRestart(store) => write!(f, "the restart of store {store} is over"),
            Self::Finalise(level) => write!(f, "raise the cluster to level {level}"),
            Self::Grow(claim) => write!(f, "grow volume {claim}"),
            Self::Reshape { .. } => write!(f, "make the StatefulSet anew around its pods, for larger volumes"),
            Self::Mark { claim, retired: true } => write!(f, "note on {claim} that its store was given up"),
            Self::Mark { claim, retired: false } => write!(f, "use {claim} again"),
            Self::Own { claim, owned: true } => write!(f, "{claim} goes when the cluster is deleted"),
            Self::Own { claim, owned: false } => write!(f, "{claim} stays when the cluster is deleted"),
            Self::OwnIdentity(true) => write!(f, "the cluster's UUID goes when the cluster is deleted"),
            Self::OwnIdentity(false) => write!(f, "the cluster's UUID stays when the cluster is deleted"),
            Self::Delete { claim, .. } => write!(f, "delete {claim}"),
        }
    }
}

/// Decides, for a cluster that is not paused and whose UUID is known.
pub fn decide(cluster: &Cluster, uuid: Uuid, observed: &Observed) -> Decision {
    let mut decision = Decision::default();
    if cluster.desired_state == DesiredState::Stopped {
        decision.pods = Pods::of(0);
        claims::keep_or_give(cluster, observed, &mut decision);
        return decision;
    }
    size::decide(cluster, observed, &mut decision);
    claims::decide(cluster, observed, &mut decision);
    if observed.stores.meta.is_some() {
        stores::decide(cluster, observed, &mut decision);
    } else {
        stores::bootstrap(cluster, uuid, observed, &mut decision);
    }
    stores::strangers(observed, &mut decision);
    roll::decide(cluster, observed, &mut decision);
    decision
}
