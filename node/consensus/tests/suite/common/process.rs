//! Stores as processes of their own, which can be killed and frozen. Each runs its share of a load
//! and says on standard output what became of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use raftduck_consensus::{AddressBook, Group, Host, HostConfig, ProposeError, Role, Timing};
use raftduck_model::{GroupId, StoreId};
use raftduck_wal::{Options, RealDisk, Wal, abort_process};
use raftduck_wire::credential::Credential;
use tokio::net::TcpListener;

use super::cluster::{PATIENCE, TOKEN, cluster_id, patient, replica, serve, store};
use super::machine::MemoryMachine;

const STORE: &str = "RAFTDUCK_TEST_STORE";
/// A folder, a number of groups, clients per group on each store, bytes per command, and "patient"
/// or the usual timing.
const PLACE: &str = "RAFTDUCK_TEST_PLACE";

/// What all stores are started with.
#[derive(Clone)]
pub struct Plan {
    pub folder: PathBuf,
    pub groups: u32,
    pub clients: u32,
    pub bytes: usize,
    pub patient: bool,
}

/// What a store said, and when it was heard.
#[derive(Clone, Debug)]
pub struct Said {
    pub at: Instant,
    pub store: usize,
    pub words: Vec<String>,
}

impl Said {
    pub fn is(&self, first: &str, group: u32) -> bool {
        self.words[0] == first && self.words[1] == group.to_string()
    }

    pub fn number(&self, word: usize) -> u64 {
        self.words[word].parse().unwrap()
    }
}

/// Everything that was said by anybody, in the order it was heard.
#[derive(Default)]
pub struct Ear {
    said: Mutex<Vec<Said>>,
    more: Condvar,
}

impl Ear {
    /// How much was said so far.
    pub fn now(&self) -> usize {
        self.said.lock().len()
    }

    pub fn since(&self, from: usize) -> Vec<Said> {
        self.said.lock()[from..].to_vec()
    }

    /// Waits until what was said since `from` is enough.
    pub fn until(&self, what: &str, from: usize, enough: impl Fn(&[Said]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut said = self.said.lock();
        while !enough(&said[from..]) {
            let late = self.more.wait_until(&mut said, deadline).timed_out();
            assert!(!late, "not in time: {what}: {:#?}", said.iter().rev().take(30).collect::<Vec<_>>());
        }
    }
}

/// A running store.
pub struct Store {
    pub number: usize,
    child: Child,
}

impl Store {
    pub fn start(number: usize, plan: &Plan, arguments: &[&str], ear: &Arc<Ear>) -> Self {
        let Plan { folder, groups, clients, bytes, patient } = plan;
        let timing = if *patient { "patient" } else { "usual" };
        let place = format!("{} {groups} {clients} {bytes} {timing}", folder.display());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(arguments)
            .envs([(STORE, number.to_string()), (PLACE, place)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ear = ear.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(line) = line.strip_prefix("> ") {
                    let words = line.split(' ').map(str::to_owned).collect();
                    ear.said.lock().push(Said { at: Instant::now(), store: number, words });
                    ear.more.notify_all();
                }
            }
        });
        Self { number, child }
    }

    pub fn ask(&mut self, what: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{what}").unwrap();
    }

    /// SIGKILL; returns once the process has gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Gone already, where it was killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a test or bench was started as a store, is one until its standard input ends.
pub fn be_a_store_if_told_so() {
    let (Ok(number), Ok(place)) = (std::env::var(STORE), std::env::var(PLACE)) else { return };
    let words: Vec<&str> = place.split(' ').collect();
    let plan = Plan {
        folder: words[0].into(),
        groups: words[1].parse().unwrap(),
        clients: words[2].parse().unwrap(),
        bytes: words[3].parse().unwrap(),
        patient: words[4] == "patient",
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(be(number.parse().unwrap(), plan));
    std::process::exit(0);
}

fn say(line: std::fmt::Arguments<'_>) {
    // One write: a kill leaves whole lines only. Nobody may be there to hear it any more.
    let _ = std::io::stdout().write_all(format!("\n> {line}\n").as_bytes());
}

/// Stores write their addresses into files.
struct Files(PathBuf);

impl AddressBook for Files {
    fn address(&self, store: StoreId) -> Option<String> {
        std::fs::read_to_string(self.0.join(format!("address-{store}"))).ok()
    }
}

async fn be(number: usize, plan: Plan) {
    let folder = plan.folder.join(format!("store-{number}"));
    let options = Options { segment_bytes: 8 << 20, ..Options::default() };
    let wal = Wal::open(Arc::new(RealDisk), &folder.join("log"), options, abort_process()).unwrap();
    let config = HostConfig {
        cluster: cluster_id(),
        store: store(number),
        timing: if plan.patient { patient() } else { Timing::default() },
        credential: Credential::new(TOKEN),
        accepts_entries: Arc::new(|| true),
        snapshots: folder.join("incoming"),
    };
    let host = Host::new(config, wal, Arc::new(Files(plan.folder.clone())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    publish(&plan.folder, number, &listener.local_addr().unwrap().to_string());
    tokio::spawn(serve(host.clone(), listener));
    let paused = Arc::new(AtomicBool::new(false));
    let mut groups = BTreeMap::new();
    for id in 1..=plan.groups {
        let machine = Arc::new(MemoryMachine::new(&folder.join(format!("machine-{id}"))));
        machine.remembers.store(plan.patient, Ordering::Relaxed);
        let group = host.open(GroupId(id), replica(GroupId(id), number).id, machine.clone()).await.unwrap();
        if 1 + id as usize % 3 == number {
            // Refused without harm after the first time.
            let _ = group.initialize((1..=3).map(|number| replica(GroupId(id), number)).collect()).await;
        }
        tokio::spawn(tell_roles(group.clone()));
        for client in 0..plan.clients {
            tokio::spawn(write(
                group.clone(),
                format!("{number}.{}.{client}", std::process::id()),
                plan.bytes,
                paused.clone(),
            ));
        }
        groups.insert(id, (group, machine));
    }
    let (sender, mut asked) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    while let Some(line) = asked.recv().await {
        match line.as_str() {
            "pause" => paused.store(true, Ordering::Relaxed),
            "state" => groups.values().for_each(|(group, machine)| {
                let (state, status) = (machine.state(), group.status().borrow().clone());
                let index = state.last.map_or(0, |last| last.index);
                let last = status.last.map_or(0, |last| last.0);
                say(format_args!("state {} {index} {last} {} {}", group.id(), state.commands, state.digest));
            }),
            "dump" => groups.values().for_each(|(group, machine)| {
                let serial = |command: &bytes::Bytes| {
                    String::from_utf8_lossy(command.split(|byte| *byte == b' ').next().unwrap()).into_owned()
                };
                let commands: Vec<_> = machine.commands.lock().iter().map(serial).collect();
                say(format_args!("dump {} {}", group.id(), commands.join(" ")));
            }),
            other => panic!("{other}"),
        }
    }
}

fn publish(folder: &Path, number: usize, address: &str) {
    let file = folder.join(format!("address-{}", store(number)));
    let new = file.with_extension("new");
    std::fs::write(&new, address).unwrap();
    std::fs::rename(new, file).unwrap();
}

async fn tell_roles(group: Group) {
    let mut status = group.status();
    let mut before = None;
    loop {
        let (role, term) = {
            let status = status.borrow_and_update();
            (status.role, status.term)
        };
        if before != Some((role, term)) {
            before = Some((role, term));
            say(format_args!("role {} {term} {role:?}", group.id()));
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// Proposes one command after the other wherever this store leads, each with a serial of its own.
async fn write(group: Group, client: String, bytes: usize, paused: Arc<AtomicBool>) {
    let mut status = group.status();
    for number in 0_u64.. {
        if paused.load(Ordering::Relaxed) || status.wait_for(|status| status.role == Role::Leader).await.is_err() {
            return;
        }
        let serial = format!("{client}.{number}");
        let mut command = format!("{serial} ").into_bytes();
        command.resize(bytes.max(command.len()), b'.');
        let mut proposal = group.propose(command);
        match tokio::time::timeout(Duration::from_secs(5), proposal.committed()).await {
            Ok(Ok(_)) => say(format_args!("ack {} {serial}", group.id())),
            Ok(Err(ProposeError::NotLeader { .. })) => {
                say(format_args!("refused {} {serial}", group.id()));
                // A lease that has run out is told at once and without a change of role.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(Err(_)) | Err(_) => say(format_args!("unknown {} {serial}", group.id())),
        }
    }
}

/// The newest word of each store on its group's role.
pub fn roles(said: &[Said], group: u32) -> HashMap<usize, (u64, String)> {
    let roles = said.iter().filter(|said| said.is("role", group));
    roles.map(|said| (said.store, (said.number(2), said.words[3].clone()))).collect()
}
