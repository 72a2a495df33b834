//! Changes that are under way and not wanted any more.

use crate::ids::GroupId;
use crate::meta::{MetaCommand, Replica};
use crate::placement::plan::Planner;

/// A change that was begun and not cancelled.
struct UnderWay<'a> {
    group: GroupId,
    voters: &'a [Replica],
    add: Option<Replica>,
    going: Option<Replica>,
}

impl Planner<'_> {
    /// Counts what it cancels as undone; the target stays taken, for it may be receiving yet.
    ///
    /// Of several moves from one store that has too few replicas now, the one to the fullest store
    /// goes first: undoing it may be enough, and undoing more would have to be redone.
    pub(super) fn cancel_pointless(&mut self) {
        let mut under_way: Vec<UnderWay<'_>> = Vec::new();
        for group in self.meta.groups() {
            match self.meta.group(group) {
                Some((voters, Some(change))) if !change.cancelled => {
                    let going = voters.iter().copied().find(|voter| Some(voter.id) == change.remove);
                    under_way.push(UnderWay { group, voters, add: change.add, going });
                }
                _ => {}
            }
        }
        loop {
            let pointless = under_way.iter().enumerate().filter(|(_, change)| self.is_pointless(change));
            let Some((at, _)) = pointless.max_by_key(|(_, change)| self.excess(change)) else { break };
            let UnderWay { group, add, going, .. } = under_way.swap_remove(at);
            add.iter().for_each(|add| self.count(group, add.store, -1));
            going.iter().for_each(|going| self.count(group, going.store, 1));
            self.commands.push(MetaCommand::CancelChange { group });
        }
    }

    /// How much fuller than the old store the new one is, with the change counted as done.
    fn excess(&self, change: &UnderWay<'_>) -> isize {
        let load = |replica: Replica| self.load(replica.store) as isize;
        change.add.map_or(0, load) - change.going.map_or(0, load)
    }

    /// Whether no step of the plan would begin this change on the group as it was.
    ///
    /// So a change that was cancelled is not begun again for the same reason. A target that is only
    /// out of reach or full by now is no reason: it comes back, or it is gone some day.
    fn is_pointless(&self, change: &UnderWay<'_>) -> bool {
        let UnderWay { group, voters, add, going } = *change;
        if add.is_some_and(|add| self.stores.is_leaving(add.store)) {
            return true;
        }
        let copies = self.copies(group, voters);
        match (add, going) {
            (Some(_), None) => voters.len() >= copies,
            (None, Some(_)) => voters.len() <= copies,
            (Some(add), Some(going)) => !self.stores.is_leaving(going.store) && !self.improves(change, add, going),
            (None, None) => true,
        }
    }

    /// Whether the move parts neighbours or, counted as done, does not leave the old store with
    /// fewer replicas than the new one: then it had two more at least without the move.
    fn improves(&self, change: &UnderWay<'_>, add: Replica, going: Replica) -> bool {
        let staying = self.stores.staying(change.voters, Some(going.id));
        let before = self.stores.place(going.store).clash(&staying);
        let after = self.stores.place(add.store).clash(&staying);
        let balances = change.group != GroupId::META && self.excess(change) <= 0;
        after < before || (after == before && balances)
    }
}
