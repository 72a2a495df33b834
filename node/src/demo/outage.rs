//! The worker that leads most partitions is killed while a writer runs; nothing may be missing afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use parking_lot::Mutex;
use raftduck_wire::client::{Client, Rows, RowsOptions};
use raftduck_wire::http::{ClusterAnswer, SqlRequest, media};
use tokio_util::sync::CancellationToken;

use crate::supervisor::Local;

/// How long the writers run before and after the kill, and after the restart.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(3);
/// Writers at once; each sends one row a request and waits for its acknowledgement.
const WRITERS: u64 = 4;
/// A restarted worker gets this long to catch up.
const CATCH_UP: Duration = Duration::from_secs(60);

/// One acknowledged row, and when its acknowledgement came.
struct Acknowledged {
    id: u64,
    at: Instant,
    took: Duration,
}

/// Kills, waits, restarts and counts; whether every acknowledged row is there exactly once.
///
/// # Errors
/// Where the cluster does not answer any more.
pub async fn run(local: &mut Local, client: &Client) -> anyhow::Result<bool> {
    client.ddl("CREATE TABLE probes (id BIGINT, written TIMESTAMP)").await.context("CREATE TABLE")?;
    let (victim, leads, partitions) = most_leading(local, &client.cluster().await?)?;
    println!("\n── Worker {victim} leads {leads} of {partitions} partitions: kill -9 while {WRITERS} clients write");
    let stop = CancellationToken::new();
    let log = Arc::new(Mutex::new(Vec::new()));
    let writers: Vec<_> =
        (0..WRITERS).map(|lane| tokio::spawn(write(client.clone(), lane, log.clone(), stop.clone()))).collect();
    tokio::time::sleep(BEFORE).await;
    let killed = Instant::now();
    local.kill_worker(victim).await?;
    tokio::time::sleep(AFTER).await;
    let restarted = Instant::now();
    local.start_worker(victim)?;
    let caught_up = caught_up(client, &local.worker_address(victim)).await;
    let recovery = restarted.elapsed();
    stop.cancel();
    for writer in writers {
        writer.await.context("a writer ended")??;
    }
    let log = std::mem::take(&mut *log.lock());
    report(&log, killed);
    match caught_up {
        true => println!("restarted, worker {victim} had applied what its leaders had after {recovery:.1?}"),
        false => println!("restarted, worker {victim} has not caught up after {recovery:.1?}"),
    }
    Ok(count(client, &log).await? && caught_up)
}

fn most_leading(local: &Local, cluster: &ClusterAnswer) -> anyhow::Result<(u16, usize, usize)> {
    let mut leads: BTreeMap<&str, usize> = BTreeMap::new();
    for leader in cluster.partitions.iter().filter_map(|partition| partition.leader.as_deref()) {
        *leads.entry(leader).or_default() += 1;
    }
    let (store, led) = leads.into_iter().max_by_key(|(_, led)| *led).context("no partition has a leader")?;
    let address = cluster.stores.iter().find(|one| one.id == store).map(|one| one.address.as_str());
    let victim = address.and_then(|address| local.worker_at(address)).context("a leader is no worker of this demo")?;
    Ok((victim, led, cluster.partitions.len()))
}

/// Writes one row after another, each under a key of its own, which the client keeps through its retries.
async fn write(
    client: Client,
    lane: u64,
    log: Arc<Mutex<Vec<Acknowledged>>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut id = lane;
    while !stop.is_cancelled() {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S%.6f");
        let body = Bytes::from(format!("[{{\"id\": {id}, \"written\": \"{now}\"}}]"));
        let rows = Rows { body, content_type: media::JSON, encoding: None };
        let began = Instant::now();
        client.insert("probes", &rows, &RowsOptions::default()).await.context("writing while a worker is away")?;
        log.lock().push(Acknowledged { id, at: Instant::now(), took: began.elapsed() });
        id += WRITERS;
    }
    Ok(())
}

/// Says how long writes stopped: the longest time without any acknowledgement, and the slowest single write.
fn report(log: &[Acknowledged], killed: Instant) {
    let mut times: Vec<Instant> = log.iter().map(|row| row.at).collect();
    times.sort_unstable();
    let pause = times.windows(2).filter_map(|pair| match pair {
        [before, after] if *after > killed => Some(after.duration_since(*before)),
        _ => None,
    });
    let pause = pause.max().unwrap_or_default();
    let slowest = log.iter().filter(|row| row.at > killed).map(|row| row.took).max().unwrap_or_default();
    let before = log.iter().filter(|row| row.at <= killed).count();
    println!("{} rows acknowledged, {before} before the kill and {} after it", log.len(), log.len() - before);
    println!(
        "writes to the killed leader's partitions waited {:.0} ms at most; the longest time in which no write at \
         all was acknowledged was {:.0} ms",
        slowest.as_secs_f64() * 1e3,
        pause.as_secs_f64() * 1e3
    );
}

/// Holds the table against what was acknowledged: count, distinct ids, sum.
async fn count(client: &Client, log: &[Acknowledged]) -> anyhow::Result<bool> {
    let sql = "SELECT count(*), count(DISTINCT id), CAST(sum(id) AS BIGINT) FROM probes";
    let answer = client.query(&SqlRequest::new(sql)).await?;
    let found: Vec<u64> =
        answer.rows.first().into_iter().flatten().map(|value| value.as_u64().unwrap_or_default()).collect();
    let sent = log.len() as u64;
    let expected = [sent, sent, log.iter().map(|row| row.id).sum()];
    let verdict = if found == expected { "nothing missing, nothing twice" } else { "WRONG" };
    println!("acknowledged rows, distinct ids, their sum: {expected:?}; in the table: {found:?}: {verdict}");
    Ok(found == expected)
}

/// Waits until the store at `address` has applied, in every partition, what its leader had when it was first asked.
async fn caught_up(client: &Client, address: &str) -> bool {
    let waiting = async {
        let mut goal: Option<BTreeMap<u32, u64>> = None;
        loop {
            if let Ok(cluster) = client.cluster().await {
                let goal = goal.get_or_insert_with(|| leaders_applied(&cluster));
                if reached(&cluster, address, goal) {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(CATCH_UP, waiting).await.is_ok()
}

fn leaders_applied(cluster: &ClusterAnswer) -> BTreeMap<u32, u64> {
    let applied = |partition: &raftduck_wire::http::PartitionStatus| {
        partition.replicas.iter().filter_map(|replica| replica.applied).max().unwrap_or_default()
    };
    cluster.partitions.iter().map(|partition| (partition.id, applied(partition))).collect()
}

fn reached(cluster: &ClusterAnswer, address: &str, goal: &BTreeMap<u32, u64>) -> bool {
    let Some(store) = cluster.stores.iter().find(|store| store.address == address && store.connected) else {
        return false;
    };
    cluster.partitions.iter().all(|partition| {
        let mut here = partition.replicas.iter().filter(|replica| replica.store == store.id);
        let least = goal.get(&partition.id).copied().unwrap_or_default();
        here.all(|replica| replica.applied.is_some_and(|applied| applied >= least))
    })
}
