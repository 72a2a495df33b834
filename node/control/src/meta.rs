//! Changes of the catalog: one command to the meta group's leader, wherever it is, and then until this control has
//! heard of it.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use raftduck_model::meta::{Meta, MetaCommand, MetaError, MetaReply};
use raftduck_model::{GroupId, StoreId, TableId};
use raftduck_wire::proto::store::{MetaRequest, meta_response};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::control::Control;

/// One attempt: a commit on a quorum and its apply, with room for a sync that waits behind a checkpoint.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Between two rounds over the stores.
const PAUSE: Duration = Duration::from_millis(50);

/// Why the catalog was not changed, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The meta group says no.
    #[error(transparent)]
    Refused(MetaError),
    /// Nobody took the command before the deadline: nothing was changed.
    #[error("the catalog's group has no leader that answers: a majority of its stores must be up")]
    NoLeader,
    /// The time was up before anybody said what came of it.
    #[error("the catalog's group did not say in time whether the change was made")]
    Unknown,
    /// The command cannot be written down.
    #[error("the command cannot be encoded")]
    Encode(#[source] serde_json::Error),
}

enum Answer {
    Outcome(Result<MetaReply, MetaError>),
    Leader(Option<StoreId>),
    /// Nothing was sent.
    Unsent,
    /// It may have arrived.
    Lost,
}

/// Changes the catalog, and returns when this control's view has the change too, or the deadline has passed since.
///
/// # Errors
/// As [`ChangeError`] says. A command whose first answer was lost and that is found done is done: its repetition asks
/// whether what it wanted is there.
pub async fn change(control: &Control, command: MetaCommand, deadline: Instant) -> Result<MetaReply, ChangeError> {
    let before = control.view().meta.clone();
    let reply = send(control, &command, deadline).await?;
    let mut view = control.watch();
    let seen = view.wait_for(|view| has(&view.meta, &before, &command, &reply));
    // The change is made, whether or not we have heard of it.
    let _ = timeout_at(deadline, seen).await;
    Ok(reply)
}

/// Whether the view's catalog has a change, or is beyond it.
fn has(now: &Meta, before: &Meta, command: &MetaCommand, reply: &MetaReply) -> bool {
    match (reply, command) {
        (MetaReply::Table { table }, _) => match now.tables.get(&table.id) {
            Some(known) => known.version >= table.version,
            // Made and dropped since: the id was given away.
            None => now.next_table > table.id,
        },
        (MetaReply::Done, MetaCommand::DropTable { name, .. }) => {
            let dropped: Option<TableId> = before.table(name).map(|table| table.id);
            dropped.is_none_or(|id| !now.tables.contains_key(&id))
        }
        (MetaReply::Done | MetaReply::Groups { .. }, _) => true,
    }
}

async fn send(control: &Control, command: &MetaCommand, deadline: Instant) -> Result<MetaReply, ChangeError> {
    let mut lost = false;
    let mut hint = None;
    let mut silent: HashMap<StoreId, Instant> = HashMap::new();
    while Instant::now() < deadline {
        // Once an answer is lost the command may be in: ask for the same only if it is not there.
        let sent = if lost { repeated(command) } else { command.clone() };
        let bytes = serde_json::to_vec(&sent).map_err(ChangeError::Encode)?;
        for store in candidates(control, hint.take(), &silent) {
            match attempt(control, store, bytes.clone().into(), deadline).await {
                Answer::Outcome(outcome) => return judge(command, outcome.map_err(ChangeError::Refused)?, lost),
                Answer::Leader(leader) => {
                    // A leader that lost its office while the command was under way says the same.
                    lost |= control.view().leader(GroupId::META).is_some_and(|leader| leader.store == store);
                    hint = leader.filter(|leader| *leader != store && !silenced(&silent, *leader));
                    if hint.is_some() {
                        break;
                    }
                }
                Answer::Unsent => {
                    silent.insert(store, Instant::now() + ATTEMPT);
                }
                Answer::Lost => {
                    silent.insert(store, Instant::now() + ATTEMPT);
                    lost = true;
                    break;
                }
            }
        }
        if hint.is_none() {
            sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
    }
    Err(if lost { ChangeError::Unknown } else { ChangeError::NoLeader })
}

/// The command, worded so that doing it twice is no error.
fn repeated(command: &MetaCommand) -> MetaCommand {
    let mut command = command.clone();
    match &mut command {
        MetaCommand::CreateTable { if_not_exists, .. } | MetaCommand::AddColumn { if_not_exists, .. } => {
            *if_not_exists = true;
        }
        MetaCommand::DropTable { if_exists, .. } => *if_exists = true,
        // Doing any other twice is no error as it is.
        _ => {}
    }
    command
}

/// What a repetition found may be somebody else's.
fn judge(command: &MetaCommand, reply: MetaReply, repetition: bool) -> Result<MetaReply, ChangeError> {
    let MetaReply::Table { table } = &reply else { return Ok(reply) };
    match command {
        MetaCommand::CreateTable { name, columns, key, if_not_exists: false }
            if repetition && (table.columns.get(..columns.len()) != Some(columns) || table.key != *key) =>
        {
            Err(ChangeError::Refused(MetaError::TableExists { name: name.clone() }))
        }
        MetaCommand::AddColumn { table: name, column, if_not_exists: false }
            if repetition && !table.columns.contains(column) =>
        {
            let error = MetaError::ColumnExists { table: name.clone(), column: column.name.clone() };
            Err(ChangeError::Refused(error))
        }
        _ => Ok(reply),
    }
}

fn silenced(silent: &HashMap<StoreId, Instant>, store: StoreId) -> bool {
    silent.get(&store).is_some_and(|until| *until > Instant::now())
}

/// Whom to ask, in order: who was named, who leads as far as we know, the group's others. Those that just did not answer
/// come last.
fn candidates(control: &Control, hint: Option<StoreId>, silent: &HashMap<StoreId, Instant>) -> Vec<StoreId> {
    let view = control.view();
    let leader = view.leader(GroupId::META).map(|leader| leader.store);
    let mut all: Vec<StoreId> = Vec::new();
    for store in hint.into_iter().chain(leader).chain(view.meta.replicas.iter().map(|replica| replica.store)) {
        if !all.contains(&store) {
            all.push(store);
        }
    }
    all.sort_by_key(|store| silenced(silent, *store));
    all
}

async fn attempt(control: &Control, store: StoreId, command: bytes::Bytes, deadline: Instant) -> Answer {
    let Some(mut client) = control.stores.client(store) else { return Answer::Unsent };
    let began = Instant::now();
    let allowed = ATTEMPT.min(deadline.saturating_duration_since(began));
    let answered = timeout(allowed, client.meta(MetaRequest { command })).await;
    let outcome = match &answered {
        Ok(Ok(_)) => "ok",
        Ok(Err(_)) => "broken",
        Err(_) => "timeout",
    };
    control.metrics.store_call("meta", outcome, began.elapsed());
    let response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(status)) if status.source().is_some_and(never_connected) => return Answer::Unsent,
        Ok(Err(_)) | Err(_) => return Answer::Lost,
    };
    match response.into_inner().outcome {
        Some(meta_response::Outcome::Reply(bytes)) => {
            serde_json::from_slice(&bytes).map_or(Answer::Lost, |reply| Answer::Outcome(Ok(reply)))
        }
        Some(meta_response::Outcome::Error(bytes)) => {
            serde_json::from_slice(&bytes).map_or(Answer::Lost, |error| Answer::Outcome(Err(error)))
        }
        Some(meta_response::Outcome::NotLeader(hint)) => Answer::Leader(hint.leader_store.parse().ok()),
        None => Answer::Lost,
    }
}

/// Whether a call failed before it could be sent.
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    error.is::<tonic::ConnectError>() || error.source().is_some_and(never_connected)
}
