//! Somebody who counts all rows again and again while they are written, and knows between which
//! numbers a whole answer must lie.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use raftduck_wire::client::{Client, ClientError};
use raftduck_wire::http::{Consistency, Partial, SqlAnswer, SqlRequest};
use tokio::task::JoinHandle;

use crate::check::integer;
use crate::load::{Progress, Totals};

/// A partition that is missed or counted twice shows in both.
const SQL: &str = "SELECT count(*), sum(ordinal) FROM load";
/// Between two questions: the load shall have the processors.
const PAUSE: Duration = Duration::from_millis(50);

/// A reader under way. It ends when dropped.
#[derive(Debug)]
pub struct Reader {
    tally: Arc<Mutex<Tally>>,
    task: JoinHandle<()>,
}

/// What it has been answered.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers that saw every partition, by their own word; all of them were compared.
    pub whole: u64,
    /// Answers that said that partitions are missing.
    pub partial: u64,
    /// Questions that got no answer.
    pub errors: u64,
    /// Why not, with how often.
    pub reasons: BTreeMap<String, u64>,
    /// Whole answers that must not be.
    pub violations: Vec<String>,
    /// The longest wait, whatever came of it.
    slowest: Duration,
}

impl Reader {
    /// Begins to ask. There must be rows already: the sum of none is NULL.
    pub fn start(client: Client, progress: Progress) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let task = tokio::spawn(read(client, progress, tally.clone()));
        Self { tally, task }
    }

    /// What it has been answered so far.
    pub fn tally(&self) -> Tally {
        self.tally.lock().clone()
    }

    /// How long it waited at most since this was last asked.
    pub fn take_slowest(&self) -> Duration {
        std::mem::take(&mut self.tally.lock().slowest)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(client: Client, progress: Progress, tally: Arc<Mutex<Tally>>) {
    let request = SqlRequest {
        consistency: Consistency::Linearizable,
        partial: Some(Partial::Allow),
        timeout_ms: Some(10_000),
        ..SqlRequest::new(SQL)
    };
    loop {
        let least = progress.acknowledged();
        let begun = Instant::now();
        let answer = client.query(&request).await;
        let most = progress.sent();
        tally.lock().note(answer, begun.elapsed(), least, most);
        tokio::time::sleep(PAUSE).await;
    }
}

impl Tally {
    fn note(&mut self, answer: Result<SqlAnswer, ClientError>, took: Duration, least: Totals, most: Totals) {
        self.slowest = self.slowest.max(took);
        match answer {
            Ok(answer) if answer.is_partial => self.partial += 1,
            Ok(answer) => {
                self.whole += 1;
                if let Err(error) = judge(&answer, least, most) {
                    self.violations.push(format!("{error:#}"));
                }
            }
            Err(error) => {
                self.errors += 1;
                let reason = match error {
                    ClientError::Problem(problem) => problem.code,
                    other => other.to_string(),
                };
                *self.reasons.entry(reason).or_default() += 1;
            }
        }
    }
}

fn judge(answer: &SqlAnswer, least: Totals, most: Totals) -> Result<()> {
    let [row] = answer.rows.as_slice() else { anyhow::bail!("{} rows, not 1", answer.rows.len()) };
    let [rows, ordinals] = row.as_slice() else { anyhow::bail!("{row:?} has not 2 columns") };
    let (rows, ordinals) = (integer(rows).context("reading the count")?, integer(ordinals).context("reading the sum")?);
    let fits = (i128::from(least.rows)..=most.rows.into()).contains(&rows)
        && (i128::from(least.ordinals)..=most.ordinals.into()).contains(&ordinals);
    ensure!(fits, "{rows} rows with the sum {ordinals}, when {least:?} were acknowledged and {most:?} sent");
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const LEAST: Totals = Totals { rows: 100, ordinals: 5_000 };
    const MOST: Totals = Totals { rows: 120, ordinals: 6_000 };

    fn answer(row: Vec<Value>, is_partial: bool) -> SqlAnswer {
        SqlAnswer {
            columns: Vec::new(),
            rows: vec![row],
            row_count: 1,
            is_partial,
            total_nodes: 3,
            responding_nodes: 3,
            missing_partitions: Vec::new(),
            truncated: false,
            elapsed_ms: 1.0,
        }
    }

    #[test]
    fn a_whole_answer_lies_between_what_was_acknowledged_before_and_what_was_sent_by_then() {
        for good in [json!([100, 5_000]), json!([120, "6000"]), json!([110, 5_500])] {
            judge(&answer(serde_json::from_value(good).unwrap(), false), LEAST, MOST).unwrap();
        }
        for bad in [json!([99, 5_500]), json!([121, 5_500]), json!([110, 4_999]), json!([110, 6_001])] {
            judge(&answer(serde_json::from_value(bad).unwrap(), false), LEAST, MOST).unwrap_err();
        }
    }

    #[test]
    fn a_partial_answer_may_hold_anything_and_is_counted_apart() {
        let mut tally = Tally::default();
        tally.note(Ok(answer(vec![json!(3), json!(null)], true)), Duration::ZERO, LEAST, MOST);
        tally.note(Ok(answer(vec![json!(3), json!(3)], false)), Duration::ZERO, LEAST, MOST);
        assert_eq!((tally.partial, tally.whole, tally.violations.len()), (1, 1, 1));
    }
}
