//! One Watch stream to every known address, and one task that merges what they say.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use raftduck_model::StoreId;
use raftduck_wire::proto::store::{WatchRequest, WatchUpdate};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use super::{ClusterView, Merge, Stores};

/// Updates that wait to be merged; a store's stream stops being read beyond that.
const WAITING_UPDATES: usize = 64;
/// How long a lost store's word still counts: longer than an election, so that its successor speaks first.
const FORGET_AFTER: Duration = Duration::from_secs(3);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

enum Event {
    Said { address: String, update: WatchUpdate },
    Lost { address: String },
    Forget { store: StoreId },
}

/// Keeps the view of the cluster that `seeds` (`host:port`) belong to, until `stop`.
pub fn watch(
    seeds: Vec<String>,
    stores: Arc<Stores>,
    stop: CancellationToken,
) -> (watch::Receiver<Arc<ClusterView>>, tokio::task::JoinHandle<()>) {
    let (publish, view) = watch::channel(Arc::default());
    let task = tokio::spawn(async move {
        // Its streams are aborted with it.
        stop.run_until_cancelled(merge(seeds, stores, publish)).await;
    });
    (view, task)
}

async fn merge(seeds: Vec<String>, stores: Arc<Stores>, publish: watch::Sender<Arc<ClusterView>>) {
    let (events, mut queue) = mpsc::channel(WAITING_UPDATES);
    let mut merge = Merge::default();
    let mut streams: HashMap<String, AbortOnDropHandle<()>> = HashMap::new();
    let mut speakers: HashMap<String, StoreId> = HashMap::new();
    let mut wanted: BTreeSet<String> = seeds.iter().cloned().collect();
    loop {
        streams.retain(|address, _| wanted.contains(address));
        for address in &wanted {
            if !streams.contains_key(address) {
                let stream = follow(address.clone(), stores.clone(), events.clone());
                streams.insert(address.clone(), AbortOnDropHandle::new(tokio::spawn(stream)));
            }
        }
        let Some(event) = queue.recv().await else { return };
        match event {
            Event::Said { address, update } => match merge.update(&update) {
                Ok(store) => {
                    speakers.insert(address, store);
                }
                Err(error) => warn!(%address, %error, "a store's update is passed over"),
            },
            Event::Lost { address } => {
                if let Some(store) = speakers.remove(&address)
                    // It may speak at its new address already.
                    && !speakers.values().any(|other| *other == store)
                {
                    merge.lost(store);
                    let events = events.clone();
                    tokio::spawn(async move {
                        sleep(FORGET_AFTER).await;
                        // Nobody listens any more when control ends.
                        let _ = events.send(Event::Forget { store }).await;
                    });
                }
            }
            Event::Forget { store } => merge.forget(store),
        }
        let view = merge.view();
        let addresses = view.meta.stores.iter().map(|(store, info)| (*store, info.address.clone())).collect();
        wanted = seeds.iter().cloned().chain(view.meta.stores.values().map(|info| info.address.clone())).collect();
        stores.relocate(addresses);
        publish.send_if_modified(|known| {
            let changed = **known != view;
            if changed {
                *known = Arc::new(view);
            }
            changed
        });
    }
}

/// Reads one store's stream, again and again. Ends when nobody listens.
async fn follow(address: String, stores: Arc<Stores>, events: mpsc::Sender<Event>) {
    let waits = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times();
    let mut wait = waits.build();
    loop {
        if let Some(mut client) = stores.at(&address) {
            match client.watch(WatchRequest {}).await {
                Ok(stream) => {
                    let mut stream = stream.into_inner();
                    while let Ok(Some(update)) = stream.message().await {
                        wait = waits.build();
                        if events.send(Event::Said { address: address.clone(), update }).await.is_err() {
                            return;
                        }
                    }
                    debug!(%address, "a store's watch stream ended");
                    if events.send(Event::Lost { address: address.clone() }).await.is_err() {
                        return;
                    }
                }
                Err(error) => debug!(%address, %error, "a store does not answer"),
            }
        }
        sleep(wait.next().unwrap_or(LONGEST_WAIT)).await;
    }
}
