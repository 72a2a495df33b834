//! The stores, as an operator may ask and tell them: the admin contract of the workers, and nothing else.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use raftduck_model::meta::{Location, Meta};
use raftduck_model::{StoreId, error_chain};
use raftduck_wire::http::{BootstrapRequest, FinaliseRequest, Identity, Problem, Safety};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// For an answer that a store gives by itself.
const LOCAL: Duration = Duration::from_secs(2);
/// For an answer that takes the meta group.
const META: Duration = Duration::from_secs(15);
/// For making a cluster: its stores wait for each other for a minute.
const BOOTSTRAP: Duration = Duration::from_secs(75);

/// Why a store did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It said no, and why.
    #[error("{detail} ({code})")]
    Refused {
        /// A word that stays the same.
        code: String,
        /// A sentence.
        detail: String,
    },
    /// The meta group has no leader that answers.
    #[error("the cluster has no quorum: {0}")]
    NoQuorum(String),
    /// It did not answer.
    #[error("no store answers: {0}")]
    Silent(String),
}

/// Speaks to the stores of one cluster.
#[derive(Clone, Debug)]
pub struct DataPlane {
    http: reqwest::Client,
    credential: String,
    /// Where to send what any store may answer, best first.
    members: Vec<IpAddr>,
    port: u16,
}

impl DataPlane {
    /// With the cluster's credential, for stores that listen at `port`.
    pub fn new(http: reqwest::Client, credential: String, port: u16) -> Self {
        Self { http, credential, members: Vec::new(), port }
    }

    /// Which stores may be asked for what concerns the cluster, best first.
    pub fn ask(&mut self, members: Vec<IpAddr>) {
        self.members = members;
    }

    /// Who the store at `ip` is.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn identity(&self, ip: IpAddr) -> Result<Identity, DataError> {
        read(self.send(ip, Method::GET, "identity", None::<&()>, LOCAL).await?).await
    }

    /// The cluster's state as the store at `ip` knows it.
    ///
    /// # Errors
    /// Where it does not answer, or belongs to no cluster.
    pub async fn cluster(&self, ip: IpAddr) -> Result<Meta, DataError> {
        read(self.send(ip, Method::GET, "cluster", None::<&()>, LOCAL).await?).await
    }

    /// Makes a cluster, or finishes making it.
    ///
    /// # Errors
    /// Where a store refuses or does not answer; asking again goes on from there.
    pub async fn bootstrap(&self, first: IpAddr, request: &BootstrapRequest) -> Result<(), DataError> {
        done(self.send(first, Method::POST, "bootstrap", Some(request), BOOTSTRAP).await?).await
    }

    /// Begins to empty a store, or ends it.
    ///
    /// # Errors
    /// See [`DataError`].
    pub async fn drain(&self, store: StoreId, draining: bool) -> Result<(), DataError> {
        let method = if draining { Method::PUT } else { Method::DELETE };
        self.tell(method, &format!("stores/{store}/drain"), None::<&()>).await
    }

    /// Whether nothing depends on a store, as of now.
    ///
    /// # Errors
    /// See [`DataError`].
    pub async fn safe_to_remove(&self, store: StoreId) -> Result<bool, DataError> {
        let path = format!("stores/{store}/safe-to-remove");
        let safety: Safety = read(self.any(Method::GET, &path, None::<&()>).await?).await?;
        Ok(safety.safe)
    }

    /// Gives a store up for good.
    ///
    /// # Errors
    /// See [`DataError`]; refused while it runs and holds something.
    pub async fn retire(&self, store: StoreId) -> Result<(), DataError> {
        self.tell(Method::POST, &format!("stores/{store}/retire"), None::<&()>).await
    }

    /// Says where a store runs.
    ///
    /// # Errors
    /// See [`DataError`].
    pub async fn locate(&self, store: StoreId, location: &Location) -> Result<(), DataError> {
        self.tell(Method::PUT, &format!("stores/{store}/location"), Some(location)).await
    }

    /// Asks for leave to restart a store; it may be asked for again.
    ///
    /// # Errors
    /// See [`DataError`]; refused while a group needs the store, or another store is being restarted.
    pub async fn permit_restart(&self, store: StoreId) -> Result<(), DataError> {
        self.tell(Method::POST, &format!("stores/{store}/restart-permit"), None::<&()>).await
    }

    /// Gives that leave back.
    ///
    /// # Errors
    /// See [`DataError`].
    pub async fn end_restart(&self, store: StoreId) -> Result<(), DataError> {
        self.tell(Method::DELETE, &format!("stores/{store}/restart-permit"), None::<&()>).await
    }

    /// Raises the level; from then on no store of an older release is taken in.
    ///
    /// # Errors
    /// See [`DataError`]; refused while a store does not know it.
    pub async fn finalise(&self, level: u32) -> Result<(), DataError> {
        self.tell(Method::POST, "finalise", Some(&FinaliseRequest { level })).await
    }

    async fn tell(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<(), DataError> {
        done(self.any(method, path, body).await?).await
    }

    /// The first answer that is one: every store passes such a call on to the meta group's leader.
    async fn any(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<reqwest::Response, DataError> {
        let mut last = DataError::Silent("no pod of a worker runs".to_owned());
        for ip in &self.members {
            match self.send(*ip, method.clone(), path, body, META).await {
                Err(error @ DataError::Silent(_)) => last = error,
                answered => return answered,
            }
        }
        Err(last)
    }

    async fn send(
        &self,
        ip: IpAddr,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        patience: Duration,
    ) -> Result<reqwest::Response, DataError> {
        let at = SocketAddr::new(ip, self.port);
        let mut request = self.http.request(method, format!("http://{at}/admin/v1/{path}"));
        request = request.bearer_auth(&self.credential).timeout(patience);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.map_err(|error| DataError::Silent(format!("{at}: {}", error_chain(&error))))
    }
}

/// The most of an answer that is kept for an error's text, in characters.
const EXCERPT: usize = 300;

async fn done(response: reqwest::Response) -> Result<(), DataError> {
    if response.status().is_success() {
        return Ok(());
    }
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let (code, detail) = match serde_json::from_str::<Problem>(&text) {
        Ok(problem) => (problem.code, problem.detail),
        Err(_) => (status.to_string(), text.chars().take(EXCERPT).collect()),
    };
    Err(match (status, code.as_str()) {
        (StatusCode::SERVICE_UNAVAILABLE, "no_quorum") => DataError::NoQuorum(detail),
        // It waits to be taken in: another one knows.
        (StatusCode::SERVICE_UNAVAILABLE, "no_cluster") => DataError::Silent(detail),
        _ => DataError::Refused { code, detail },
    })
}

async fn read<T: DeserializeOwned>(response: reqwest::Response) -> Result<T, DataError> {
    if !response.status().is_success() {
        let refused = done(response).await;
        return Err(refused.err().unwrap_or_else(|| DataError::Silent("an empty answer".to_owned())));
    }
    response.json().await.map_err(|error| DataError::Silent(error_chain(&error)))
}
