//! Brings objects into the state in which they were built, where they are ours.
//!
//! By server-side apply under one field manager, so that other people's fields stay theirs. An object is written only
//! where it is not yet as built: a reconcile that finds all well writes nothing.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::core::ApiResource;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::build::labels::{APPLIED, selector};
use crate::names::{ClusterName, Namespace};

/// Under which name the operator owns fields.
pub const FIELD_MANAGER: &str = "raftduck-operator";

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was as built.
    Unchanged,
    /// It is now.
    Written,
    /// It belongs to somebody else, and was left alone.
    Foreign,
    /// It is not what it was when what it should be was decided.
    Overtaken,
    /// It belonged to a resource of this name that was deleted, and is about to go; or it is on its way out itself.
    Leaving,
}

/// Applies the objects of one resource.
pub struct Applier<'a> {
    /// Kubernetes.
    pub client: &'a Client,
    /// Where.
    pub namespace: &'a Namespace,
    /// The resource's name.
    pub name: &'a ClusterName,
    /// The resource's UID.
    pub uid: &'a str,
}

impl Applier<'_> {
    /// Has `object` be there as built.
    ///
    /// # Errors
    /// Where the API server does not answer, or refuses it.
    pub async fn apply(&self, kind: &ApiResource, object: Value) -> kube::Result<Applied> {
        self.write(kind, object, None).await
    }

    /// As [`Self::apply`], only where the object's spec is still of the generation that was seen; none where it was not
    /// there. What is decided from a size must not meet another one: pods would go that nobody emptied.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn apply_to(&self, kind: &ApiResource, object: Value, seen: Option<i64>) -> kube::Result<Applied> {
        self.write(kind, object, Some(seen)).await
    }

    async fn write(&self, kind: &ApiResource, object: Value, seen: Option<Option<i64>>) -> kube::Result<Applied> {
        let api = self.api(kind);
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut object = stamped(object);
        let mut was = None;
        let live = api.get_opt(&name).await?;
        let generation = live.as_ref().and_then(|live| live.metadata.generation);
        if let Some(live) = live {
            match self.whose(&live.metadata) {
                Applied::Unchanged => {}
                other => return Ok(other),
            }
            was = live.resource_version();
            // What the API server stored is read as JSON: only so can every kind be compared in one way.
            let live = serde_json::to_value(&live).map_err(kube::Error::SerdeError)?;
            if covers(&live, &object) {
                return Ok(Applied::Unchanged);
            }
        }
        if let Some(seen) = seen {
            if seen != generation {
                return Ok(Applied::Overtaken);
            }
            if let (Some(was), Some(metadata)) = (&was, object.get_mut("metadata").and_then(Value::as_object_mut)) {
                metadata.insert("resourceVersion".to_owned(), json!(was));
            }
        }
        let now = match api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object)).await {
            Err(kube::Error::Api(status)) if status.code == 409 && seen.is_some() => return Ok(Applied::Overtaken),
            answer => answer?,
        };
        // The same in other words, such as 1024Mi for 1Gi, is no change.
        Ok(if was.is_some() && now.resource_version() == was { Applied::Unchanged } else { Applied::Written })
    }

    /// Has an object be there; what is in it is nobody's business afterwards.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn create(&self, kind: &ApiResource, object: Value) -> kube::Result<Applied> {
        let api = self.api(kind);
        let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        // Not what is in it: a Secret's contents are not read.
        if let Some(live) = api.get_metadata_opt(&object.name_any()).await? {
            return Ok(self.whose(&live.metadata));
        }
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match api.create(&parameters, &object).await {
            Ok(_) => Ok(Applied::Written),
            // Another was faster: the next look says whose it is.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Applied::Leaving),
            Err(error) => Err(error),
        }
    }

    /// Has an object of ours not be there.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn remove(&self, kind: &ApiResource, name: &str) -> kube::Result<Applied> {
        let api = self.api(kind);
        let Some(live) = api.get_opt(name).await? else { return Ok(Applied::Unchanged) };
        // Somebody else's object of a name that we do not want is no trouble of ours.
        if self.whose(&live.metadata) != Applied::Unchanged {
            return Ok(Applied::Unchanged);
        }
        match api.delete(name, &of_uid(live.uid())).await {
            Ok(_) => Ok(Applied::Written),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Applied::Unchanged),
            Err(error) => Err(error),
        }
    }

    /// `Unchanged` for ours.
    fn whose(&self, live: &ObjectMeta) -> Applied {
        if live.deletion_timestamp.is_some() {
            return Applied::Leaving;
        }
        let owner = live.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        match owner {
            Some(owner) if owner.uid == self.uid => Applied::Unchanged,
            Some(owner) if owner.kind == "AnalyticsCluster" && owner.name == self.name.as_str() => Applied::Leaving,
            Some(_) => Applied::Foreign,
            // One that is kept, or that somebody orphaned: its labels say whose it is.
            None => {
                let label = |key: &str| live.labels.as_ref().and_then(|labels| labels.get(key));
                let ours = selector(self.name, None).iter().all(|(key, value)| label(key) == Some(value));
                if ours { Applied::Unchanged } else { Applied::Foreign }
            }
        }
    }

    fn api(&self, kind: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace.to_string(), kind)
    }
}

/// Deletes exactly that object, not one that has its name by now.
pub fn of_uid(uid: Option<String>) -> DeleteParams {
    DeleteParams { preconditions: Some(Preconditions { uid, resource_version: None }), ..DeleteParams::default() }
}

/// With a hash of itself: by that a field is missed which is to go.
fn stamped(mut object: Value) -> Value {
    let hash = xxh3_64(object.to_string().as_bytes());
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        annotations[APPLIED] = json!(format!("{hash:016x}"));
    }
    object
}

/// Whether everything that `wanted` says is so in `live`, which may say more.
fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| match live.get(key) {
            Some(live) => covers(live, wanted),
            // The API server leaves out what is empty.
            None => is_empty(wanted),
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        _ => live == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_adds_is_no_difference_and_what_others_change_is() {
        let wanted = json!({"spec": {"replicas": 3, "list": [{"name": "a"}], "resources": {}}});
        let live = json!({"spec": {"replicas": 3, "list": [{"name": "a", "added": 1}], "other": true}, "status": {}});
        assert!(covers(&live, &wanted));
        for (at, value) in [("/spec/replicas", json!(4)), ("/spec/list/0/name", json!("b")), ("/spec/list", json!([]))]
        {
            let mut changed = live.clone();
            *changed.pointer_mut(at).unwrap_or(&mut Value::Null) = value;
            assert!(!covers(&changed, &wanted), "{at}");
        }
    }

    #[test]
    fn a_field_that_is_to_go_changes_the_hash() {
        let hash = |object: Value| stamped(object).pointer("/metadata/annotations").cloned();
        let with = json!({"metadata": {"name": "a"}, "spec": {"x": 1}});
        let without = json!({"metadata": {"name": "a"}, "spec": {}});
        assert_ne!(hash(with.clone()), hash(without));
        assert_eq!(hash(with.clone()), hash(with));
    }
}
