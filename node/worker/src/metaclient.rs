//! Commands to the meta group, wherever its leader is.

use std::time::Duration;

use raftduck_model::meta::MetaCommand;
use raftduck_model::{GroupId, StoreId};
use raftduck_wire::proto::store::{MetaRequest, meta_response};
use tokio::time::{Instant, sleep, timeout};

use crate::directory::Directory;
use crate::member::Member;
use crate::metamachine::{Outcome, decode_outcome, encode_command};

const ATTEMPT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

impl Member {
    /// A command to the meta group, through this store's replica of it.
    ///
    /// # Errors
    /// The leader to ask instead, where it is known.
    pub async fn meta_here(&self, command: &MetaCommand) -> Result<Outcome, Option<StoreId>> {
        let hosted = self.group(GroupId::META).ok_or(None)?;
        let bytes = encode_command(command).map_err(|_| None)?;
        let not_here = || hosted.leader_store();
        if !hosted.is_ready() {
            return Err(not_here());
        }
        let reply = hosted.group.propose(bytes).applied().await.map_err(|_| not_here())?;
        decode_outcome(&reply).map_err(|_| None)
    }

    /// A command to the meta group, wherever its leader is.
    ///
    /// # Errors
    /// Where no leader answered before `deadline`.
    pub async fn meta_anywhere(&self, command: &MetaCommand, deadline: Instant) -> Result<Outcome, NoMetaLeader> {
        match self.meta_here(command).await {
            Ok(outcome) => Ok(outcome),
            Err(_) => send(&self.directory, command, deadline).await,
        }
    }
}

/// Sends `command` to the meta group's leader, wherever it is: tried at every known store in turn,
/// following hints. Every command may be applied twice, so a lost answer is no harm.
///
/// # Errors
/// Where no leader answered before `deadline`: whether it was applied is unknown.
pub async fn send(directory: &Directory, command: &MetaCommand, deadline: Instant) -> Result<Outcome, NoMetaLeader> {
    let Ok(bytes) = encode_command(command) else { return Err(NoMetaLeader) };
    let mut hint: Option<StoreId> = None;
    while Instant::now() < deadline {
        for store in hint.take().into_iter().chain(directory.stores()) {
            match attempt(directory, store, bytes.clone()).await {
                Answer::Outcome(outcome) => return Ok(outcome),
                Answer::Leader(leader) if leader != store => {
                    hint = Some(leader);
                    break;
                }
                Answer::Leader(_) | Answer::Nothing => {}
            }
        }
        sleep(PAUSE).await;
    }
    Err(NoMetaLeader)
}

/// The meta group did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the meta group has no leader that answers: a majority of its stores must be up")]
pub struct NoMetaLeader;

enum Answer {
    Outcome(Outcome),
    Leader(StoreId),
    Nothing,
}

async fn attempt(directory: &Directory, store: StoreId, command: bytes::Bytes) -> Answer {
    let Ok(mut client) = directory.client(store) else { return Answer::Nothing };
    let Ok(Ok(response)) = timeout(ATTEMPT, client.meta(MetaRequest { command })).await else { return Answer::Nothing };
    match response.into_inner().outcome {
        Some(meta_response::Outcome::Reply(bytes)) => {
            serde_json::from_slice(&bytes).map_or(Answer::Nothing, |reply| Answer::Outcome(Ok(reply)))
        }
        Some(meta_response::Outcome::Error(bytes)) => {
            serde_json::from_slice(&bytes).map_or(Answer::Nothing, |error| Answer::Outcome(Err(error)))
        }
        Some(meta_response::Outcome::NotLeader(hint)) => {
            hint.leader_store.parse().map_or(Answer::Nothing, Answer::Leader)
        }
        None => Answer::Nothing,
    }
}
