//! The worker's life: open the volume, serve, resume membership, end in order.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use raftduck_consensus::Role;
use raftduck_model::meta::Replica;
use raftduck_wire::credential::OnService;
use raftduck_wire::proto::store::store_server::StoreServer;
use raftduck_wire::rpc;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::admin;
use crate::admission;
use crate::changes::successor;
use crate::config::WorkerConfig;
use crate::hosted::HandOverError;
use crate::joining::Joining;
use crate::member::Member;
use crate::peering::PeerGate;
use crate::service::{MemberSlot, StoreService};
use crate::volume::Volume;

/// Handing every led group to another store takes about 25 ms each; a process that is told to end
/// is given this long for it.
const HAND_OVER: Duration = Duration::from_secs(10);
/// Open calls may finish this long after the last leader was handed over.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until `stop` is cancelled, then hands its leaders over and ends.
///
/// # Errors
/// Where the volume, the log or the rows cannot be opened, or the address cannot be listened on.
pub async fn run(config: WorkerConfig, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}: is another process using it?", config.listen))?;
    let mut volume = Volume::open(&config.data, config.level)?;
    let through = admission::set_aside_if_retired(&mut volume, &config).await?;
    tracing::info!(store = %volume.store(), data = %config.data.display(), listen = %config.listen, "worker starts");
    let member: MemberSlot = Arc::new(OnceLock::new());
    // The member outlives the call to stop by its handing over: its tasks have a signal of their own.
    let ended = CancellationToken::new();
    let joining = Arc::new(Joining::new(volume, config, member.clone(), ended.clone()));
    let serving = tokio::spawn(serve(listener, joining.clone(), member.clone(), ended.clone()));
    let joined = async {
        if joining.resume().await?.is_none() && !through.is_empty() {
            admission::join(joining.clone(), through).await?;
        }
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        () = stop.cancelled() => {}
        failed = joined => return failed,
        // A halted store or an ended task: nothing is left to hand over in order.
        () = ended.cancelled() => anyhow::bail!("the store halted: see the errors above; it recovers when it is started again"),
    }
    if let Some(member) = member.get() {
        if timeout(HAND_OVER, hand_over(member)).await.is_err() {
            tracing::warn!("not every leader could be handed over in time: the others elect theirs");
        }
        member.host.shutdown().await;
        let member = member.clone();
        let closing = tokio::task::spawn_blocking(move || {
            member.engine.close();
            member.wal.close();
        });
        let _ = closing.await;
    }
    ended.cancel();
    let _ = timeout(DRAIN, serving).await;
    tracing::info!("worker ended");
    Ok(())
}

async fn serve(
    listener: TcpListener,
    joining: Arc<Joining>,
    member: MemberSlot,
    ended: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let store = StoreServer::new(StoreService::new(member.clone(), joining.clone()))
        .max_decoding_message_size(rpc::MESSAGE_BYTES)
        .max_encoding_message_size(rpc::MESSAGE_BYTES);
    let guard = OnService(joining.config().credential.clone());
    let mut http = Routes::from(admin::router(joining, member.clone()));
    http = http.add_service(InterceptedService::new(store, guard)).add_service(PeerGate::new(member).server());
    // The server's own setting is for listeners that it opens itself. Without it every reply that is written in two
    // pieces waits for the other side's delayed acknowledgement: 40 ms.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .accept_http1(true)
        .initial_stream_window_size(rpc::WINDOW_BYTES)
        .initial_connection_window_size(rpc::WINDOW_BYTES)
        .add_routes(http)
        .serve_with_incoming_shutdown(incoming, ended.cancelled_owned())
        .await
}

/// Gives every group this store leads to another voter.
async fn hand_over(member: &Arc<Member>) {
    // Where all stores end together, nobody is left to take anything.
    let mut silent = HashSet::new();
    for hosted in member.hosted() {
        let to = {
            let status = hosted.group.status();
            let status = status.borrow();
            let fit = |replica: &Replica| status.voters.contains(replica) && !silent.contains(&replica.store);
            successor(&status.followers, fit).filter(|_| status.role == Role::Leader)
        };
        let Some(to) = to else { continue };
        match hosted.hand_over(to.id).await {
            Ok(()) => {}
            Err(HandOverError::Transfer(error)) => {
                tracing::warn!(group = %hosted.id(), %error, "a leader could not be handed over");
            }
            Err(HandOverError::NotTaken(_)) => {
                tracing::warn!(group = %hosted.id(), to = %to.store, "a store takes no leader");
                silent.insert(to.store);
            }
        }
    }
}
