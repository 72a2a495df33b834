//! A store that is killed (SIGKILL) while it removes a partition has all of it or nothing.

use std::time::Duration;

use crate::support::crash::{self, Victim};
use crate::support::snapshot::{ONE, copy_folder, digest, fill};
use crate::support::*;
use raftduck_engine::Store;
use raftduck_model::{CommandBody, TableId};

const ROUNDS: u32 = 16;

/// The child: removes a partition.
#[tokio::test]
async fn child_that_removes() {
    let Some(folder) = crash::folder() else { return };
    let store = open(&folder);
    println!("\nopened");
    store.remove(ONE).await.unwrap();
    println!("removed");
    std::future::pending::<()>().await;
}

/// The partition, with a table that it alone knows.
async fn found(store: &Store) -> String {
    let alone = number(store, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 't7'", &[]).await;
    format!("{} and {alone} table of its own, of {:?}", digest(store, 1).await, store.tables(ONE))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_a_removal_leaves_all_of_the_partition_or_nothing() {
    let base = tempfile::tempdir().unwrap();
    let store = open(base.path());
    fill(&store, 2, 8, 9_000_000).await;
    let neighbour = digest(&store, 2).await;
    // Nothing of the partition is what a store has that never heard of it.
    let none = found(&store).await;
    fill(&store, 1, 16, 0).await;
    let mut alone = events();
    (alone.id, alone.name) = (TableId(7), "alone".into());
    apply(&store, 1, 18, command(18, CommandBody::SetSchema(alone.clone()))).await;
    apply(&store, 1, 19, command(19, append(&alone, vec![part(1, &rows(0, 50_000))]))).await;
    let all = found(&store).await;
    store.close();
    drop(store);

    let mut whole = None;
    let (mut alls, mut nones) = (0, 0);
    for round in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&base.path().join("rows"), &folder.path().join("rows"));
        let victim = Victim::start("removal_crash::child_that_removes", folder.path());
        victim.until("opened");
        // The first tells how long it takes; the others are killed at points spread over that.
        let said = match whole {
            None => {
                whole = Some(victim.until("removed"));
                drop(victim);
                vec!["removed".to_owned()]
            }
            Some(whole) => victim.kill_at("removed", whole * round / (ROUNDS - 1) + Duration::from_millis(1)),
        };
        let path = folder.path().to_owned();
        let store = tokio::task::spawn_blocking(move || open(&path)).await.unwrap();
        let found = found(&store).await;
        assert_eq!(digest(&store, 2).await, neighbour, "round {round}");
        match said.iter().any(|line| line == "removed") {
            true => assert_eq!(found, none, "round {round}: it was reported as removed"),
            false => assert!(found == all || found == none, "round {round}: {found}\nis neither {all}\nnor {none}"),
        }
        assert_eq!(store.partitions().contains_key(&ONE), found == all, "whoever opens it sees whether it is there");
        (alls, nones) = (alls + u32::from(found == all), nones + u32::from(found == none));
        store.close();
    }
    println!("a removal takes {whole:?}; {alls} kills left all of it, {nones} nothing");
    assert!(alls > 2 && nones > 0, "{alls} all, {nones} nothing");
}
