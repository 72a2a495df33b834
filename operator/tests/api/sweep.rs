//! The operator is ended after its first write of a change, after its second, after each; another one takes over, and the
//! change comes to the same end. What must not happen on the way is asserted by the scripted Kubernetes and stores.

use crate::cluster::{Cluster, namespace};
use serde_json::{Value, json};

fn spec(workers: u8, image: &str) -> Value {
    json!({
        "image": image, "partitions": 6,
        "workers": {"replicas": workers, "storage": {"size": "1Gi", "whenScaled": "Delete"}},
    })
}

/// Makes the change with the operator ended after that many writes; the write, if there were so many.
async fn change(cluster: &mut Cluster, writes: usize, spec: Value) -> Option<String> {
    cluster.budget.grant(Some(writes));
    cluster.apply(spec).await.unwrap();
    let ended = tokio::select! {
        () = cluster.budget.over() => true,
        () = cluster.settles() => false,
    };
    let last = cluster.budget.last();
    cluster.budget.grant(None);
    if ended {
        cluster.restart_operator().await;
    }
    cluster.settles().await;
    cluster.is_whole();
    last
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn an_operator_that_ends_after_any_of_its_writes_is_followed_by_one_that_goes_on() {
    let (client, namespace) = namespace("sweep").await;
    let mut cluster = Cluster::start(client, &namespace, "flights", 1, spec(3, "raftduck:1")).await;
    cluster.settles().await;
    let begun = std::time::Instant::now();
    let (mut out, mut back, mut roll) = (0, 0, 0);
    let mut ended = 0;
    for writes in 1.. {
        let image = format!("raftduck:{}", writes + 1);
        let before = format!("raftduck:{writes}");
        let changes = [("scale-out", spec(5, &before)), ("scale-in", spec(3, &before)), ("roll", spec(3, &image))];
        let mut over = true;
        for ((what, spec), most) in changes.into_iter().zip([&mut out, &mut back, &mut roll]) {
            if let Some(last) = change(&mut cluster, writes, spec).await {
                println!("{what}: ended after write {writes}, {last}");
                (over, *most, ended) = (false, writes, ended + 1);
            }
        }
        if over {
            break;
        }
    }
    assert!(out > 2 && back > 6 && roll > 6, "few writes: {out}, {back}, {roll}");
    println!(
        "ended {ended} times: after each of {out} writes of a scale-out, {back} of a scale-in, {roll} of a roll; {:?}",
        begun.elapsed()
    );
}
