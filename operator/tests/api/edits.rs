//! What people do to a cluster and to its objects.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Client, Resource, ResourceExt};
use raftduck_operator_api::AnalyticsCluster;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cluster::{Cluster, namespace, spec, until};

/// Deletes what that resource owned, as Kubernetes' garbage collector does, which this API server is without.
async fn collect_garbage(client: Client, namespace: String, owner: String) {
    loop {
        collect::<Deployment>(&client, &namespace, &owner).await;
        collect::<Service>(&client, &namespace, &owner).await;
        collect::<Secret>(&client, &namespace, &owner).await;
        collect::<ServiceAccount>(&client, &namespace, &owner).await;
        collect::<PodDisruptionBudget>(&client, &namespace, &owner).await;
        collect::<NetworkPolicy>(&client, &namespace, &owner).await;
        for set in collect::<StatefulSet>(&client, &namespace, &owner).await {
            collect::<Pod>(&client, &namespace, &set).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The UIDs of what was deleted.
async fn collect<K>(client: &Client, namespace: &str, owner: &str) -> Vec<String>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let mut collected = Vec::new();
    for object in api.list(&ListParams::default()).await.unwrap() {
        if object.owner_references().iter().any(|one| one.uid == owner) {
            let _ = api.delete(&object.name_any(), &DeleteParams::background()).await;
            collected.extend(object.uid());
        }
    }
    collected
}

/// The text of a refusal by the API server.
fn refusal(answer: kube::Result<()>) -> String {
    match answer {
        Err(kube::Error::Api(status)) => status.message.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn the_api_server_refuses_what_cannot_be_and_says_why() {
    let cluster = Cluster::settled("rules", 2, spec(5)).await;
    let message = refusal(cluster.scale(2).await);
    assert!(message.contains("replicationFactor is 3 and workers.replicas is 2"), "{message}");
    for (change, part) in [
        (json!({"partitions": 7}), "they are 6 for ever"),
        (json!({"workers": {"storage": {"size": "512Mi"}}}), "only grows: its size is 1Gi"),
        (json!({"replicationFactor": 4}), "must be 1, 3 or 5, not 4"),
        (json!({"workers": {"replicas": 65}}), "64"),
        (json!({"tls": {}}), "reserved"),
    ] {
        let message = refusal(cluster.edit(change.clone()).await);
        assert!(message.contains(part), "{change}: {message}");
    }
    cluster.scale(3).await.unwrap();
    cluster.settles().await;
    cluster.is_whole();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn a_child_that_is_deleted_or_changed_comes_back_as_it_was() {
    let cluster = Cluster::settled("drift", 3, spec(3)).await;
    let services = cluster.api::<Service>();
    let was = services.get("flights-client").await.unwrap();
    services.delete("flights-client", &DeleteParams::default()).await.unwrap();
    until("the Service is back", async || services.get_opt("flights-client").await.unwrap()).await;
    let sets = cluster.api::<StatefulSet>();
    // Kubernetes' own ordered roll-out would wait for ever at a worker that is not ready. And of the worker that is
    // more, nobody knows when its store registers.
    let patch = json!({
        "spec": {"updateStrategy": {"type": "RollingUpdate"}, "replicas": 4},
        "metadata": {"annotations": {"mine": "stays"}},
    });
    sets.patch("flights-workers", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    until("it is the operator's again who restarts workers, and who says how many", async || {
        let set = sets.get("flights-workers").await.unwrap();
        assert!(set.annotations().contains_key("mine"));
        let spec = set.spec.unwrap();
        let mended = spec.update_strategy.unwrap().type_.as_deref() == Some("OnDelete") && spec.replicas == Some(3);
        mended.then_some(())
    })
    .await;
    let now = services.get("flights-client").await.unwrap();
    assert_ne!(was.uid(), now.uid());
    cluster.settles().await;
    cluster.is_whole();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn somebody_elses_object_of_a_childs_name_is_left_alone() {
    let (client, namespace) = namespace("foreign").await;
    let services = kube::Api::<Service>::namespaced(client.clone(), &namespace);
    let foreign = json!({"metadata": {"name": "flights-client"}, "spec": {"ports": [{"port": 1}]}});
    services.create(&PostParams::default(), &serde_json::from_value(foreign).unwrap()).await.unwrap();
    let cluster = Cluster::start(client, &namespace, "flights", 4, spec(3)).await;
    until("the conflict is said", async || {
        let (holds, _, message) = cluster.condition("NameConflict").await?;
        (holds && message.contains("Service flights-client")).then_some(())
    })
    .await;
    let left = services.get("flights-client").await.unwrap();
    assert_eq!(left.spec.unwrap().ports.unwrap()[0].port, 1);
    services.delete("flights-client", &DeleteParams::default()).await.unwrap();
    cluster.settles().await;
    assert_eq!(cluster.condition("NameConflict").await.map(|found| found.0), Some(false));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn two_clusters_of_one_namespace_know_nothing_of_each_other() {
    let (client, namespace) = namespace("two").await;
    let one = Cluster::start(client.clone(), &namespace, "a", 5, spec(3)).await;
    one.settles().await;
    // Its name is the first one's StatefulSet's. The first one's operator looks at both.
    let stores = one.stores.lock().meta.clone();
    let other = Cluster::start(client, &namespace, "a-workers", 6, spec(3)).await;
    until("the other has its own StatefulSet", async || {
        other.api::<StatefulSet>().get_opt("a-workers-workers").await.unwrap()
    })
    .await;
    one.scale(4).await.unwrap();
    one.settles().await;
    assert_eq!(one.stores.lock().meta.cluster, stores.cluster);
    let pods = one.api::<Pod>().list(&ListParams::default().labels("app.kubernetes.io/instance=a")).await.unwrap();
    assert!(pods.items.iter().filter(|pod| pod.name_any().starts_with("a-workers-")).count() == 4);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn a_paused_cluster_is_watched_and_not_changed() {
    let cluster = Cluster::settled("pause", 7, spec(3)).await;
    cluster.edit(json!({"paused": true, "workers": {"replicas": 5}})).await.unwrap();
    until("it is paused", async || cluster.condition("Paused").await.filter(|found| found.0)).await;
    cluster.api::<Service>().delete("flights-client", &DeleteParams::default()).await.unwrap();
    until("it says that a worker is missing", async || {
        let (_, reason, message) = cluster.condition("Progressing").await?;
        (reason == "Paused" && message.contains("3 of 5")).then_some(())
    })
    .await;
    assert!(cluster.api::<Service>().get_opt("flights-client").await.unwrap().is_none());
    cluster.edit(json!({"paused": false})).await.unwrap();
    cluster.settles().await;
    assert_eq!(cluster.stores.lock().meta.stores.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn a_stopped_cluster_keeps_its_volumes_whatever_the_policy_and_starts_with_them() {
    let mut whole = spec(3);
    whole["workers"]["storage"]["whenDeleted"] = json!("Delete");
    let cluster = Cluster::settled("stop", 8, whole).await;
    let made = cluster.stores.lock().meta.cluster;
    cluster.edit(json!({"desiredState": "Stopped"})).await.unwrap();
    let claims = cluster.api::<PersistentVolumeClaim>();
    until("no pod is left", async || {
        let pods = cluster.api::<Pod>().list(&ListParams::default()).await.unwrap();
        pods.items.is_empty().then_some(())
    })
    .await;
    let left = claims.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(left.len(), 3);
    assert!(left.iter().all(|claim| claim.metadata.deletion_timestamp.is_none()));
    // They would go with the resource.
    assert!(left.iter().all(|claim| claim.owner_references().iter().any(|owner| owner.kind == "AnalyticsCluster")));
    until("it says so", async || cluster.condition("Available").await.filter(|found| found.1 == "Stopped")).await;
    cluster.edit(json!({"desiredState": "Running"})).await.unwrap();
    cluster.settles().await;
    assert_eq!(cluster.stores.lock().meta.cluster, made);
    assert!(cluster.stores.lock().meta.retired.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn a_broken_image_stops_at_the_first_worker_and_setting_it_back_heals() {
    let cluster = Cluster::settled("broken", 9, spec(3)).await;
    cluster.broken.lock().insert("raftduck:broken".into());
    let before = cluster.pods().await;
    cluster.edit(json!({"image": "raftduck:broken"})).await.unwrap();
    until("the others wait", async || {
        let (_, _, message) = cluster.condition("Progressing").await?;
        message.contains("is not ready").then_some(())
    })
    .await;
    assert!(cluster.condition("Available").await.unwrap().0, "two of three serve");
    cluster.edit(json!({"image": "raftduck:1"})).await.unwrap();
    cluster.settles().await;
    cluster.is_whole();
    let after = cluster.pods().await;
    assert_eq!(before.intersection(&after).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn another_operator_restarts_no_pod_until_the_spec_changes() {
    let mut cluster = Cluster::settled("upgrade", 13, spec(3)).await;
    let before = cluster.pods().await;
    let templates = async |cluster: &Cluster| -> Vec<String> {
        let pods = cluster.api::<Pod>().list(&ListParams::default()).await.unwrap();
        pods.items.iter().map(|pod| pod.annotations()["raftduck.io/template-revision"].clone()).collect()
    };
    cluster.change_operator(2).await;
    // It has looked once it mends something.
    let services = cluster.api::<Service>();
    services.delete("flights-client", &DeleteParams::default()).await.unwrap();
    until("the Service is back", async || services.get_opt("flights-client").await.unwrap()).await;
    cluster.settles().await;
    assert_eq!((cluster.pods().await, templates(&cluster).await), (before.clone(), vec!["1".to_owned(); 3]));
    cluster.edit(json!({"workers": {"settings": {"threads": 1}}})).await.unwrap();
    cluster.settles().await;
    assert_eq!(
        (cluster.pods().await.intersection(&before).count(), templates(&cluster).await),
        (0, vec!["2".into(); 3])
    );
    cluster.is_whole();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn a_resource_that_this_release_does_not_understand_stops_no_other() {
    let cluster = Cluster::settled("newer", 14, spec(3)).await;
    // As a later release's definition lets it through. Whoever begins a test puts this release's back, so again and
    // again until it is in.
    let definitions = kube::Api::<CustomResourceDefinition>::all(cluster.client.clone());
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/desiredState/enum/-";
    let wider: json_patch::Patch =
        serde_json::from_value(json!([{"op": "add", "path": path, "value": "Hibernating"}])).unwrap();
    let name = raftduck_operator_api::definition().name_any();
    let kind = kube::core::ApiResource::erase::<AnalyticsCluster>(&());
    let resources = kube::Api::<DynamicObject>::namespaced_with(cluster.client.clone(), &cluster.namespace, &kind);
    let mut spec = spec(3);
    spec["desiredState"] = json!("Hibernating");
    let later = DynamicObject::new("later", &kind).data(json!({ "spec": spec }));
    until("the later resource is there", async || {
        definitions.patch(&name, &PatchParams::default(), &Patch::<()>::Json(wider.clone())).await.unwrap();
        resources.create(&PostParams::default(), &later).await.ok()
    })
    .await;
    cluster.scale(4).await.unwrap();
    cluster.settles().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn a_cluster_with_one_copy_of_everything_can_be_rolled_too() {
    let single = |image: &str| {
        json!({
            "image": image, "partitions": 6, "replicationFactor": 1,
            "workers": {"replicas": 2, "storage": {"size": "1Gi"}},
        })
    };
    let cluster = Cluster::settled("single", 12, single("raftduck:1")).await;
    cluster.apply(single("raftduck:2")).await.unwrap();
    cluster.settles().await;
    cluster.is_whole();
    for pod in cluster.api::<Pod>().list(&ListParams::default()).await.unwrap() {
        assert_eq!(pod.spec.unwrap().containers[0].image.as_deref(), Some("raftduck:2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn a_resource_that_is_deleted_and_applied_again_finds_its_rows() {
    let cluster = Cluster::settled("adopt", 10, spec(3)).await;
    let made = cluster.stores.lock().meta.cluster;
    let made_for = cluster.resources().get("flights").await.unwrap().uid().unwrap();
    cluster.delete().await;
    let collector = tokio::spawn(collect_garbage(cluster.client.clone(), cluster.namespace.clone(), made_for));
    // To begin anew over them is refused.
    let mut new = spec(3);
    new["bootstrap"] = json!({"new": {}});
    cluster.apply(new).await.unwrap();
    until("the volumes are found", async || cluster.condition("VolumesFound").await.filter(|found| found.0)).await;
    cluster.apply(spec(3)).await.unwrap();
    cluster.settles().await;
    cluster.is_whole();
    assert_eq!(cluster.stores.lock().meta.cluster, made);
    assert!(cluster.api::<ConfigMap>().get_opt("flights-identity").await.unwrap().is_some());
    collector.abort();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: tests/e2e/run --api"]
async fn volumes_grow_and_pods_stay() {
    let (client, namespace) = namespace("grow").await;
    let class = json!({
        "metadata": {"name": "grows"}, "provisioner": "example.com/none", "allowVolumeExpansion": true,
    });
    let apply = Patch::Apply(serde_json::from_value::<StorageClass>(class).unwrap());
    let classes = kube::Api::<StorageClass>::all(client.clone());
    classes.patch("grows", &PatchParams::apply("test"), &apply).await.unwrap();
    let mut growing = spec(3);
    growing["workers"]["storage"]["className"] = json!("grows");
    let cluster = Cluster::start(client, &namespace, "flights", 11, growing).await;
    cluster.settles().await;
    let before = cluster.pods().await;
    cluster.edit(json!({"workers": {"storage": {"size": "2Gi"}}})).await.unwrap();
    let sets = cluster.api::<StatefulSet>();
    until("the StatefulSet is made anew", async || {
        let set = sets.get_opt("flights-workers").await.unwrap()?;
        let claim = set.spec?.volume_claim_templates?.remove(0);
        (claim.spec?.resources?.requests?["storage"].0 == "2Gi").then_some(())
    })
    .await;
    cluster.settles().await;
    let claims = cluster.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap();
    for claim in claims {
        assert_eq!(claim.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0, "2Gi");
    }
    assert_eq!(cluster.pods().await, before);
}
