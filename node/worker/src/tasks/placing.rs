//! Where this store leads the meta group: decides where replicas and leaders are to be.
//!
//! Replicas are moved by the groups' leaders, see [`super::changing`]; here changes are begun and
//! taken back. A store's death moves its leaders to the survivors, and nothing in Raft moves them back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use raftduck_model::placement::{Leadership, Observed, Transfer, plan, spread_leaders};
use raftduck_model::{GroupId, StoreId};
use raftduck_wire::proto::store::{GroupStatus, Role, TransferLeaderRequest, WatchRequest};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::member::Member;

/// Between two rounds. Long beside an election, so that a store that just came back has its logs
/// caught up, and short beside a person's patience.
const ROUND: Duration = Duration::from_secs(2);
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(1);
const RECONNECT: Duration = Duration::from_millis(500);

/// What each reachable store last said.
type Reports = Arc<Mutex<BTreeMap<StoreId, Report>>>;

/// Of its groups, and whether its volume is too full to take more.
struct Report {
    groups: Vec<GroupStatus>,
    tight: bool,
}

/// Until the process stops.
pub async fn run(member: Arc<Member>) {
    let mut groups = member.groups_changed.subscribe();
    loop {
        while !leads_meta(&member) {
            if groups.changed().await.is_err() {
                return;
            }
        }
        lead(&member).await;
    }
}

fn leads_meta(member: &Member) -> bool {
    member.group(GroupId::META).is_some_and(|hosted| hosted.is_ready())
}

/// Until this store leads the meta group no more. Watches every store meanwhile.
async fn lead(member: &Arc<Member>) {
    let reports = Reports::default();
    let mut watched = BTreeSet::new();
    // Since this store leads: its predecessor's patience is not known to it.
    let mut heard = BTreeMap::new();
    let mut meta = member.meta.clone();
    // Dropped with this function: the watching ends with the leading.
    let mut watchers = JoinSet::new();
    while leads_meta(member) {
        let stores: Vec<StoreId> = member.meta.borrow().stores.keys().copied().collect();
        for store in stores {
            if watched.insert(store) {
                watchers.spawn(watch(member.clone(), store, reports.clone()));
            }
        }
        let round = Instant::now() + ROUND;
        // A change that has ended makes room for the next one at once, a store that came or goes waits for none.
        while let Ok(Ok(())) = timeout_at(round, meta.changed()).await {
            place(member, &reports, &mut heard).await;
        }
        place(member, &reports, &mut heard).await;
        let transfers = {
            let reports = reports.lock();
            spread_leaders(&member.meta.borrow(), &leaders(&reports), &reports.keys().copied().collect())
        };
        for transfer in transfers {
            hand_over(member, transfer).await;
        }
    }
}

/// Begins changes of replicas, and takes back those that have lost their reason.
async fn place(member: &Arc<Member>, reports: &Reports, heard: &mut BTreeMap<StoreId, Instant>) {
    let meta = member.meta.borrow().clone();
    let (reachable, full): (BTreeSet<StoreId>, BTreeSet<StoreId>) = {
        let reports = reports.lock();
        let tight = reports.iter().filter(|(_, report)| report.tight).map(|(store, _)| *store);
        (reports.keys().copied().collect(), tight.collect())
    };
    let now = Instant::now();
    heard.retain(|store, _| meta.stores.contains_key(store));
    for store in meta.stores.keys() {
        let last = heard.entry(*store).or_insert(now);
        if reachable.contains(store) {
            *last = now;
        }
    }
    let silent = |last: &Instant| now.duration_since(*last) >= member.config.replace_after;
    let gone = heard.iter().filter(|(_, last)| silent(last)).map(|(store, _)| *store).collect();
    for command in plan(&meta, &Observed { reachable, gone, full }) {
        tracing::info!(?command, "replicas are to move");
        match member.meta_here(&command).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(?command, %error, "a planned change was refused"),
            // Another leads: it plans for itself.
            Err(_) => return,
        }
    }
}

/// Keeps a store's reports up to date; they are gone while it does not answer.
async fn watch(member: Arc<Member>, store: StoreId, reports: Reports) {
    while member.meta.borrow().stores.contains_key(&store) {
        if let Ok(mut client) = member.directory.client(store)
            && let Ok(response) = client.watch(WatchRequest {}).await
        {
            let mut updates = response.into_inner();
            while let Ok(Some(update)) = updates.message().await {
                reports.lock().insert(store, Report { groups: update.groups, tight: update.tight });
            }
        }
        reports.lock().remove(&store);
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Of all who claim to lead a group, the one with the highest term.
fn leaders(reports: &BTreeMap<StoreId, Report>) -> BTreeMap<GroupId, Leadership> {
    let mut leaders: BTreeMap<GroupId, (u64, Leadership)> = BTreeMap::new();
    for (store, report) in reports {
        for status in report.groups.iter().filter(|status| status.role() == Role::Leader) {
            let claim = (status.term, Leadership { store: *store, ready: status.ready });
            let held = leaders.entry(GroupId(status.group)).or_insert(claim);
            if held.0 < claim.0 {
                *held = claim;
            }
        }
    }
    leaders.into_iter().map(|(group, (_, leadership))| (group, leadership)).collect()
}

async fn hand_over(member: &Member, Transfer { group, from, to_replica }: Transfer) {
    let Ok(mut client) = member.directory.client(from) else { return };
    let request = TransferLeaderRequest { group: group.0, to_replica: to_replica.0 };
    match timeout(TRANSFER_TIMEOUT, client.transfer_leader(request)).await {
        Ok(Ok(response)) => {
            let response = response.into_inner();
            tracing::info!(%group, %from, %to_replica, accepted = response.accepted, detail = response.detail,
                "asked for a leader to move");
        }
        Ok(Err(status)) => tracing::debug!(%group, %from, %status, "a leader could not be moved"),
        Err(_) => tracing::debug!(%group, %from, "a leader could not be moved in time"),
    }
}
