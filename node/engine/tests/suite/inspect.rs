//! What is read of a store's file without opening the store.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::*;
use raftduck_engine::{Inspected, Store, StoreOptions, inspect};
use raftduck_model::{CommandBody, PartitionId};

/// The store's folder as a kill at this moment leaves it.
fn killed(folder: &Path, name: &str) -> PathBuf {
    let copy = folder.join(name);
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(folder.join("rows")).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    copy
}

fn holds_nothing(found: &Inspected) -> bool {
    found.applied.is_empty() && found.schemas.is_empty()
}

#[tokio::test]
async fn the_last_checkpoint_is_read_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    assert!(holds_nothing(&inspect(&folder.path().join("rows")).unwrap()), "there is no file yet");
    let when_asked = StoreOptions { checkpoint_age: Duration::from_secs(3_600), ..options(folder.path()) };
    let store = Store::open(&folder.path().join("rows"), when_asked).unwrap();
    let table = events();
    apply(&store, 3, 1, command(1, CommandBody::SetSchema(table.clone()))).await;
    let early = killed(folder.path(), "early");
    assert!(early.join("store.duckdb").exists());
    assert!(holds_nothing(&inspect(&early).unwrap()), "killed before its first checkpoint");

    store.checkpoint().await.unwrap();
    apply(&store, 3, 2, command(2, append(&table, vec![part(1, &rows(0, 10))]))).await;
    let late = killed(folder.path(), "late");
    let before = fs::read(late.join("store.duckdb")).unwrap();
    let found = inspect(&late).unwrap();
    assert_eq!(found.applied.keys().copied().collect::<Vec<_>>(), [PartitionId(3)]);
    assert_eq!(found.applied[&PartitionId(3)].last, Some(id(1)), "the second entry is in the log alone");
    assert_eq!(found.schemas, [(PartitionId(3), table)]);
    assert!(fs::read(late.join("store.duckdb")).unwrap() == before);
    fs::write(late.join("store.duckdb"), b"").unwrap();
    assert!(holds_nothing(&inspect(&late).unwrap()), "made, and not written yet");
}
