//! The admin contract, as the operator goes by it: every call, what it answers, word for word.

use std::fmt::Write;

use raftduck_model::meta::PartitionState;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Workers;

/// Calls with what they answered, in which names that differ from run to run are numbered.
struct Transcript<'a> {
    cluster: &'a Workers,
    names: Vec<(String, String)>,
    text: String,
}

impl Transcript<'_> {
    async fn call(&mut self, through: usize, method: Method, path: &str, body: Option<Value>) {
        let (status, kind, answer) = self.cluster.call(through, method.clone(), path, body.clone(), true).await;
        self.note(&method, path, body.as_ref(), (status, &kind, &answer));
    }

    fn note(&mut self, method: &Method, path: &str, body: Option<&Value>, (status, kind, answer): (u16, &str, &str)) {
        let body = body.map(|body| format!(" {body}")).unwrap_or_default();
        // Before the answer is put in order: stores come in their names' order.
        let answer = match serde_json::from_str::<Value>(&self.numbered(answer)) {
            Ok(mut value) => {
                // How many changes it took to get here is nobody's contract.
                if let Some(epoch) = value.get_mut("epoch") {
                    *epoch = json!("<epoch>");
                }
                // Nor who was elected, or how full this machine is.
                for one in ["leads", "leads_meta", "space"] {
                    if let Some(said) = value.get_mut(one) {
                        *said = json!(format!("<{one}>"));
                    }
                }
                serde_json::to_string_pretty(&value).unwrap()
            }
            Err(_) => answer.to_owned(),
        };
        let text = self.numbered(&format!("{method} /admin/v1/{path}{body}\n{status} {kind}\n{answer}\n"));
        writeln!(self.text, "{}\n", text.trim_end()).unwrap();
    }

    fn numbered(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, number)| text.replace(name, number))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_answers_as_it_always_has() {
    let cluster = Workers::start(3, 1).await;
    let stores = [cluster.id(0).await, cluster.id(1).await, cluster.id(2).await];
    let meta =
        cluster.wait_meta(0, |meta| meta.partitions.iter().all(|one| one.state == PartitionState::Created)).await;
    let uuid = meta.cluster.unwrap();
    let version = format!("\"{}\"", env!("CARGO_PKG_VERSION"));
    let mut names = vec![(uuid.to_string(), "<cluster>".to_owned()), (version, "\"<version>\"".to_owned())];
    for (number, store) in stores.iter().enumerate() {
        names.push((store.to_string(), format!("<store {number}>")));
        names.push((cluster.address(number), format!("<address {number}>")));
    }
    let bootstrap = |uuid: String| {
        let addresses: Vec<String> = (0..3).map(|store| cluster.address(store)).collect();
        json!({"cluster_uuid": uuid, "stores": addresses, "partitions": 1, "replication": 3})
    };
    let store = |number: usize, action: &str| format!("stores/{}/{action}", stores[number]);
    let unknown = "stores/00000000-0000-0000-0000-000000000000/drain";
    let mut said = Transcript { cluster: &cluster, names, text: String::new() };

    let (status, kind, answer) = cluster.call(0, Method::GET, "identity", None, false).await;
    said.text.push_str("(without the cluster token)\n");
    said.note(&Method::GET, "identity", None, (status, &kind, &answer));
    said.call(1, Method::GET, "identity", None).await;
    said.call(0, Method::POST, "bootstrap", Some(bootstrap(uuid.to_string()))).await;
    said.call(0, Method::POST, "bootstrap", Some(bootstrap("00000000-0000-0000-0000-000000000009".to_owned()))).await;
    said.call(1, Method::POST, "bootstrap", Some(bootstrap(uuid.to_string()))).await;
    said.call(0, Method::POST, "bootstrap", Some(json!({"stores": []}))).await;
    said.call(2, Method::PUT, &store(1, "location"), Some(json!({"node": "n1", "zone": "z1"}))).await;
    said.call(2, Method::PUT, &store(1, "location"), Some(json!({"node": "n1", "rack": "r1"}))).await;
    cluster.wait_meta(0, |meta| !meta.locations.is_empty()).await;
    said.call(0, Method::GET, "cluster", None).await;
    said.call(0, Method::PUT, &store(1, "drain"), None).await;
    said.call(0, Method::DELETE, &store(1, "drain"), None).await;
    said.call(0, Method::PUT, unknown, None).await;
    said.call(0, Method::PUT, "stores/one/drain", None).await;
    said.call(0, Method::GET, &store(1, "safe-to-remove"), None).await;
    said.call(0, Method::POST, &store(1, "retire"), None).await;
    cluster.wait_permit(0, 1).await;
    said.call(0, Method::POST, &store(1, "restart-permit"), None).await;
    said.call(1, Method::POST, &store(2, "restart-permit"), None).await;
    said.call(2, Method::DELETE, &store(1, "restart-permit"), None).await;
    said.call(0, Method::POST, "finalise", Some(json!({"level": 1}))).await;
    said.call(0, Method::POST, "finalise", Some(json!({"level": 3}))).await;
    let text = said.text.trim_end();
    assert!(text == include_str!("../golden/admin.txt").trim_end(), "{text}");
}
