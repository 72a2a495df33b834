//! Raftduck's operator: an `AnalyticsCluster` becomes Kubernetes objects.
//!
//! [`validate`] reads a resource once, into [`validate::Cluster`]; [`build`] makes the objects of it, purely, and
//! cannot fail. Neither knows a client, and nothing applies the objects yet.

pub mod build;
pub mod names;
pub mod quantity;
pub mod validate;
