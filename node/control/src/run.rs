//! The control's life: follow the cluster, serve, end in order.

use anyhow::Context;
use raftduck_model::meta::MetaError;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::api::{self, App};
use crate::auth::Auth;
use crate::config::ControlConfig;
use crate::control::Control;
use crate::service::serve;

/// Serves until `stop` is cancelled, then lets open requests end.
///
/// # Errors
/// Where an address cannot be listened on, the tokens cannot be read, or DuckDB cannot start.
pub async fn run(config: ControlConfig, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = listen(config.listen).await?;
    let scrapes = match config.metrics_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let auth = Auth::load(config.token.as_deref(), config.tokens_file.as_deref()).context("no tokens")?;
    if auth.is_open() {
        warn!(listen = %config.listen, "no tokens: whoever reaches the port may do anything");
    }
    // The view outlives the call to stop by the draining of requests.
    let ended = CancellationToken::new();
    let (control, following) = Control::start(&config, ended.clone())?;
    let mut view = control.watch();
    info!(listen = %listener.local_addr()?, stores = ?config.stores, "control starts");
    let _tokens = AbortOnDropHandle::new(tokio::spawn(auth.clone().follow()));
    let app = App::new(control, auth, stop.clone());
    let scraping = scrapes.map(|listener| serve(listener, api::scrapes(app.clone()), config.limits, stop.clone()));
    let serving = async {
        tokio::join!(serve(listener, api::router(app), config.limits, stop), async {
            if let Some(scraping) = scraping {
                scraping.await;
            }
        })
    };
    tokio::select! {
        _ = serving => {}
        // What the stores say now would be misread.
        Ok(view) = view.wait_for(|view| view.meta.level > config.level) => {
            return Err(MetaError::WrongLevel { level: config.level, cluster: view.meta.level })
                .context("run a newer release of control");
        }
    }
    ended.cancel();
    following.await?;
    info!("control ended");
    Ok(())
}

async fn listen(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address}: is another process using it?"))
}
