//! What every request works with.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{ControlConfig, Limits};
use crate::metrics::Metrics;
use crate::route::Router;
use crate::scratch::{ScratchError, ScratchPool};
use crate::view::{self, ClusterView, Stores};

/// One control. Everything in it may be used by many requests at once.
pub struct Control {
    view: watch::Receiver<Arc<ClusterView>>,
    /// Connections to the stores.
    pub stores: Arc<Stores>,
    /// Rows to their leaders.
    pub router: Router,
    /// DuckDBs without data, for parsing and for reading types.
    pub scratch: ScratchPool,
    /// The bounds of requests.
    pub limits: Limits,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// What statements may take in this process and its children together, in bytes.
    pub memory_bytes: u64,
    /// Threads for such statements.
    pub threads: usize,
}

/// Why a control cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No scratch database.
    #[error("a scratch database cannot be opened")]
    Scratch(#[from] ScratchError),
    /// A metric that Prometheus does not take.
    #[error("the metrics cannot be set up")]
    Metrics(#[from] prometheus::Error),
}

impl Control {
    /// Follows the cluster from now on, until `stop`. The second value is the task that does.
    ///
    /// # Errors
    /// Where DuckDB cannot start.
    pub fn start(
        config: &ControlConfig,
        stop: CancellationToken,
    ) -> Result<(Arc<Self>, tokio::task::JoinHandle<()>), StartError> {
        let scratch = ScratchPool::open(config.threads)?;
        let stores = Arc::new(Stores::new(config.credential.clone()));
        let metrics = Arc::new(Metrics::new()?);
        let (view, following) = view::watch(config.stores.clone(), stores.clone(), stop);
        let control = Self {
            router: Router::new(view.clone(), stores.clone(), metrics.clone()),
            view,
            stores,
            scratch,
            limits: config.limits,
            metrics,
            memory_bytes: config.memory_bytes,
            threads: config.threads,
        };
        Ok((Arc::new(control), following))
    }

    /// The cluster as it is known now.
    pub fn view(&self) -> Arc<ClusterView> {
        self.view.borrow().clone()
    }

    /// The cluster as it is known now, and news of it.
    pub fn watch(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.view.clone()
    }
}
