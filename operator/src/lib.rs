//! Raftduck's operator: an `AnalyticsCluster` becomes Kubernetes objects, and its changes happen in a safe order.
//!
//! [`reconcile`] is one look at one resource. [`observe`] reads what is there; [`validate`] reads the resource once;
//! [`decide`] says purely what is next; [`build`] makes the objects, purely, and cannot fail; [`apply`] and [`act`] are
//! the only ones that change anything, in Kubernetes and, through [`dataplane`], at the stores; [`status`] says, purely,
//! what holds. [`run`] does so for every resource, while this process holds the [`lease`].

pub mod act;
pub mod apply;
pub mod backoff;
pub mod build;
pub mod check;
pub mod dataplane;
pub mod decide;
pub mod lease;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod quantity;
pub mod reconcile;
pub mod run;
pub mod status;
pub mod validate;
