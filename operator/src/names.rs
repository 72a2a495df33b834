//! The name of every Kubernetes object that a cluster has, each a type of its own.
//!
//! All of them are the cluster's name and one suffix. No suffix is the end of another, so that no two clusters of a
//! namespace come to the same name: `a-workers` is the StatefulSet of `a` and nothing of a cluster named `a-workers`.

use std::fmt;

/// A cluster's name: a lower-case letter, then lower-case letters, digits and inner hyphens, at most 40 in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

/// A text that is no name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no name of a {kind}: {rule}")]
pub struct BadName {
    name: String,
    kind: &'static str,
    rule: &'static str,
}

/// The longest name of a cluster. With `-workers-` and an ordinal it stays below the 63 characters of a host name, and
/// with `-workers-` and a revision's hash below the 63 of a label.
const LONGEST: usize = 40;

/// What the derived names end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suffix {
    Workers,
    Control,
    Client,
    Tokens,
    Credential,
    Identity,
    Metrics,
}

impl Suffix {
    fn text(self) -> &'static str {
        match self {
            Self::Workers => "workers",
            Self::Control => "control",
            Self::Client => "client",
            Self::Tokens => "tokens",
            Self::Credential => "credential",
            Self::Identity => "identity",
            Self::Metrics => "metrics",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    )*};
}

kinds! {
    /// A Service's name.
    ServiceName;
    /// The name of the workers' StatefulSet.
    StatefulSetName;
    /// The name of control's Deployment.
    DeploymentName;
    /// A Secret's name.
    SecretName;
    /// A ConfigMap's name.
    ConfigMapName;
    /// A ServiceAccount's name.
    ServiceAccountName;
    /// A PodDisruptionBudget's name.
    BudgetName;
    /// A NetworkPolicy's name.
    PolicyName;
    /// An Ingress's name.
    IngressName;
    /// A PodMonitor's name.
    PodMonitorName;
    /// A worker pod's name.
    PodName;
    /// The name of a worker's PersistentVolumeClaim.
    ClaimName;
    /// A namespace.
    Namespace;
}

impl ClusterName {
    /// Checks `name`.
    ///
    /// # Errors
    /// Where pods and volumes could not be named after it.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(inner)
            && !name.ends_with('-')
            && name.len() <= LONGEST;
        let rule = "begin with a lower-case letter, go on with lower-case letters, digits and hyphens, do not end in a \
                    hyphen, and take at most 40 characters";
        fits.then(|| Self(name.to_owned())).ok_or(BadName { name: name.to_owned(), kind: "cluster", rule })
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn with(&self, suffix: Suffix) -> String {
        format!("{}-{}", self.0, suffix.text())
    }

    /// The workers' StatefulSet.
    pub fn stateful_set(&self) -> StatefulSetName {
        StatefulSetName(self.with(Suffix::Workers))
    }

    /// The headless Service below which each worker has a name.
    pub fn workers_service(&self) -> ServiceName {
        ServiceName(self.with(Suffix::Workers))
    }

    /// The worker pod of that ordinal.
    pub fn worker(&self, ordinal: u8) -> PodName {
        PodName(format!("{}-{ordinal}", self.stateful_set()))
    }

    /// The ordinal of the worker pod called `pod`; none where it is no worker of this cluster.
    pub fn ordinal(&self, pod: &str) -> Option<u8> {
        let ordinal = pod.rsplit('-').next()?.parse().ok()?;
        (self.worker(ordinal).0 == pod).then_some(ordinal)
    }

    /// The claim of the worker of that ordinal, as the StatefulSet names it.
    pub fn claim(&self, ordinal: u8) -> ClaimName {
        ClaimName(format!("{DATA_VOLUME}-{}", self.worker(ordinal)))
    }

    /// Control's Deployment.
    pub fn deployment(&self) -> DeploymentName {
        DeploymentName(self.with(Suffix::Control))
    }

    /// The Service that clients use.
    pub fn client_service(&self) -> ServiceName {
        ServiceName(self.with(Suffix::Client))
    }

    /// The Ingress that clients use.
    pub fn ingress(&self) -> IngressName {
        IngressName(self.with(Suffix::Client))
    }

    /// The Secret with the clients' tokens, where the operator makes it.
    pub fn tokens(&self) -> SecretName {
        SecretName(self.with(Suffix::Tokens))
    }

    /// The Secret that the cluster's processes share.
    pub fn credential(&self) -> SecretName {
        SecretName(self.with(Suffix::Credential))
    }

    /// The ConfigMap that says which cluster this is, and outlives it.
    pub fn identity(&self) -> ConfigMapName {
        ConfigMapName(self.with(Suffix::Identity))
    }

    /// The workers' ServiceAccount.
    pub fn workers_account(&self) -> ServiceAccountName {
        ServiceAccountName(self.with(Suffix::Workers))
    }

    /// Control's ServiceAccount.
    pub fn control_account(&self) -> ServiceAccountName {
        ServiceAccountName(self.with(Suffix::Control))
    }

    /// The workers' disruption budget.
    pub fn workers_budget(&self) -> BudgetName {
        BudgetName(self.with(Suffix::Workers))
    }

    /// Control's disruption budget.
    pub fn control_budget(&self) -> BudgetName {
        BudgetName(self.with(Suffix::Control))
    }

    /// Who reaches the workers.
    pub fn workers_policy(&self) -> PolicyName {
        PolicyName(self.with(Suffix::Workers))
    }

    /// Who reaches control.
    pub fn control_policy(&self) -> PolicyName {
        PolicyName(self.with(Suffix::Control))
    }

    /// What Prometheus' operator is told.
    pub fn pod_monitor(&self) -> PodMonitorName {
        PodMonitorName(self.with(Suffix::Metrics))
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The workers' volume, by which Kubernetes names their claims.
pub const DATA_VOLUME: &str = "data";

impl SecretName {
    /// Checks a name that the user gave.
    ///
    /// # Errors
    /// Where no Secret can have it.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let rule = "take lower-case letters, digits, hyphens and dots, begin and end each part with a letter or digit, \
                    and use at most 253 characters";
        let fits = name.len() <= 253 && name.split('.').all(is_label);
        fits.then(|| Self(name.to_owned())).ok_or(BadName { name: name.to_owned(), kind: "Secret", rule })
    }
}

impl Namespace {
    /// Checks a namespace's name.
    ///
    /// # Errors
    /// Where no namespace can have it.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let rule = "take lower-case letters, digits and hyphens, begin and end with a letter or digit, and use at most \
                    63 characters";
        let fits = name.len() <= 63 && is_label(name);
        fits.then(|| Self(name.to_owned())).ok_or(BadName { name: name.to_owned(), kind: "namespace", rule })
    }
}

fn is_label(part: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    edge(part.chars().next())
        && edge(part.chars().last())
        && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SUFFIXES: [Suffix; 7] = [
        Suffix::Workers,
        Suffix::Control,
        Suffix::Client,
        Suffix::Tokens,
        Suffix::Credential,
        Suffix::Identity,
        Suffix::Metrics,
    ];

    #[test]
    fn the_longest_name_still_makes_host_names_and_labels() {
        let name = ClusterName::new(&"a".repeat(LONGEST)).unwrap();
        assert!(name.worker(63).to_string().len() <= 63);
        // A StatefulSet labels its pods with its name and a hash of ten characters.
        assert!(name.stateful_set().to_string().len() + 1 + 10 <= 63);
        for suffix in SUFFIXES {
            assert!(name.with(suffix).len() <= 63, "{suffix:?}");
        }
    }

    #[test]
    fn no_suffix_is_the_end_of_another() {
        let texts: Vec<_> = SUFFIXES.iter().map(|suffix| suffix.text()).collect();
        for (at, one) in texts.iter().enumerate() {
            assert!(!one.contains('-'), "{one}: a cluster's name may end in its first word");
            assert!(!texts[at + 1..].contains(one), "{one}");
        }
    }

    #[test]
    fn names_are_checked_by_the_rule_of_the_definition() {
        for good in ["a", "a1", "a-b", "a--b"] {
            assert_eq!(ClusterName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "1a", "-a", "a-", "A", "a.b", "a_b", "ä", &"a".repeat(41)] {
            assert!(ClusterName::new(bad).unwrap_err().to_string().contains("at most 40"), "{bad}");
        }
    }

    #[test]
    fn secrets_and_namespaces_have_kubernetes_names() {
        assert!(SecretName::new("my.tokens-2").is_ok() && Namespace::new("team-1").is_ok());
        for bad in ["", ".a", "a..b", "A", "a-", &"a".repeat(254)] {
            assert!(SecretName::new(bad).is_err(), "{bad}");
            assert!(Namespace::new(bad).is_err(), "{bad}");
        }
        assert!(Namespace::new("a.b").is_err());
    }

    #[test]
    fn a_claim_is_named_as_the_stateful_set_names_it() {
        let name = ClusterName::new("flights").unwrap();
        assert_eq!(name.claim(2).to_string(), "data-flights-workers-2");
    }
}
