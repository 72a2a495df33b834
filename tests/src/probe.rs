//! Fifty writes a second into every partition, to see how long a leader's death stops them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use raftduck_model::PartitionId;
use raftduck_model::hash::{KeyValue, partition_of};
use raftduck_wire::client::{Client, Rows, RowsOptions};
use raftduck_wire::http::{SqlRequest, media};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::check::integer;

/// The table that the probe writes.
pub const CREATE: &str = "CREATE TABLE probe (key BIGINT, seq BIGINT) PARTITIONED BY (key)";
/// Fifty a second.
const PERIOD: Duration = Duration::from_millis(20);
/// Writes of one partition under way at once; beyond them a tick is left out.
const MOST_WAITING: usize = 40;

/// For each partition, the smallest key from 0 that maps to it.
pub fn keys(partitions: NonZeroU32) -> BTreeMap<u32, i64> {
    let mut keys = BTreeMap::new();
    for key in 0.. {
        let PartitionId(partition) = partition_of(KeyValue::Integer(key.into()), partitions);
        keys.entry(partition).or_insert(key);
        if keys.len() == partitions.get() as usize {
            break;
        }
    }
    keys
}

/// A probe under way, or paused.
#[derive(Debug)]
pub struct Probe {
    client: Client,
    lanes: BTreeMap<u32, Arc<Lane>>,
    tasks: Vec<JoinHandle<()>>,
}

/// One partition's probe.
#[derive(Debug)]
struct Lane {
    key: i64,
    sent: AtomicU64,
    waiting: AtomicUsize,
    acknowledged: Mutex<Vec<Instant>>,
}

impl Probe {
    /// A paused probe. The table must be there ([`CREATE`]).
    pub fn new(client: Client, partitions: NonZeroU32) -> Self {
        let lane = |key| {
            Arc::new(Lane {
                key,
                sent: AtomicU64::new(0),
                waiting: AtomicUsize::new(0),
                acknowledged: Mutex::default(),
            })
        };
        let lanes = keys(partitions).into_iter().map(|(partition, key)| (partition, lane(key))).collect();
        Self { client, lanes, tasks: Vec::new() }
    }

    /// Starts writing.
    pub fn resume(&mut self) {
        for lane in self.lanes.values() {
            self.tasks.push(tokio::spawn(tick(self.client.clone(), lane.clone())));
        }
    }

    /// Stops writing; what is under way is still counted when its reply comes.
    pub fn pause(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }

    /// Every partition has had a write acknowledged after `moment`.
    pub fn all_acknowledged_since(&self, moment: Instant) -> bool {
        self.lanes.values().all(|lane| lane.acknowledged.lock().iter().any(|instant| *instant > moment))
    }

    /// The longest time without an acknowledgement that each of the partitions had around and
    /// after `fault`, until now.
    pub fn gaps(&self, partitions: &[u32], fault: Instant) -> Vec<Duration> {
        let lanes = partitions.iter().filter_map(|partition| self.lanes.get(partition));
        lanes.map(|lane| longest_gap(&lane.acknowledged.lock(), fault, Instant::now())).collect()
    }

    /// Each acknowledged write is there and nothing is there twice. Returns how many there are.
    ///
    /// # Errors
    /// Where that is not so.
    pub async fn check(&self, client: &Client) -> Result<u64> {
        let sql = "SELECT key, count(*), count(DISTINCT seq) FROM probe GROUP BY key";
        let answer = client.query(&SqlRequest::new(sql)).await?;
        let mut there = BTreeMap::new();
        for row in &answer.rows {
            let [key, count, distinct] = row.as_slice() else { anyhow::bail!("{row:?} has not 3 columns") };
            ensure!(integer(count)? == integer(distinct)?, "key {key}: {count} rows, {distinct} different ones");
            there.insert(integer(key)?, integer(count)?);
        }
        let mut total = 0;
        for (partition, lane) in &self.lanes {
            let count = there.get(&lane.key.into()).copied().context("a partition has no probe rows")?;
            let (acknowledged, sent) =
                (lane.acknowledged.lock().len() as i128, lane.sent.load(Ordering::Relaxed).into());
            ensure!(
                (acknowledged..=sent).contains(&count),
                "partition {partition}: {count} probe rows of {acknowledged} acknowledged and {sent} sent"
            );
            total += acknowledged as u64;
        }
        Ok(total)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.pause();
    }
}

async fn tick(client: Client, lane: Arc<Lane>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if lane.waiting.load(Ordering::Relaxed) >= MOST_WAITING {
            continue;
        }
        lane.waiting.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(write(client.clone(), lane.clone()));
    }
}

async fn write(client: Client, lane: Arc<Lane>) {
    let seq = lane.sent.fetch_add(1, Ordering::Relaxed);
    let body = format!("{{\"key\":{},\"seq\":{seq}}}\n", lane.key);
    let rows = Rows { body: body.into(), content_type: media::NDJSON, encoding: None };
    let options = RowsOptions { key: Some(format!("probe-{}-{seq}", lane.key)), ..RowsOptions::default() };
    if client.insert("probe", &rows, &options).await.is_ok() {
        lane.acknowledged.lock().push(Instant::now());
    }
    lane.waiting.fetch_sub(1, Ordering::Relaxed);
}

/// The longest stretch of `..now` without an acknowledgement that ends after `fault`. It starts
/// at the last acknowledgement before the fault, as a writer sees it.
fn longest_gap(acknowledged: &[Instant], fault: Instant, now: Instant) -> Duration {
    let before = acknowledged.iter().filter(|instant| **instant <= fault).max().copied().unwrap_or(fault);
    let mut after: Vec<Instant> = acknowledged.iter().filter(|instant| **instant > fault).copied().collect();
    after.sort_unstable();
    after.push(now);
    let starts = std::iter::once(before).chain(after.iter().copied());
    starts.zip(&after).map(|(start, end)| end.saturating_duration_since(start)).max().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_a_key_that_maps_to_it() {
        let partitions = NonZeroU32::new(12).unwrap();
        let keys = keys(partitions);
        assert_eq!(keys.keys().copied().collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
        for (partition, key) in keys {
            assert_eq!(partition_of(KeyValue::Integer(key.into()), partitions).0, partition);
        }
    }

    #[test]
    fn a_gap_is_measured_from_the_last_acknowledgement_before_the_fault() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let acknowledged = [at(80), at(100), at(900), at(920), at(940)];
        assert_eq!(longest_gap(&acknowledged, at(110), at(950)), Duration::from_millis(800));
    }

    #[test]
    fn a_gap_that_has_not_ended_counts_until_now() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(longest_gap(&[at(100)], at(110), at(5_110)), Duration::from_millis(5_010));
        assert_eq!(longest_gap(&[], at(110), at(210)), Duration::from_millis(100));
    }

    #[test]
    fn a_gap_before_the_fault_does_not_count() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let acknowledged = [at(0), at(3_000), at(3_020), at(3_040)];
        assert_eq!(longest_gap(&acknowledged, at(3_010), at(3_050)), Duration::from_millis(20));
    }
}
