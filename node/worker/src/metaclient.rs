//! Commands to the meta group from wherever its leader is not.

use std::time::Duration;

use raftduck_model::StoreId;
use raftduck_model::meta::MetaCommand;
use raftduck_wire::proto::store::{MetaRequest, meta_response};
use tokio::time::{Instant, sleep, timeout};

use crate::directory::Directory;
use crate::metamachine::{Outcome, encode_command};

const ATTEMPT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

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
