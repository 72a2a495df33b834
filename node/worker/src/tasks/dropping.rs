//! Carries DROP TABLE from the catalog into the partitions: each partition's leader puts it into the
//! partition's log, so that every replica forgets the rows at the same index.

use std::sync::Arc;

use raftduck_model::meta::Meta;
use raftduck_model::{Command, CommandBody, TableId};

use crate::clock;
use crate::hosted::Hosted;
use crate::leadership::Applied;
use crate::member::Member;
use crate::news::News;
use crate::partition::PartitionMachine;

/// Until the process stops.
pub async fn run(member: Arc<Member>) {
    let mut news = News::of(&member);
    loop {
        let now = news.take();
        for hosted in member.hosted() {
            if let Some(partition) = hosted.id().partition().filter(|_| hosted.is_ready()) {
                let machine = PartitionMachine::new(member.engine.clone(), partition);
                drop_gone(&hosted, &machine, &now).await;
            }
        }
        if news.wait(None).await.is_none() {
            return;
        }
    }
}

async fn drop_gone(hosted: &Hosted, machine: &PartitionMachine, meta: &Meta) {
    for table in gone(machine.tables(), meta) {
        let time = clock::advance(machine.time(), clock::now());
        let command = Command { time, body: CommandBody::DropTable(table) };
        // A leader that loses its term here leaves the rest to the next one.
        if let Err(error) = hosted.group.propose(command.encode()).applied().await {
            tracing::debug!(group = %hosted.id(), %table, %error, "a dropped table was not cleared away yet");
            return;
        }
    }
}

/// The partition's tables that the catalog has no more. One the catalog has not reached yet (this
/// store's view of it is behind) is not gone.
fn gone(known: Vec<TableId>, meta: &Meta) -> impl Iterator<Item = TableId> {
    known.into_iter().filter(|table| *table < meta.next_table && !meta.tables.contains_key(table))
}
