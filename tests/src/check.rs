//! What must hold after everything: each acknowledged row once, and replicas alike.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use raftduck_wire::client::Client;
use raftduck_wire::http::{ClusterAnswer, SqlRequest};
use serde_json::Value;

use crate::cluster::{Cluster, PATIENCE};
use crate::content::{Digest, digest_sql};
use crate::load::{Outcome, Written};
use crate::replica::{self, Reading};
use crate::wait;

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Batches that were acknowledged and found exactly once.
    pub batches: u64,
    /// Their rows.
    pub rows: u64,
    /// Batches of unknown outcome, found whole or not at all.
    pub unknown: u64,
}

/// Compares what the table holds with what the load was promised.
///
/// # Errors
/// With everything that is wrong.
pub async fn exactly_once(client: &Client, written: &Written) -> Result<Checked> {
    ensure!(written.violations.is_empty(), "replies that must not be:\n{}", written.violations.join("\n"));
    let mut found = BTreeMap::new();
    let clients: BTreeSet<u32> = written.batches.iter().map(|(batch, _)| batch.client).collect();
    for number in clients {
        let answer = client.query(&SqlRequest::new(digest_sql(number))).await?;
        ensure!(!answer.is_partial && !answer.truncated, "the check's answer is not whole");
        for row in &answer.rows {
            let (batch, digest) = read_digest(row).with_context(|| format!("reading {row:?}"))?;
            found.insert((number, batch), digest);
        }
    }
    compare(written, found)
}

fn compare(written: &Written, mut found: BTreeMap<(u32, u64), Digest>) -> Result<Checked> {
    let mut checked = Checked::default();
    let mut wrong = Vec::new();
    for (batch, outcome) in &written.batches {
        let expected = batch.digest();
        match (outcome, found.remove(&(batch.client, batch.number))) {
            (Outcome::Acknowledged, Some(digest)) if digest == expected => {
                checked.batches += 1;
                checked.rows += digest.count;
            }
            (Outcome::Unknown, None) => checked.unknown += 1,
            (Outcome::Unknown, Some(digest)) if at_most_once(digest, expected) => checked.unknown += 1,
            (outcome, digest) => wrong.push(format!("{batch:?}, {outcome:?}: found {digest:?}, sent {expected:?}")),
        }
    }
    wrong.extend(found.keys().map(|(client, batch)| format!("client {client}, batch {batch}: there, never sent")));
    match wrong.len() {
        0 => Ok(checked),
        count => bail!(
            "{count} batches are wrong, the first:\n{}",
            wrong.get(..10.min(count)).unwrap_or_default().join("\n")
        ),
    }
}

/// A request over several partitions is atomic in each, so an unknown one may be there in part.
fn at_most_once(found: Digest, sent: Digest) -> bool {
    let part = found.count < sent.count && found.count == found.distinct && found.wrong_texts == 0;
    part || found == sent
}

fn read_digest(row: &[Value]) -> Result<(u64, Digest)> {
    let [batch, count, distinct, sum, xor, wrong_texts] = row else { bail!("{} columns, not 6", row.len()) };
    let digest = Digest {
        count: integer(count)?.try_into()?,
        distinct: integer(distinct)?.try_into()?,
        sum: integer(sum)?,
        xor: integer(xor)?.try_into()?,
        wrong_texts: integer(wrong_texts)?.try_into()?,
    };
    Ok((integer(batch)?.try_into()?, digest))
}

/// An integer of any width, as JSON has it: up to 64 bits a number, above a string.
///
/// # Errors
/// Where it is neither.
pub fn integer(value: &Value) -> Result<i128> {
    match value {
        Value::String(text) => text.parse().with_context(|| format!("{text:?} is no integer")),
        other => other.as_i64().map(i128::from).or(other.as_u64().map(i128::from)).context("not an integer"),
    }
}

/// Waits until every partition stands at one applied index on all stores that have a copy of it, and
/// compares what they then hold of the table.
///
/// # Errors
/// Where the indexes do not meet, or replicas at one index differ.
pub async fn replicas_are_equal(cluster: &Cluster, table: &str) -> Result<()> {
    let info = cluster.patient_client()?.table(table).await?;
    // A sum beside the exclusive or: a row that is there twice vanishes from the latter.
    let sql = format!("SELECT count(*), bit_xor(hash(t)), sum(hash(t)::HUGEINT) FROM {table} t");
    for partition in 1..=cluster.partitions() {
        let (holders, readings) =
            wait::until(&format!("partition {partition}'s replicas meet"), PATIENCE, async || {
                let mut readings: Vec<Reading> = Vec::new();
                let holders = holders(&cluster.status().await.ok()?, partition)?;
                for address in &holders {
                    readings.push(replica::ask(address, &info, partition, &sql).await.ok()?);
                }
                let first = readings.first()?.index?;
                readings.iter().all(|reading| reading.index == Some(first)).then_some((holders, readings))
            })
            .await?;
        let first = readings.first().context("no replica was asked")?;
        ensure!(!first.batches.is_empty(), "partition {partition}: an answer without a row");
        for (holder, reading) in holders.iter().zip(&readings) {
            ensure!(
                reading.batches == first.batches,
                "partition {partition} at index {:?}: {holder} holds other rows than {:?}",
                reading.index,
                holders.first()
            );
        }
    }
    Ok(())
}

/// Where the stores are that have a copy of the partition; none where one of them is unknown.
fn holders(status: &ClusterAnswer, partition: u32) -> Option<Vec<String>> {
    let copies = &status.partitions.iter().find(|found| found.id == partition)?.replicas;
    let address = |id: &str| status.stores.iter().find(|store| store.id == id).map(|store| store.address.clone());
    copies.iter().map(|copy| address(&copy.store)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::content::Batch;

    const BATCH: Batch = Batch { seed: 9, client: 1, number: 4, rows: 100 };

    fn written(outcome: Outcome) -> Written {
        Written { batches: vec![(BATCH, outcome)], repeated: 0, violations: Vec::new() }
    }

    fn found(digest: Digest) -> BTreeMap<(u32, u64), Digest> {
        BTreeMap::from([((BATCH.client, BATCH.number), digest)])
    }

    #[test]
    fn a_batch_that_is_there_once_passes() {
        let checked = compare(&written(Outcome::Acknowledged), found(BATCH.digest())).unwrap();
        assert_eq!(checked, Checked { batches: 1, rows: 100, unknown: 0 });
    }

    #[test]
    fn a_missing_batch_a_doubled_row_a_changed_value_and_a_wrong_text_fail() {
        let good = BATCH.digest();
        compare(&written(Outcome::Acknowledged), BTreeMap::new()).unwrap_err();
        for bad in [
            Digest { count: good.count + 1, ..good },
            Digest { count: 99, distinct: 99, ..good },
            Digest { sum: good.sum + 1, ..good },
            Digest { xor: good.xor ^ 1, ..good },
            Digest { wrong_texts: 1, ..good },
        ] {
            compare(&written(Outcome::Acknowledged), found(bad)).unwrap_err();
        }
    }

    #[test]
    fn an_unknown_batch_may_be_absent_partial_or_whole_but_not_doubled() {
        let good = BATCH.digest();
        let partial = Digest { count: 40, distinct: 40, sum: 1, ..good };
        for there in [BTreeMap::new(), found(good), found(partial)] {
            assert_eq!(compare(&written(Outcome::Unknown), there).unwrap().unknown, 1);
        }
        compare(&written(Outcome::Unknown), found(Digest { count: 80, distinct: 40, ..good })).unwrap_err();
        compare(&written(Outcome::Unknown), found(Digest { count: 200, ..good })).unwrap_err();
    }

    #[test]
    fn a_batch_that_nobody_sent_fails() {
        let nothing = Written { batches: Vec::new(), repeated: 0, violations: Vec::new() };
        compare(&nothing, found(BATCH.digest())).unwrap_err();
    }

    #[test]
    fn integers_are_read_from_numbers_and_from_strings() {
        let row = [
            json!(4),
            json!(100),
            json!(100),
            json!("-170141183460469231731687303715884105728"),
            json!(i64::MIN),
            json!(0),
        ];
        let (batch, digest) = read_digest(&row).unwrap();
        assert_eq!((batch, digest.sum, digest.xor), (4, i128::MIN, i64::MIN));
        read_digest(&[json!(1.5), json!(1), json!(1), json!(1), json!(1), json!(0)]).unwrap_err();
    }
}
