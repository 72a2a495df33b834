//! `raftduck store`: empties stores, gives lost ones up, and says whether one may go.

use reqwest::Method;

use crate::admin;
use crate::cli::{StoreCommand, StoreOptions};

/// The command `store`.
///
/// # Errors
/// What the worker said, or that it cannot be reached.
pub async fn run(command: StoreCommand) -> anyhow::Result<()> {
    match command {
        StoreCommand::Drain(options) => {
            call(&options, Method::PUT, "drain").await?;
            println!("{} is being emptied: `raftduck status` shows how far it is", options.store);
        }
        StoreCommand::Keep(options) => {
            call(&options, Method::DELETE, "drain").await?;
            println!("{} stays", options.store);
        }
        StoreCommand::Retire(options) => {
            call(&options, Method::POST, "retire").await?;
            println!("{} is given up: what it held is made anew on others", options.store);
        }
        StoreCommand::SafeToRemove(options) => {
            let reply: serde_json::Value = call(&options, Method::GET, "safe-to-remove").await?.json().await?;
            let groups = reply.get("groups").and_then(serde_json::Value::as_u64).unwrap_or_default();
            anyhow::ensure!(groups == 0, "not yet: {groups} groups have a copy on {}", options.store);
            println!("yes: no group has a copy on {}", options.store);
        }
    }
    Ok(())
}

async fn call(options: &StoreOptions, method: Method, action: &str) -> anyhow::Result<reqwest::Response> {
    admin::call(&options.admin, method, &format!("stores/{}/{action}", options.store), None).await
}
