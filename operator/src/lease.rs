//! Which operator acts, of several: whoever holds the Lease.
//!
//! As client-go's leader election does it: the holder renews, another takes over once the Lease was not seen renewed for
//! its duration, by its own clock, and every write names the version that it read. A holder that could not renew in time
//! ends its process. What it decided just before may still arrive: every step may be done twice.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use tokio::time::{Instant, sleep, timeout};

/// client-go's own numbers.
const LASTS: Duration = Duration::from_secs(15);
const RENEW_WITHIN: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);

/// A Lease that this process wants, or holds.
pub struct Leadership {
    leases: Api<Lease>,
    name: String,
    me: String,
    /// The version seen last, and when it was seen first.
    seen: Option<(Option<String>, Instant)>,
}

impl Leadership {
    /// Of the Lease of that name, as `me`.
    pub fn new(leases: Api<Lease>, name: &str, me: &str) -> Self {
        Self { leases, name: name.to_owned(), me: me.to_owned(), seen: None }
    }

    /// Returns once this process holds the Lease.
    pub async fn acquire(&mut self) {
        loop {
            match self.take().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the lease cannot be read or written"),
            }
            sleep(RETRY).await;
        }
    }

    /// Renews the Lease for as long as that succeeds.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < RENEW_WITHIN {
            sleep(RETRY).await;
            match timeout(RENEW_WITHIN, self.take()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "the lease was not renewed"),
                Err(_) => tracing::warn!("the lease was not renewed in time"),
            }
        }
    }

    /// Gives the Lease back, so that the next one need not wait.
    pub async fn release(&mut self) {
        let Ok(Some(mut lease)) = self.leases.get_opt(&self.name).await else { return };
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.me)) else {
            return;
        };
        spec.holder_identity = None;
        if let Err(error) = self.leases.replace(&self.name, &PostParams::default(), &lease).await {
            tracing::debug!(%error, "the lease was not given back: it runs out by itself");
        }
    }

    /// Takes or renews it; whether this process holds it now.
    async fn take(&mut self) -> kube::Result<bool> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.mine(None, now)) };
            return held(self.leases.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => Instant::now(),
        };
        self.seen = Some((version, since));
        let spec = lease.spec.unwrap_or_default();
        let holder = spec.holder_identity.as_deref().filter(|holder| !holder.is_empty());
        if holder.is_some_and(|holder| holder != self.me) && since.elapsed() < LASTS {
            return Ok(false);
        }
        lease.spec = Some(self.mine(Some(spec), now));
        // The version read goes along: whoever wrote in between has won.
        held(self.leases.replace(&self.name, &PostParams::default(), &lease).await)
    }

    fn mine(&self, was: Option<LeaseSpec>, now: MicroTime) -> LeaseSpec {
        let was = was.unwrap_or_default();
        let renewal = was.holder_identity.as_deref() == Some(&self.me);
        LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(LASTS.as_secs()).ok(),
            acquire_time: if renewal { was.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(was.lease_transitions.unwrap_or_default() + i32::from(!renewal)),
            ..LeaseSpec::default()
        }
    }
}

fn held(written: kube::Result<Lease>) -> kube::Result<bool> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
