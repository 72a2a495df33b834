//! Who may answer for what, while a statement finds out who does.

use std::collections::BTreeSet;

use raftduck_model::{PartitionId, StoreId};
use raftduck_sql::Holding;
use raftduck_wire::proto::store::Role;

use crate::view::ClusterView;

/// The connected stores' partitions, in the order in which the stores are to be asked. It only shrinks, so asking
/// comes to an end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Holdings(Vec<Holding>);

impl Holdings {
    /// What the view says; `turn` lets another store be the first each time.
    pub fn of(view: &ClusterView, turn: usize) -> Self {
        let mut all: Vec<Holding> = view
            .stores
            .iter()
            .filter(|(_, said)| said.connected)
            .map(|(store, said)| {
                let votes = |partition: PartitionId| {
                    // A store that has not listed its groups yet is taken at the map's word: it refuses what it has not.
                    said.groups.is_empty()
                        || said.groups.get(&partition.group()).is_some_and(|group| group.role != Role::Learner)
                };
                let partitions = view.meta.partitions.iter();
                let held = partitions.filter(|p| p.replicas.iter().any(|r| r.store == *store) && votes(p.id));
                Holding { store: *store, partitions: held.map(|partition| partition.id).collect() }
            })
            .collect();
        let first = turn.checked_rem(all.len()).unwrap_or(0);
        all.rotate_left(first);
        Self(all)
    }

    /// For planning.
    pub fn list(&self) -> &[Holding] {
        &self.0
    }

    /// The store cannot answer for these partitions, or for none of its own where none is named.
    pub fn refuse(&mut self, store: StoreId, partitions: &[PartitionId]) {
        for holding in self.0.iter_mut().filter(|holding| holding.store == store) {
            let before = holding.partitions.len();
            let refused: BTreeSet<PartitionId> = partitions.iter().copied().collect();
            holding.partitions.retain(|partition| !refused.contains(partition));
            if holding.partitions.len() == before {
                holding.partitions.clear();
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use raftduck_model::meta::Meta;
    use raftduck_sql::Plan;

    use super::*;
    use crate::statement::testkit::{self, store};

    fn plan(holdings: &Holdings, meta: &Meta) -> (Vec<StoreId>, Vec<u32>) {
        match raftduck_sql::plan(&testkit::facts_of_t(), meta, holdings.list(), 0, u64::MAX) {
            Ok(Plan::Local { store, missing, .. }) => (vec![store], missing.iter().map(|p| p.0).collect()),
            Ok(Plan::Ship { from, missing, .. }) => {
                (from.iter().map(|(store, _)| *store).collect(), missing.iter().map(|p| p.0).collect())
            }
            _ => (Vec::new(), Vec::new()),
        }
    }

    #[test]
    fn stores_are_asked_in_turn() {
        let view = testkit::view(&[]);
        let firsts: Vec<StoreId> = (0..4).map(|turn| Holdings::of(&view, turn).list()[0].store).collect();
        assert_eq!(firsts, [store(1), store(2), store(3), store(1)]);
        assert!(Holdings::of(&ClusterView::default(), 7).list().is_empty());
    }

    #[test]
    fn a_store_that_is_not_ready_for_a_partition_is_passed_over_until_it_is_missing_everywhere() {
        let view = testkit::view(&[]);
        let mut holdings = Holdings::of(&view, 0);
        assert_eq!(plan(&holdings, &view.meta), (vec![store(1)], vec![]));
        holdings.refuse(store(1), &[PartitionId(2)]);
        assert_eq!(plan(&holdings, &view.meta), (vec![store(2)], vec![]));
        holdings.refuse(store(2), &[PartitionId(2)]);
        holdings.refuse(store(3), &[PartitionId(2)]);
        assert_eq!(plan(&holdings, &view.meta), (vec![store(1)], vec![2]));
    }

    #[test]
    fn a_store_whose_connection_broke_holds_nothing_and_every_refusal_shrinks_the_holdings() {
        let view = testkit::view(&[]);
        let mut holdings = Holdings::of(&view, 0);
        holdings.refuse(store(1), &[]);
        assert!(holdings.list()[0].partitions.is_empty());
        holdings.refuse(store(2), &[PartitionId(99)]);
        assert!(holdings.list()[1].partitions.is_empty(), "a refusal of what it was not asked ends it too");
    }

    #[test]
    fn a_store_that_is_away_is_not_asked() {
        let view = testkit::view(&[1]);
        assert_eq!(plan(&Holdings::of(&view, 0), &view.meta), (vec![store(2)], vec![]));
    }
}
