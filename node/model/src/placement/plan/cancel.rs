//! Changes that are under way and not wanted any more.

use crate::ids::GroupId;
use crate::meta::{Change, MetaCommand, Replica};
use crate::placement::plan::Planner;

impl Planner<'_> {
    /// Counts what it cancels as undone; the target stays taken, for it may be receiving yet.
    pub(super) fn cancel_pointless(&mut self) {
        for id in self.meta.groups() {
            let Some((voters, Some(change))) = self.meta.group(id) else { continue };
            if change.cancelled || !self.is_pointless(id, voters, change) {
                continue;
            }
            change.add.iter().for_each(|add| self.count(id, add.store, -1));
            let going = voters.iter().filter(|voter| Some(voter.id) == change.remove);
            going.for_each(|voter| self.count(id, voter.store, 1));
            self.commands.push(MetaCommand::CancelChange { group: id });
        }
    }

    /// Whether no step of the plan would begin this change on the group as it was.
    ///
    /// So a change that was cancelled is not begun again for the same reason. A target that is only
    /// out of reach or full by now is no reason: it comes back, or it is gone some day.
    fn is_pointless(&self, group: GroupId, voters: &[Replica], change: Change) -> bool {
        if change.add.is_some_and(|add| self.stores.is_leaving(add.store)) {
            return true;
        }
        let copies = self.copies(group, voters);
        let going = voters.iter().find(|voter| Some(voter.id) == change.remove);
        match (change.add, going) {
            (Some(_), None) => voters.len() >= copies,
            (None, Some(_)) => voters.len() <= copies,
            (Some(add), Some(going)) => {
                !self.stores.is_leaving(going.store) && !self.improves(group, voters, add, *going)
            }
            (None, None) => true,
        }
    }

    /// Whether the move parts neighbours or, counted as done, does not leave the old store with
    /// fewer replicas than the new one: then it had two more at least without the move.
    fn improves(&self, group: GroupId, voters: &[Replica], add: Replica, going: Replica) -> bool {
        let staying = self.stores.staying(voters, Some(going.id));
        let before = self.stores.place(going.store).clash(&staying);
        let after = self.stores.place(add.store).clash(&staying);
        let balances = group != GroupId::META && self.load(going.store) >= self.load(add.store);
        after < before || (after == before && balances)
    }
}
