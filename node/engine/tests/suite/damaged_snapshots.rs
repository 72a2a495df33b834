//! Snapshots that are not what their store wrote.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::snapshot::{ONE, copy, files, source, state};
use crate::support::*;
use raftduck_engine::InstallError;
use raftduck_model::{CommandBody, PartitionId};
use xxhash_rust::xxh3::xxh3_64;

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_changes_nothing() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, _) = source(from.path()).await;
    let exported = one.export(ONE).await.unwrap();
    let other = open(to.path());
    apply(&other, 1, 1, command(1, CommandBody::SetSchema(events()))).await;
    apply(&other, 1, 2, command(1, append(&events(), vec![part(50, &rows(70_000, 20))]))).await;
    let before = state(&other, 1).await;

    let mut cases: Vec<(String, PathBuf)> = Vec::new();
    let mut case = |name: &str, damage: &dyn Fn(&Path)| {
        let folder = copy(&exported, &to.path().join(format!("case{}", cases.len())));
        damage(&folder);
        cases.push((name.to_owned(), folder));
    };
    for name in files(&exported.folder) {
        let length = fs::metadata(exported.folder.join(&name)).unwrap().len() as usize;
        for place in [0, length / 2, length - 1] {
            case(&format!("{name} with a flipped bit at {place}"), &|folder| {
                let mut bytes = fs::read(folder.join(&name)).unwrap();
                bytes[place] ^= 1;
                fs::write(folder.join(&name), bytes).unwrap();
            });
            case(&format!("{name} cut to {place} bytes"), &|folder| {
                let file = fs::File::options().write(true).open(folder.join(&name)).unwrap();
                file.set_len(place as u64).unwrap();
            });
        }
        case(&format!("no {name}"), &|folder| fs::remove_file(folder.join(&name)).unwrap());
    }
    // A manifest that is whole and wrong: its last file has a row more than it has.
    case("a wrong count of rows", &|folder| {
        let mut bytes = fs::read(folder.join("manifest")).unwrap();
        let end = bytes.len() - 8;
        bytes[end - 24] += 1;
        let hash = xxh3_64(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&hash);
        fs::write(folder.join("manifest"), bytes).unwrap();
    });
    // And one whose files are of each other's contents.
    case("keys in the place of rows", &|folder| {
        let mut bytes = fs::read(folder.join("manifest")).unwrap();
        let end = bytes.len() - 8;
        let entries = end - 3 * 33;
        assert_eq!(bytes[entries..entries + 5], [1, 0, 0, 0, 0], "the keys are the first file");
        bytes[entries..entries + 5].copy_from_slice(&[2, 3, 0, 0, 0]);
        let number = entries + 5;
        bytes[number] = 9;
        fs::rename(folder.join("keys-0.parquet"), folder.join("t3-9.parquet")).unwrap();
        let hash = xxh3_64(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&hash);
        fs::write(folder.join("manifest"), bytes).unwrap();
    });
    assert_eq!(cases.len(), 4 * 7 + 2);
    for (name, folder) in cases {
        let error = other.install(ONE, &folder).await.err();
        assert!(error.is_some(), "{name} was installed");
        assert!(!matches!(error, Some(InstallError::Halted(_))), "{name}: {error:?}");
        assert_eq!(state(&other, 1).await, before, "{name}");
    }
    let wrong = other.install(PartitionId(2), &exported.folder).await.unwrap_err();
    assert!(matches!(wrong, InstallError::OtherPartition { .. }), "{wrong}");
    assert_eq!(other.partition(PartitionId(2)).applied().last, None);

    other.close();
    drop(other);
    let other = open(to.path());
    assert_eq!(state(&other, 1).await, before);
    other.install(ONE, &exported.folder).await.unwrap();
    assert_eq!(state(&other, 1).await, state(&one, 1).await);
}
