//! A store that is killed (SIGKILL) while it installs a snapshot has the old state or the new one.

use std::time::Duration;

use crate::support::crash::{self, Victim};
use crate::support::open;
use crate::support::snapshot::{copy_folder, digest, fill};
use raftduck_model::PartitionId;

const ROUNDS: u32 = 16;

/// The child: installs the snapshot that lies in its folder.
#[tokio::test]
async fn child_that_installs() {
    let Some(folder) = crash::folder() else { return };
    let store = open(&folder);
    println!("\nopened");
    store.install(PartitionId(1), &folder.join("incoming")).await.unwrap();
    println!("installed");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_an_install_leaves_the_old_state_or_the_new_one() {
    let (source, base) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let from = open(source.path());
    fill(&from, 1, 16, 0).await;
    let exported = from.export(PartitionId(1)).await.unwrap();
    let new = digest(&from, 1).await;
    let store = open(base.path());
    fill(&store, 1, 3, 7_000_000).await;
    fill(&store, 2, 3, 9_000_000).await;
    let (old, neighbour) = (digest(&store, 1).await, digest(&store, 2).await);
    store.close();
    drop(store);

    let mut whole = None;
    let (mut olds, mut news) = (0, 0);
    for round in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&base.path().join("rows"), &folder.path().join("rows"));
        copy_folder(&exported.folder, &folder.path().join("incoming"));
        let victim = Victim::start("install_crash::child_that_installs", folder.path());
        victim.until("opened");
        // The first tells how long it takes; the others are killed at points spread over that.
        let said = match whole {
            None => {
                whole = Some(victim.until("installed"));
                drop(victim);
                vec!["installed".to_owned()]
            }
            Some(whole) => victim.kill_at("installed", whole * round / (ROUNDS - 1) + Duration::from_millis(1)),
        };
        let path = folder.path().to_owned();
        let store = tokio::task::spawn_blocking(move || open(&path)).await.unwrap();
        let (found, beside) = (digest(&store, 1).await, digest(&store, 2).await);
        assert_eq!(beside, neighbour, "round {round}");
        match said.iter().any(|line| line == "installed") {
            true => assert_eq!(found, new, "round {round}: it was reported as installed"),
            false => assert!(found == new || found == old, "round {round}: {found}\nis neither {old}\nnor {new}"),
        }
        (olds, news) = (olds + u32::from(found == old), news + u32::from(found == new));
        store.close();
    }
    println!("an install takes {whole:?}; {olds} kills left the old state, {news} the new one");
    assert!(olds > 2 && news > 0, "{olds} old, {news} new");
}
