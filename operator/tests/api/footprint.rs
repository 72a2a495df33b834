//! What the operator's program costs: its memory beside many objects that are none of its business, and what it writes
//! to the API server.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use raftduck_operator::build::STORE_PORT;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::cluster::{Cluster, namespace, spec};

/// Pods, and as many Secrets.
const STRANGERS: usize = 5000;
const CLUSTERS: u8 = 20;
/// The number of the first; other tests have lower ones.
const FIRST: u8 = 100;
const MOST_BYTES: u64 = 30_000_000;
/// What is measured is a minute, of nothing and of ingest.
const MINUTE: Duration = Duration::from_secs(60);
const MOST_WRITES: usize = 2;
/// As the program calls itself, before its version.
const AGENT: &str = "raftduck-operator/";

/// Makes what other people run in a namespace that the operator looks at too.
async fn make_strangers(client: &Client, namespace: &str) {
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    // No pod is taken without it, and this API server is without the controller that makes it.
    let account = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let env: Vec<Value> =
        (0..12).map(|at| json!({"name": format!("SETTING_{at}"), "value": "a value of some length"})).collect();
    let made = stream::iter(0..STRANGERS).map(async |number| {
        let metadata = json!({"name": format!("stranger-{number}"), "labels": {"app": "stranger"}});
        let pod = json!({"metadata": metadata, "spec": {
            "automountServiceAccountToken": false,
            "containers": [{"name": "it", "image": "somebody/elses:1", "env": env}],
        }});
        let secret = json!({"metadata": metadata, "stringData": {"content": "x".repeat(2048)}});
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    });
    made.buffer_unordered(32).collect::<()>().await;
}

/// The operator's program, until it is dropped.
fn operator(namespace: &str, watched: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_raftduck-operator"))
        .args(["run", "--name=footprint", "--listen=127.0.0.1:0", "--log=warn"])
        .args([format!("--namespace={namespace}"), format!("--watch-namespaces={watched}")])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The most memory that a process has had, in bytes.
fn peak(process: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The clusters, all of them settled, and from then on without their scripted Kubernetes, which asks too much of one
/// API server.
async fn settled_clusters(client: &Client, namespace: &str) -> Vec<Cluster> {
    let settled = stream::iter(0..CLUSTERS).map(async |at| {
        let name = format!("flights-{at:02}");
        let cluster = Cluster::scripted(client.clone(), namespace, &name, FIRST + at, STORE_PORT, spec(3)).await;
        cluster.settles().await;
        cluster.rest();
        cluster
    });
    settled.buffer_unordered(5).collect().await
}

/// What the API server wrote down of every change.
struct Audit(PathBuf);

impl Audit {
    /// The operator's writes since then: how many of which objects, its Lease aside.
    fn writes(&self, since: Timestamp) -> BTreeMap<String, usize> {
        let name = self.0.file_stem().unwrap().to_str().unwrap();
        // What was rotated away lies beside it, with a date in its name.
        let files = fs::read_dir(self.0.parent().unwrap_or(Path::new("."))).unwrap().map(|entry| entry.unwrap());
        let mut writes = BTreeMap::new();
        for file in files.filter(|file| file.file_name().to_str().unwrap().starts_with(name)) {
            let lines = BufReader::new(File::open(file.path()).unwrap()).lines().map(Result::unwrap);
            // One that is being written is seen the next time.
            let records = lines.filter(|line| line.contains(AGENT)).filter_map(|line| serde_json::from_str(&line).ok());
            for record in records.filter(|record: &Value| counts(record, since)) {
                let text = |at| record.pointer(at).and_then(Value::as_str).unwrap_or_default();
                let (resource, name) = (text("/objectRef/resource"), text("/objectRef/name"));
                *writes.entry(format!("{name} {resource} {}", text("/objectRef/subresource"))).or_default() += 1;
            }
        }
        writes
    }
}

fn counts(record: &Value, since: Timestamp) -> bool {
    let text = |at| record.pointer(at).and_then(Value::as_str).unwrap();
    text("/userAgent").starts_with(AGENT)
        && text("/objectRef/resource") != "leases"
        && text("/requestReceivedTimestamp").parse::<Timestamp>().unwrap() >= since
}

/// What of a cluster's state changes while rows come in: leaders, and with them the map's epoch.
async fn ingest(clusters: &[Cluster]) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    let begun = Instant::now();
    for worker in [0, 1, 2].into_iter().cycle().take_while(|_| begun.elapsed() < MINUTE) {
        for cluster in clusters {
            let mut stores = cluster.stores.lock();
            stores.meta.epoch.0 += 1;
            // Who led before says so until it has heard of the next. The other way round a look could miss a leader.
            stores.mistaken = Some(worker);
        }
        seconds.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn twenty_clusters_among_thousands_of_strangers_take_little_memory_and_few_writes() {
    let begun = Instant::now();
    let (client, strange) = namespace("strangers").await;
    make_strangers(&client, &strange).await;
    println!("{STRANGERS} pods and Secrets of others are there after {:?}", begun.elapsed());
    let since = Timestamp::now();
    let (client, namespace) = namespace("footprint").await;
    let mut operator = operator(&namespace, &format!("{namespace},{strange}"));
    let clusters = settled_clusters(&client, &namespace).await;
    println!("{CLUSTERS} clusters settled after {:?}; {} KiB at the most", begun.elapsed(), peak(&operator) >> 10);

    if let Some(log) = std::env::var_os("AUDIT_LOG") {
        let audit = Audit(log.into());
        let made = audit.writes(since).into_keys().filter(|what| what.contains("-workers statefulsets")).count();
        assert_eq!(made, usize::from(CLUSTERS), "the audit log has not what the operator made");
        let since = Timestamp::now();
        tokio::time::sleep(MINUTE).await;
        assert_eq!(audit.writes(since), BTreeMap::new(), "written in a minute in which nothing happened");

        let since = Timestamp::now();
        ingest(&clusters).await;
        let writes = audit.writes(since);
        println!("in a minute of ingest: {writes:?}");
        for cluster in &clusters {
            let of_it = writes.iter().filter(|(what, _)| what.starts_with(&cluster.name));
            let count: usize = of_it.map(|(_, count)| count).sum();
            assert!((1..=MOST_WRITES).contains(&count), "{count} writes for {}: {writes:?}", cluster.name);
        }
        assert!(writes.values().sum::<usize>() <= MOST_WRITES * clusters.len(), "of no cluster: {writes:?}");
    } else {
        println!("\nNO WRITE IS COUNTED: AUDIT_LOG names no audit log of the API server\n");
    }
    assert!(operator.try_wait().unwrap().is_none(), "the operator ended");
    let peak = peak(&operator);
    println!("{} KiB at the most, after {:?}", peak >> 10, begun.elapsed());
    // One that is not optimised has twice as much code to load.
    assert!(cfg!(debug_assertions) || peak < MOST_BYTES, "{peak} bytes at the most");
}
