//! Processes that end: by their own hand when the disk fails, by a kill at any moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};

use common::{FOLDER, SMALL, append, entry, log_id};
use raftduck_model::GroupId;
use raftduck_wal::testing::MemDisk;
use raftduck_wal::{Options, RealDisk, Wal, abort_process};

const ROLE: &str = "RAFTDUCK_TEST_ROLE";
const PLACE: &str = "RAFTDUCK_TEST_FOLDER";
const GROUPS: u32 = 6;
/// Few entries per segment, so that most kills come near the making or the end of one.
const TINY: Options = Options { segment_bytes: 32 << 10, batch_bytes: 8 << 10, ..SMALL };

/// Not a test: what the tests below start as a process of its own.
#[test]
fn child() {
    match std::env::var(ROLE).as_deref() {
        Ok("failing sync") => lose_the_disk(),
        Ok("writer") => write_for_ever(Path::new(&std::env::var(PLACE).unwrap())),
        _ => {}
    }
}

fn start(role: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .envs([(ROLE, role), (PLACE, folder.to_str().unwrap())])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn say(line: &str) {
    // One write: a kill leaves whole lines only.
    std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

fn lose_the_disk() {
    let disk = MemDisk::new();
    let wal = Wal::open(Arc::new(disk.clone()), Path::new(FOLDER), SMALL, abort_process()).unwrap();
    append(&wal.group(GroupId(1)), vec![entry(1, 1, "one")]);
    say("ack 1");
    disk.fail_sync(0);
    wal.group(GroupId(1)).append(vec![entry(1, 2, "two")], Box::new(|| say("ack 2")));
    let (never, waits) = mpsc::channel::<()>();
    let _ = waits.recv();
    drop(never);
}

#[test]
fn a_failed_sync_ends_the_process_and_acknowledges_nothing_more() {
    let output = start("failing sync", Path::new("")).wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(6), "it aborts: {:?}", output.status);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("ack 1") && !said.contains("ack 2"), "{said}");
}

fn payload(group: u32, index: u64) -> Vec<u8> {
    vec![(u64::from(group) * 31 + index) as u8; (index as usize * 97 + group as usize) % 4000]
}

/// Appends to all groups, purges now and then, and says what is durable.
fn write_for_ever(folder: &Path) {
    let wal = Wal::open(Arc::new(RealDisk), folder, TINY, abort_process()).unwrap();
    let (sender, durable) = mpsc::sync_channel(0);
    std::thread::scope(|scope| {
        for group in 1..=GROUPS {
            let (log, sender) = (wal.group(GroupId(group)), sender.clone());
            scope.spawn(move || {
                let first = log.state().last.map_or(1, |last| last.index + 1);
                for index in first.. {
                    let (done, synced) = common::done();
                    log.append(vec![entry(1, index, payload(group, index))], done);
                    if index % 16 == 0 {
                        log.save_vote(index.to_le_bytes().to_vec().into(), Box::new(|| {}));
                        log.purge(log_id(1, index - 10));
                    }
                    synced.recv().unwrap();
                    sender.send(format!("ack {group} {index}")).unwrap();
                }
            });
        }
        durable.iter().for_each(|line| say(&line));
    });
}

#[test]
fn whatever_a_killed_process_acknowledged_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<u32, u64> = BTreeMap::new();
    for round in 1..=12_usize {
        let mut child = start("writer", folder.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut note = |line: String| {
            let mut words = line.strip_prefix("ack ")?.split(' ').map(|word| word.parse::<u64>().unwrap());
            let (group, index) = (words.next()? as u32, words.next()?);
            acknowledged.insert(group, index);
            Some(())
        };
        assert_eq!(lines.by_ref().filter_map(&mut note).take(round * 29).count(), round * 29, "the child ended");
        child.kill().unwrap();
        child.wait().unwrap();
        lines.filter_map(&mut note).for_each(drop);

        let wal = Wal::open(Arc::new(RealDisk), folder.path(), TINY, abort_process()).unwrap();
        for (group, index) in &acknowledged {
            let log = wal.group(GroupId(*group));
            let state = log.state();
            let last = state.last.unwrap().index;
            // One more may have been under way, and one on its way to standard output.
            assert!((*index..=index + 2).contains(&last), "group {group}: {index} acknowledged, {last} found");
            let first = state.purged.map_or(1, |purged| purged.index + 1);
            let entries = log.read(0, u64::MAX, usize::MAX).unwrap();
            let expected: Vec<_> = (first..=last).map(|index| entry(1, index, payload(*group, index))).collect();
            assert!(entries == expected, "group {group} differs");
            let voted = state.vote.map_or(0, |vote| u64::from_le_bytes(vote.as_ref().try_into().unwrap()));
            assert!(voted >= index.saturating_sub(1) / 16 * 16, "group {group}: vote {voted} of {index}");
        }
        assert!(acknowledged.len() as u32 == GROUPS || round == 1);
        wal.close();
    }
}
