//! `raftduck sql` and `raftduck status`.

use std::collections::HashMap;

use comfy_table::{Table, presets};
use raftduck_wire::client::{Client, ClientConfig, ClientError};
use raftduck_wire::http::{ChangeStatus, DdlAnswer, RowsAnswer, SqlAnswer, SqlRequest};
use serde_json::Value;

use crate::cli::{ServerOptions, SqlOptions};
use crate::tables::Text;

fn connect(options: &ServerOptions) -> Result<Client, ClientError> {
    Client::new(&options.url, ClientConfig { token: Some(options.token.clone()), ..ClientConfig::default() })
}

/// The command `sql`.
///
/// # Errors
/// What the server said.
pub async fn sql(options: SqlOptions) -> anyhow::Result<()> {
    let client = connect(&options.server)?;
    let key = uuid::Uuid::now_v7().to_string();
    let reply: Value = client.statement(&SqlRequest::new(options.statement), Some(&key)).await?;
    if let Ok(answer) = serde_json::from_value::<SqlAnswer>(reply.clone()) {
        let head = answer.columns.iter().map(|column| column.name.clone()).collect();
        println!("{}", Text::from_json(head, &answer.rows).table());
        let partial = if answer.is_partial { ", PARTIAL" } else { "" };
        println!("{} rows in {:.1} ms{partial}", answer.row_count, answer.elapsed_ms);
    } else if let Ok(answer) = serde_json::from_value::<RowsAnswer>(reply.clone()) {
        println!("{} rows into {} in {:.1} ms", answer.rows, answer.table, answer.elapsed_ms);
    } else if let Ok(answer) = serde_json::from_value::<DdlAnswer>(reply.clone()) {
        println!("{} in {:.1} ms", answer.done, answer.elapsed_ms);
    } else {
        println!("{reply}");
    }
    Ok(())
}

/// The command `status`.
///
/// # Errors
/// What the server said.
pub async fn status(options: ServerOptions) -> anyhow::Result<()> {
    let cluster = connect(&options)?.cluster().await?;
    match &cluster.cluster {
        Some(id) => println!("cluster {id}, level {}, epoch {}", cluster.level, cluster.epoch),
        None => println!("no cluster yet: run raftduck bootstrap"),
    }
    let behind = cluster.stores.iter().filter(|store| store.level <= cluster.level).count();
    match (behind, cluster.stores.len()) {
        (0, 1..) => {
            println!("every store's release knows level {0}: raftduck finalise ends the upgrade", cluster.level + 1)
        }
        (behind, all) if behind < all => {
            println!("an upgrade is under way: {behind} of {all} stores run the release before")
        }
        _ => {}
    }
    let mut stores = table(["store", "address", "state", "leads", "copies"]);
    for store in &cluster.stores {
        let state = match (store.connected, store.draining, store.groups) {
            (false, _, _) => "AWAY",
            (true, true, 0) => "drained",
            (true, true, _) => "draining",
            (true, false, _) => "up",
        };
        stores.add_row([&store.id, &store.address, state, &store.leads.to_string(), &store.groups.to_string()]);
    }
    println!("{stores}");
    let addresses: HashMap<&str, &str> =
        cluster.stores.iter().map(|store| (store.id.as_str(), store.address.as_str())).collect();
    // A store that was retired has no address any more.
    let place = |store| addresses.get(store).copied().unwrap_or(store);
    let mut partitions = table(["partition", "term", "leader", "copies (applied)", "moving"]);
    for partition in std::iter::once(&cluster.meta).chain(&cluster.partitions) {
        let name = if partition.id == 0 { "meta".to_owned() } else { partition.id.to_string() };
        let replicas = partition.replicas.iter().map(|replica| {
            let applied = replica.applied.map_or_else(|| "?".to_owned(), |applied| applied.to_string());
            format!("{} ({applied})", place(&replica.store))
        });
        let replicas = replicas.collect::<Vec<_>>().join(", ");
        let leader = partition.leader.as_deref().map_or("none", place);
        let moving = partition.change.as_ref().map(|change| moving(change, &place)).unwrap_or_default();
        partitions.add_row([&name, &partition.term.to_string(), leader, &replicas, &moving]);
    }
    println!("{partitions}");
    Ok(())
}

fn moving<'a>(change: &'a ChangeStatus, place: &impl Fn(&'a str) -> &'a str) -> String {
    let back = if change.cancelled { " is taken back" } else { "" };
    match (change.remove.as_deref(), change.add.as_deref()) {
        (Some(from), Some(to)) => format!("{} to {}{back}", place(from), place(to)),
        (None, Some(to)) => format!("one more on {}{back}", place(to)),
        (Some(from), None) => format!("one less on {}{back}", place(from)),
        (None, None) => String::new(),
    }
}

fn table(head: [&str; 5]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(head);
    table
}
