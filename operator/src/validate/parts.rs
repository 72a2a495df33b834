//! The parts of a cluster, each read by itself.

use k8s_openapi::api::core::v1::ResourceRequirements;
use raftduck_operator_api as api;
use uuid::Uuid;

use super::{
    Control, Image, Ingress, Invalid, Monitoring, Origin, PARTS_OF_LIMIT, Placement, Storage, Tokens, Workers,
};
use crate::names::{Namespace, SecretName};
use crate::quantity::Bytes;

/// A number of the type that its bounds fit.
pub fn within<T: TryFrom<i32>>(field: &'static str, found: i32, least: i32, most: i32) -> Result<T, Invalid> {
    let range = Invalid::Range { field, found, least, most };
    if !(least..=most).contains(&found) {
        return Err(range);
    }
    T::try_from(found).map_err(|_| range)
}

pub fn image(spec: &api::AnalyticsClusterSpec) -> Result<Image, Invalid> {
    let name = &spec.image;
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let rule = "name an image as `docker pull` takes it, such as registry.example.com/raftduck:0.1.0";
        return Err(Invalid::Text { field: "spec.image", found: name.clone(), rule });
    }
    let pull_secrets = spec.image_pull_secrets.iter().map(|secret| secret_name("spec.imagePullSecrets", &secret.name));
    Ok(Image {
        name: name.clone(),
        pull: spec.image_pull_policy,
        pull_secrets: pull_secrets.collect::<Result<_, _>>()?,
    })
}

pub fn workers(spec: &api::Workers) -> Result<Workers, Invalid> {
    let settings = &spec.settings;
    let limit = ("spec.workers.resources.limits.memory", &spec.resources);
    let setting = ("spec.workers.settings.memory", settings.memory.as_deref());
    Ok(Workers {
        replicas: within("spec.workers.replicas", spec.replicas, 1, 64)?,
        storage: storage(&spec.storage)?,
        resources: resources(&spec.resources),
        memory: memory(setting, limit)?,
        threads: settings.threads.map(|n| within("spec.workers.settings.threads", n, 1, 1024)).transpose()?,
        spill: settings.spill.as_deref().map(|text| bytes("spec.workers.settings.spill", text)).transpose()?,
        log_size: settings.log_size.as_deref().map(|text| bytes("spec.workers.settings.logSize", text)).transpose()?,
        replace_after: settings.replace_after.as_deref().map(replace_after).transpose()?,
        placement: Placement { node_selector: spec.node_selector.clone(), tolerations: spec.tolerations.clone() },
        spread: spec.spread,
        priority_class: spec.priority_class_name.clone(),
    })
}

fn storage(spec: &api::Storage) -> Result<Storage, Invalid> {
    Ok(Storage {
        size: bytes("spec.workers.storage.size", &spec.size)?,
        size_text: spec.size.clone(),
        class: spec.class_name.clone(),
        when_deleted: spec.when_deleted,
        when_scaled: spec.when_scaled,
        replace_lost: spec.replace_lost,
    })
}

fn replace_after(text: &str) -> Result<String, Invalid> {
    let number = text.strip_suffix(['s', 'm', 'h']).unwrap_or_default();
    let fits =
        !number.starts_with('0') && (1..=6).contains(&number.len()) && number.chars().all(|c| c.is_ascii_digit());
    let rule = "write a number and s, m or h, such as 10m";
    let error = || Invalid::Text { field: "spec.workers.settings.replaceAfter", found: text.to_owned(), rule };
    fits.then(|| text.to_owned()).ok_or_else(error)
}

pub fn control(spec: &api::Control) -> Result<Control, Invalid> {
    let limit = ("spec.control.resources.limits.memory", &spec.resources);
    Ok(Control {
        replicas: within("spec.control.replicas", spec.replicas, 1, 64)?,
        resources: resources(&spec.resources),
        memory: memory(("spec.control.memory", spec.memory.as_deref()), limit)?,
        placement: Placement { node_selector: spec.node_selector.clone(), tolerations: spec.tolerations.clone() },
        service: spec.service.kind,
        service_annotations: spec.service.annotations.clone(),
        ingress: spec.ingress.as_ref().map(ingress).transpose()?,
    })
}

fn ingress(spec: &api::IngressSpec) -> Result<Ingress, Invalid> {
    let labels = spec.host.strip_prefix("*.").unwrap_or(&spec.host);
    // The rule for a Secret's name is that for a host's.
    if SecretName::new(labels).is_err() {
        let rule = "name the host that clients use, in lower case, such as rows.example.com";
        return Err(Invalid::Text { field: "spec.control.ingress.host", found: spec.host.clone(), rule });
    }
    if !spec.path.starts_with('/') {
        let rule = "begin it with a slash";
        return Err(Invalid::Text { field: "spec.control.ingress.path", found: spec.path.clone(), rule });
    }
    let tls = spec.tls_secret_name.as_deref().map(|name| secret_name("spec.control.ingress.tlsSecretName", name));
    Ok(Ingress {
        host: spec.host.clone(),
        path: spec.path.clone(),
        class: spec.class_name.clone(),
        tls: tls.transpose()?,
        annotations: spec.annotations.clone(),
    })
}

pub fn origin(spec: Option<&api::Bootstrap>) -> Result<Origin, Invalid> {
    let Some(spec) = spec else { return Ok(Origin::WhatIsThere) };
    if spec.restore.is_some() {
        return Err(Invalid::Reserved { field: "spec.bootstrap.restore" });
    }
    if spec.recover.is_some() {
        return Err(Invalid::Reserved { field: "spec.bootstrap.recover" });
    }
    match (&spec.new, &spec.adopt) {
        (Some(_), None) => Ok(Origin::New),
        (None, Some(adopt)) => {
            let rule = "give the cluster's UUID, as the label raftduck.io/cluster-uuid of its claims says";
            let error = |_| Invalid::Text {
                field: "spec.bootstrap.adopt.clusterUuid",
                found: adopt.cluster_uuid.clone(),
                rule,
            };
            Uuid::try_parse(&adopt.cluster_uuid).map(Origin::Adopt).map_err(error)
        }
        (new, adopt) => Err(Invalid::Bootstrap { found: usize::from(new.is_some()) + usize::from(adopt.is_some()) }),
    }
}

pub fn tokens(spec: &api::Auth) -> Result<Tokens, Invalid> {
    let Some(given) = &spec.token_secret else { return Ok(Tokens::Made) };
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if given.key.is_empty() || given.key.len() > 253 || !given.key.chars().all(inner) {
        let rule = "name a key of the Secret: letters, digits, hyphens, underscores and dots";
        return Err(Invalid::Text { field: "spec.auth.tokenSecret.key", found: given.key.clone(), rule });
    }
    Ok(Tokens::Given { secret: secret_name("spec.auth.tokenSecret.name", &given.name)?, key: given.key.clone() })
}

pub fn monitoring(spec: &api::Monitoring) -> Result<Monitoring, Invalid> {
    let field = "spec.monitoring.scraperNamespace";
    let scraper = spec.scraper_namespace.as_deref().map(Namespace::new).transpose();
    Ok(Monitoring {
        pod_monitor: spec.pod_monitor,
        labels: spec.labels.clone(),
        scraper_namespace: scraper.map_err(|source| Invalid::Name { field, source })?,
    })
}

fn resources(spec: &api::Resources) -> ResourceRequirements {
    let some = |map: &std::collections::BTreeMap<_, _>| (!map.is_empty()).then(|| map.clone());
    ResourceRequirements { claims: None, limits: some(&spec.limits), requests: some(&spec.requests) }
}

/// The setting, else a share of the limit; each with the field it stands in.
fn memory(
    (field, setting): (&'static str, Option<&str>),
    (limit_field, resources): (&'static str, &api::Resources),
) -> Result<Option<Bytes>, Invalid> {
    if let Some(text) = setting {
        return bytes(field, text).map(Some);
    }
    let Some(limit) = resources.limits.get("memory") else { return Ok(None) };
    bytes(limit_field, &limit.0).map(|limit| Some(limit.divided_by(PARTS_OF_LIMIT)))
}

fn bytes(field: &'static str, text: &str) -> Result<Bytes, Invalid> {
    text.parse().map_err(|source| Invalid::Amount { field, source })
}

fn secret_name(field: &'static str, name: &str) -> Result<SecretName, Invalid> {
    SecretName::new(name).map_err(|source| Invalid::Name { field, source })
}
