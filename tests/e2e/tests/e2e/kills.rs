//! The operator is killed in the middle of what it does. `operator/tests/api` does that after every single write, with
//! scripted pods and stores; here it is after a few of them, drawn from a seed, with real ones.

use anyhow::{Result, ensure};
use raftduck_e2e::database::Database;
use raftduck_e2e::operator;
use raftduck_e2e::wait::until;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

const SEED: u64 = 20261122;
/// How often each kind of change is made.
const ROUNDS: u32 = 3;

/// Makes a change, and kills the operator once it has done so much of it.
async fn killed_after(done: u64, what: &str, database: &Database, change: Value) -> Result<()> {
    let before = until("an operator is there", async || operator::changes(&database.kube).await.ok()).await?;
    database.edit(change).await?;
    let now = until("the operator does something", async || {
        let now = operator::changes(&database.kube).await.ok()?;
        (now >= before + done).then_some(now)
    })
    .await?;
    operator::kill(&database.kube).await?;
    println!("{what}: killed after {} changes", now - before);
    database.settled().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes: tests/e2e/run"]
async fn an_operator_that_is_killed_in_the_middle_goes_on_from_there() -> Result<()> {
    if !operator::on_test_cluster("processes of pods that can be killed from outside") {
        return Ok(());
    }
    let (database, writers) = Database::loaded("e2e-kills", json!({})).await?;
    let mut random = StdRng::seed_from_u64(SEED);
    println!("seed {SEED}");
    for round in 1..=ROUNDS {
        let workers = |replicas: u8| json!({"workers": {"replicas": replicas}});
        // As many changes as the least of what each takes: the StatefulSet and two locations; two drains, the
        // StatefulSet and two retirements; the StatefulSet, the Deployment, and three times a restart and its end.
        killed_after(random.random_range(1..=3), "scale-out", &database, workers(5)).await?;
        database.spread_over(5).await?;
        killed_after(random.random_range(1..=5), "scale-in", &database, workers(3)).await?;
        let threads = json!({"workers": {"settings": {"threads": 1 + round % 2}}});
        killed_after(random.random_range(1..=6), "roll", &database, threads).await?;
        writers.go_on().await?;
    }
    ensure!(database.members().await.is_some_and(|members| members.len() == 3));
    database.holds_all_of(writers).await
}
