//! The resource, read once: afterwards nobody asks again whether a name is one or a number fits.
//!
//! The API server refuses most of this already, by the definition's rules. It is asked here again, since a definition
//! of another release may be installed.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use raftduck_operator_api as api;
use raftduck_operator_api::{
    AnalyticsCluster, ClaimPolicy, DesiredState, PodMonitoring, ReplaceLost, ServiceType, Spread,
};
use uuid::Uuid;

use crate::build::STORE_PORT;
use crate::names::{BadName, ClusterName, Namespace, SecretName};
use crate::quantity::{BadBytes, Bytes};

mod parts;

/// A cluster that can be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Where its objects live.
    pub namespace: Namespace,
    /// What its pods run.
    pub image: Image,
    /// The processes that hold the rows.
    pub workers: Workers,
    /// The gateways.
    pub control: Control,
    /// Partitions, 1 to 4096.
    pub partitions: u16,
    /// Copies of each: 1, 3 or 5, and at most as many as there are workers.
    pub replication_factor: u8,
    /// Whether pods are to run.
    pub desired_state: DesiredState,
    /// Whether nothing is to be changed.
    pub paused: bool,
    /// The level that the cluster is to be raised to.
    pub level: Option<u32>,
    /// Where the rows come from at the beginning.
    pub origin: Origin,
    /// The clients' tokens.
    pub tokens: Tokens,
    /// Who may scrape, and by what.
    pub monitoring: Monitoring,
}

/// What pods run.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The image.
    pub name: String,
    /// When it is fetched.
    pub pull: Option<api::PullPolicy>,
    /// With what.
    pub pull_secrets: Vec<SecretName>,
}

/// The processes that hold the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Workers {
    /// How many, 1 to 64.
    pub replicas: u8,
    /// The volume of each.
    pub storage: Storage,
    /// What their containers get.
    pub resources: ResourceRequirements,
    /// DuckDB's memory; none where there is neither a setting nor a limit.
    pub memory: Option<Bytes>,
    /// Threads for queries.
    pub threads: Option<u16>,
    /// How far queries may spill.
    pub spill: Option<Bytes>,
    /// The log's size beyond which a worker that is away gets a snapshot.
    pub log_size: Option<Bytes>,
    /// How long a worker may be silent, as the worker reads it.
    pub replace_after: Option<String>,
    /// Where they may run.
    pub placement: Placement,
    /// Whether two may share a node.
    pub spread: Spread,
    /// Their priority class.
    pub priority_class: Option<String>,
}

/// A worker's volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Its size.
    pub size: Bytes,
    /// The same as the user wrote it, which is how they will look for it.
    pub size_text: String,
    /// Its class.
    pub class: Option<String>,
    /// What becomes of it with the cluster.
    pub when_deleted: ClaimPolicy,
    /// What becomes of it when its worker is scaled away.
    pub when_scaled: ClaimPolicy,
    /// Whether it is given up by itself.
    pub replace_lost: ReplaceLost,
}

/// Where pods may run.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// Labels of the nodes.
    pub node_selector: BTreeMap<String, String>,
    /// Taints of the nodes.
    pub tolerations: Vec<Toleration>,
}

/// The gateways.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// How many, 1 to 64.
    pub replicas: u8,
    /// What their containers get.
    pub resources: ResourceRequirements,
    /// DuckDB's memory; none where there is neither a setting nor a limit.
    pub memory: Option<Bytes>,
    /// Where they may run.
    pub placement: Placement,
    /// The client Service's type.
    pub service: ServiceType,
    /// The client Service's annotations.
    pub service_annotations: BTreeMap<String, String>,
    /// How clients outside reach them.
    pub ingress: Option<Ingress>,
}

/// How clients outside reach control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// The host name, which may begin with `*.`.
    pub host: String,
    /// The path, which begins with a slash.
    pub path: String,
    /// The Ingress class.
    pub class: Option<String>,
    /// The certificate.
    pub tls: Option<SecretName>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Where the rows come from at the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The volumes that are there; nowhere, if none are.
    WhatIsThere,
    /// Nowhere; volumes that are there are an error.
    New,
    /// The volumes of this cluster; where they are not there, that is an error.
    Adopt(Uuid),
}

/// The clients' tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// The operator makes the Secret.
    Made,
    /// The user did.
    Given {
        /// The Secret.
        secret: SecretName,
        /// Its key.
        key: String,
    },
}

/// Who may scrape, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitoring {
    /// Whether a PodMonitor is made.
    pub pod_monitor: PodMonitoring,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The namespace whose pods may scrape.
    pub scraper_namespace: Option<Namespace>,
}

/// Why a resource makes no cluster; each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A resource that no API server stored.
    #[error("the resource has no {0}: apply it to a namespace")]
    NotStored(&'static str),
    /// A name that cannot be.
    #[error("{field}: {source}")]
    Name {
        /// Where.
        field: &'static str,
        /// Which, and what would do.
        source: BadName,
    },
    /// An amount that cannot be.
    #[error("{field}: {source}")]
    Amount {
        /// Where.
        field: &'static str,
        /// Which, and what would do.
        source: BadBytes,
    },
    /// A number out of bounds.
    #[error("{field} is {found}: choose a number from {least} to {most}")]
    Range {
        /// Where.
        field: &'static str,
        /// What it is.
        found: i32,
        /// The least.
        least: i32,
        /// The most.
        most: i32,
    },
    /// A replication factor that is none.
    #[error("spec.replicationFactor is {found}: choose 1, 3 or 5")]
    ReplicationFactor {
        /// What it is.
        found: i32,
    },
    /// Fewer workers than copies.
    #[error(
        "spec.replicationFactor is {copies} and spec.workers.replicas is {workers}: \
         there must be a worker for each copy"
    )]
    TooFewWorkers {
        /// Copies of each partition.
        copies: u8,
        /// Workers.
        workers: u8,
    },
    /// A text of the wrong form.
    #[error("{field} is {found:?}: {rule}")]
    Text {
        /// Where.
        field: &'static str,
        /// What it is.
        found: String,
        /// What would do.
        rule: &'static str,
    },
    /// Not exactly one way to begin.
    #[error("spec.bootstrap names {found} ways to begin: choose one of new and adopt, or leave it out")]
    Bootstrap {
        /// How many.
        found: usize,
    },
    /// A field for later.
    #[error("{field} is reserved for a later release: leave it out")]
    Reserved {
        /// Which.
        field: &'static str,
    },
}

/// The share of a container's memory limit that DuckDB gets where nobody says: what a process takes by itself where it
/// sees its limit, which it does not under cgroups v1.
const PARTS_OF_LIMIT: NonZeroU64 = NonZeroU64::MIN.saturating_add(3);

impl Cluster {
    /// Reads a resource.
    ///
    /// # Errors
    /// The first thing that makes it no cluster.
    pub fn read(resource: &AnalyticsCluster) -> Result<Self, Invalid> {
        let spec = &resource.spec;
        let name = resource.metadata.name.as_deref().ok_or(Invalid::NotStored("name"))?;
        let namespace = resource.metadata.namespace.as_deref().ok_or(Invalid::NotStored("namespace"))?;
        let at = |field: &'static str| move |source: BadName| Invalid::Name { field, source };
        if spec.tls.is_some() {
            return Err(Invalid::Reserved { field: "spec.tls" });
        }
        let workers = parts::workers(&spec.workers)?;
        Ok(Self {
            name: ClusterName::new(name).map_err(at("metadata.name"))?,
            namespace: Namespace::new(namespace).map_err(at("metadata.namespace"))?,
            image: parts::image(spec)?,
            control: parts::control(&spec.control)?,
            partitions: parts::within("spec.partitions", spec.partitions, 1, 4096)?,
            replication_factor: replication_factor(spec.replication_factor, workers.replicas)?,
            desired_state: spec.desired_state,
            paused: spec.paused,
            level: spec.level.map(|level| parts::within("spec.level", level, 1, i32::MAX)).transpose()?,
            origin: parts::origin(spec.bootstrap.as_ref())?,
            tokens: parts::tokens(&spec.auth)?,
            monitoring: parts::monitoring(&spec.monitoring)?,
            workers,
        })
    }

    /// The address of the store on the pod called `pod`, below the headless Service.
    pub fn store_address(&self, pod: &str) -> String {
        format!("{pod}.{}.{}.svc:{STORE_PORT}", self.name.workers_service(), self.namespace)
    }

    /// The address of the store of the worker of that ordinal.
    pub fn worker_address(&self, ordinal: u8) -> String {
        self.store_address(&self.name.worker(ordinal).to_string())
    }

    /// The ordinal of the worker whose address that is.
    pub fn ordinal_at(&self, address: &str) -> Option<u8> {
        let pod = address.split('.').next()?;
        let ordinal = self.name.ordinal(pod)?;
        (self.worker_address(ordinal) == address).then_some(ordinal)
    }

    /// The Secret and the key with the clients' tokens.
    pub fn token_secret(&self) -> (SecretName, &str) {
        match &self.tokens {
            Tokens::Made => (self.name.tokens(), api::TOKENS_KEY),
            Tokens::Given { secret, key } => (secret.clone(), key),
        }
    }
}

fn replication_factor(found: i32, workers: u8) -> Result<u8, Invalid> {
    let copies = match found {
        1 => 1,
        3 => 3,
        5 => 5,
        _ => return Err(Invalid::ReplicationFactor { found }),
    };
    if copies > workers {
        return Err(Invalid::TooFewWorkers { copies, workers });
    }
    Ok(copies)
}

#[cfg(test)]
mod tests;
