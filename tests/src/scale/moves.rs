//! Partitions on their way between stores, as `/v1/cluster` shows them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use raftduck_wire::client::Client;
use raftduck_wire::http::{ClusterAnswer, PartitionStatus};
use tokio::task::JoinHandle;

/// Between two looks. A copy keeps its id for good, so a short move is not missed where its copy stays.
const LOOK: Duration = Duration::from_millis(100);

/// A change that is under way: partition, the store that gets a copy, the store that loses one.
pub type Move = (u32, Option<String>, Option<String>);

/// The changes of partitions that are under way.
pub fn under_way(status: &ClusterAnswer) -> BTreeSet<Move> {
    let changing = status.partitions.iter().filter_map(|partition| Some((partition.id, partition.change.as_ref()?)));
    changing.map(|(id, change)| (id, change.add.clone(), change.remove.clone())).collect()
}

/// The stores that have, get or lose a copy of a partition that is changing.
pub fn involved(status: &ClusterAnswer) -> BTreeSet<&str> {
    let changing = status.partitions.iter().filter(|partition| partition.change.is_some());
    changing.flat_map(|partition| partition.replicas.iter().map(|replica| replica.store.as_str())).collect()
}

/// No group is changing, every partition has three copies, and each of that many stores has as many
/// of them as any other, or one less.
pub fn even(status: &ClusterAnswer, stores: usize) -> bool {
    let copies = copies(status);
    let (least, most) = (copies.iter().min().copied(), copies.iter().max().copied());
    let settled = groups(status).all(|group| group.change.is_none());
    let whole = status.partitions.iter().all(|partition| partition.replicas.len() == 3);
    let connected = status.stores.iter().all(|store| store.connected);
    settled
        && whole
        && connected
        && copies.len() == stores
        && most.zip(least).is_some_and(|(most, least)| most - least <= 1)
}

/// How many partitions each store has a copy of, in the order of the answer.
pub fn copies(status: &ClusterAnswer) -> Vec<usize> {
    let has = |partition: &&PartitionStatus, store: &str| partition.replicas.iter().any(|copy| copy.store == store);
    let on = |store: &str| status.partitions.iter().filter(|partition| has(partition, store)).count();
    status.stores.iter().map(|store| on(&store.id)).collect()
}

/// Stores, copies and changes in a few words, for messages.
pub fn summary(status: &ClusterAnswer) -> String {
    let stores = status.stores.iter().map(|store| {
        format!(
            "{} {} connected={} draining={} groups={}",
            store.id, store.address, store.connected, store.draining, store.groups
        )
    });
    let changes = groups(status).filter(|group| group.change.is_some());
    let changes = changes.map(|group| {
        format!("group {}: led by {:?}, {:?}, {:?}", group.id, group.leader, group.change, group.replicas)
    });
    stores.chain(changes).collect::<Vec<_>>().join("\n")
}

fn groups(status: &ClusterAnswer) -> impl Iterator<Item = &PartitionStatus> {
    std::iter::once(&status.meta).chain(&status.partitions)
}

/// Counts copies that were made. It ends when dropped.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<BTreeSet<(u32, u64)>>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to look. What is there at first counts as copies too.
    pub fn start(client: Client) -> Self {
        let seen = Arc::new(Mutex::default());
        let task = tokio::spawn(look(client, seen.clone()));
        Self { seen, task }
    }

    /// Every copy of any group, the meta group among them, that was ever there or on its way.
    pub fn copies(&self) -> usize {
        self.seen.lock().len()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(client: Client, seen: Arc<Mutex<BTreeSet<(u32, u64)>>>) {
    loop {
        if let Ok(status) = client.cluster().await {
            let mut seen = seen.lock();
            for group in groups(&status) {
                seen.extend(group.replicas.iter().map(|replica| (group.id, replica.id)));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use raftduck_wire::http::{ChangeStatus, ReplicaStatus, StoreStatus};

    use super::*;

    fn store(id: &str) -> StoreStatus {
        let (id, address) = (id.to_owned(), id.to_owned());
        StoreStatus { id, address, connected: true, leads: 0, groups: 0, draining: false, level: 1 }
    }

    fn group(id: u32, stores: &[&str]) -> PartitionStatus {
        let replica =
            |store: &&str| ReplicaStatus { id: 1, store: (*store).to_owned(), role: String::new(), applied: None };
        PartitionStatus { id, term: 1, leader: None, replicas: stores.iter().map(replica).collect(), change: None }
    }

    fn cluster(stores: &[&str], partitions: Vec<PartitionStatus>) -> ClusterAnswer {
        ClusterAnswer {
            cluster: None,
            level: 1,
            epoch: 1,
            catalog_version: 1,
            stores: stores.iter().map(|id| store(id)).collect(),
            meta: group(0, &["a", "b", "c"]),
            partitions,
        }
    }

    #[test]
    fn even_means_that_copies_differ_by_one_at_most_and_nothing_moves() {
        let partitions = || vec![group(1, &["a", "b", "c"]), group(2, &["a", "b", "d"])];
        let mut status = cluster(&["a", "b", "c", "d"], partitions());
        assert!(even(&status, 4) && !even(&status, 5));
        status.meta.change = Some(ChangeStatus { add: Some("d".to_owned()), remove: None, cancelled: false });
        assert!(!even(&status, 4));
        assert!(!even(&cluster(&["a", "b", "c", "d", "e"], partitions()), 5), "one has two, one has none");
    }

    #[test]
    fn those_that_a_move_involves_are_all_holders_of_its_partition() {
        let mut moving = group(2, &["a", "b", "d"]);
        moving.change = Some(ChangeStatus { add: Some("d".to_owned()), remove: None, cancelled: false });
        let status = cluster(&["a", "b", "c", "d"], vec![group(1, &["a", "b", "c"]), moving]);
        assert_eq!(involved(&status), BTreeSet::from(["a", "b", "d"]));
        assert_eq!(under_way(&status), BTreeSet::from([(2, Some("d".to_owned()), None)]));
    }
}
