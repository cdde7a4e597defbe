//! What Platen may do on a cluster that somebody else runs: asked of the API server for each right before anything is
//! changed, and told as a list of exactly what is missing, with the manifest by which an administrator gives it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{Api, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};

use super::apps::NAMESPACES;
use crate::error::{Doing, Error, Result};
use crate::gitops;

/// Questions under way at once.
const AT_ONCE: usize = 16;
/// What Helm and Platen do with an object of the chart over its life; Helm watches it leave.
const MANAGED: [&str; 6] = ["create", "delete", "get", "list", "patch", "watch"];
/// Once, and as it changes.
const LOOK: [&str; 2] = ["list", "watch"];
/// The name of the role in the manifest.
const ROLE: &str = "platen";

/// One thing that an account may do or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// `None`: of the cluster.
    namespace: Option<String>,
    /// Empty: Kubernetes' own.
    group: String,
    /// As `deployments` or `pods/log`.
    resource: String,
    /// `None`: any.
    name: Option<String>,
    verb: String,
}

impl Right {
    fn new(namespace: Option<&str>, group: &str, resource: &str, verb: &str) -> Self {
        Self {
            namespace: namespace.map(ToOwned::to_owned),
            group: group.into(),
            resource: resource.into(),
            name: None,
            verb: verb.into(),
        }
    }

    fn attributes(&self) -> ResourceAttributes {
        let (resource, subresource) =
            self.resource.split_once('/').map_or((self.resource.as_str(), None), |(of, sub)| (of, Some(sub)));
        ResourceAttributes {
            namespace: self.namespace.clone(),
            group: Some(self.group.clone()),
            resource: Some(resource.into()),
            subresource: subresource.map(ToOwned::to_owned),
            name: self.name.clone(),
            verb: Some(self.verb.clone()),
            ..ResourceAttributes::default()
        }
    }
}

/// What a cluster's Argo CD has to do with the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argocd {
    Absent,
    /// It may have the service from an earlier deploy, and lets go of it.
    IsThere,
    Delivers,
}

/// Rights that the service's chart needs, of its rendered manifests, and those that Platen itself needs beside it.
pub fn needed(manifests: &str, argocd: Argocd) -> Result<Vec<Right>> {
    let mut rights: BTreeSet<Right> = own().into_iter().chain(of_argocd(argocd)).collect();
    for object in objects(manifests)? {
        let Some((group, resource, namespaced)) = resource_of(&object.api_version, &object.kind) else {
            let what = format!(
                "the chart makes a {} ({}), of which no right is known",
                object.kind, object.api_version
            );
            return Err(Error::malformed(
                "the chart",
                what,
                "add it to the rights in platform/src/up/existing_rights.rs",
            ));
        };
        let namespace = namespaced.then(|| object.metadata.namespace.as_deref().unwrap_or(NAMESPACES[0]));
        rights.extend(MANAGED.map(|verb| Right::new(namespace, group, resource, verb)));
        // Nobody may give a right that he has not himself.
        for rule in &object.rules {
            rights.extend(given(rule, namespace));
        }
    }
    Ok(rights.into_iter().collect())
}

/// Without the chart: what it is installed with, and what `status`, its live view and `doctor` look at.
fn own() -> Vec<Right> {
    let mut rights: Vec<Right> = LOOK.map(|verb| Right::new(None, "", "nodes", verb)).into();
    for namespace in NAMESPACES {
        let of_namespace =
            |verb| Right { name: Some(namespace.into()), ..Right::new(None, "", "namespaces", verb) };
        rights.extend(["get", "patch"].map(of_namespace));
        let looked_at = [
            ("", "pods"),
            ("", "events"),
            ("apps", "deployments"),
            ("apps", "statefulsets"),
            ("apps", "daemonsets"),
        ];
        for (group, resource) in looked_at {
            rights.extend(LOOK.map(|verb| Right::new(Some(namespace), group, resource, verb)));
        }
        rights.push(Right::new(Some(namespace), "", "pods/log", "get"));
        rights.extend(
            ["create", "get", "patch", "delete"].map(|verb| Right::new(Some(namespace), "", "secrets", verb)),
        );
    }
    let release = Some(NAMESPACES[0]);
    // Helm keeps a release in Secrets of its own.
    rights
        .extend(["list", "update", "deletecollection"].map(|verb| Right::new(release, "", "secrets", verb)));
    rights.push(Right::new(release, "batch", "jobs", "deletecollection"));
    rights.push(Right::new(release, "", "persistentvolumeclaims", "list"));
    rights
}

fn of_argocd(argocd: Argocd) -> Vec<Right> {
    let right = |group, resource, verb| Right::new(Some(gitops::NAMESPACE), group, resource, verb);
    let mut rights = Vec::new();
    if argocd != Argocd::Absent {
        rights.extend(
            ["get", "list", "patch", "delete"].map(|verb| right(gitops::GROUP, "applications", verb)),
        );
        rights.extend(["get", "delete"].map(|verb| right(gitops::GROUP, "appprojects", verb)));
        rights.push(right(gitops::GROUP, "applicationsets", "list"));
    }
    if argocd == Argocd::Delivers {
        rights.extend(["create", "update"].map(|verb| right(gitops::GROUP, "applications", verb)));
        rights.extend(["create", "patch"].map(|verb| right(gitops::GROUP, "appprojects", verb)));
        rights.extend(["create", "get", "patch", "delete"].map(|verb| right("", "secrets", verb)));
        rights.push(right("apps", "deployments", "list"));
    }
    rights
}

fn given(rule: &PolicyRule, namespace: Option<&str>) -> Vec<Right> {
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            rights.extend(rule.verbs.iter().map(|verb| Right::new(namespace, group, resource, verb)));
        }
    }
    rights
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    api_version: String,
    kind: String,
    metadata: Metadata,
    rules: Vec<PolicyRule>,
}

#[derive(Deserialize)]
struct Metadata {
    namespace: Option<String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What is installed; tests of the chart are not.
fn objects(manifests: &str) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(manifests) {
        let value = Value::deserialize(document)
            .map_err(|error| Error::malformed("the rendered chart", error, "restore it from git"))?;
        if value.is_null() {
            continue;
        }
        // Alerts have rules of another kind.
        let is_role = value["kind"].as_str().is_some_and(|kind| kind.ends_with("Role"));
        let rules = if is_role { value["rules"].clone() } else { json!([]) };
        let object: Object = serde_json::from_value(json!({
            "apiVersion": value["apiVersion"], "kind": value["kind"], "metadata": value["metadata"], "rules": rules,
        }))
        .map_err(|error| Error::malformed("the rendered chart", error, "restore it from git"))?;
        if !object.metadata.annotations.contains_key("helm.sh/hook") {
            objects.push(object);
        }
    }
    Ok(objects)
}

/// Group and resource of a kind that the chart has, and whether it lies in a namespace.
fn resource_of(api_version: &str, kind: &str) -> Option<(&'static str, &'static str, bool)> {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let known = [
        ("", "ConfigMap", "configmaps"),
        ("", "PersistentVolumeClaim", "persistentvolumeclaims"),
        ("", "Secret", "secrets"),
        ("", "Service", "services"),
        ("", "ServiceAccount", "serviceaccounts"),
        ("apps", "Deployment", "deployments"),
        ("apps", "StatefulSet", "statefulsets"),
        ("autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
        ("monitoring.coreos.com", "PodMonitor", "podmonitors"),
        ("monitoring.coreos.com", "PrometheusRule", "prometheusrules"),
        ("networking.k8s.io", "Ingress", "ingresses"),
        ("networking.k8s.io", "NetworkPolicy", "networkpolicies"),
        ("policy", "PodDisruptionBudget", "poddisruptionbudgets"),
        ("rbac.authorization.k8s.io", "Role", "roles"),
        ("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
    ];
    if (group, kind) == ("", "PersistentVolume") {
        return Some(("", "persistentvolumes", false));
    }
    let found = known.into_iter().find(|(of, name, _)| (*of, *name) == (group, kind))?;
    Some((found.0, found.2, true))
}

/// Those of `rights` that this account has not.
pub async fn missing(client: &kube::Client, rights: Vec<Right>) -> Result<Vec<Right>> {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let asked = futures_util::stream::iter(rights.into_iter().map(|right| {
        let api = api.clone();
        async move {
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(right.attributes()),
                    ..SelfSubjectAccessReviewSpec::default()
                },
                ..SelfSubjectAccessReview::default()
            };
            let answer = api.create(&PostParams::default(), &review).await;
            let answer = answer.doing("asking what this account may do")?;
            let allowed = answer.status.is_some_and(|status| status.allowed);
            Ok::<_, Error>((!allowed).then_some(right))
        }
    }));
    let mut missing: Vec<Right> =
        asked.buffer_unordered(AT_ONCE).try_filter_map(async |it| Ok(it)).try_collect().await?;
    missing.sort();
    Ok(missing)
}

/// Who this account is to the API server; `None` where that does not say.
pub async fn user(client: &kube::Client) -> Option<String> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = SelfSubjectReview { status: None, ..SelfSubjectReview::default() };
    let answer = api.create(&PostParams::default(), &review).await.ok()?;
    answer.status?.user_info?.username
}

/// What verbs are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    namespace: Option<&'a str>,
    group: &'a str,
    resource: &'a str,
    name: Option<&'a str>,
}

/// Verbs by what they are of, in the order of the list.
fn grouped(rights: &[Right]) -> BTreeMap<Place<'_>, Vec<&str>> {
    let mut grouped: BTreeMap<Place<'_>, Vec<&str>> = BTreeMap::new();
    for Right { namespace, group, resource, name, verb } in rights {
        let place = Place { namespace: namespace.as_deref(), group, resource, name: name.as_deref() };
        grouped.entry(place).or_default().push(verb);
    }
    grouped
}

/// A line for each resource: `in ocr: create, get deployments.apps`.
pub fn lines(missing: &[Right]) -> Vec<String> {
    let line = |(place, verbs): (Place<'_>, Vec<&str>)| {
        let Place { namespace, group, resource, name } = place;
        let place = namespace.map_or_else(|| "in the cluster".to_owned(), |name| format!("in {name}"));
        let dot = if group.is_empty() { "" } else { "." };
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        format!("{place}: {} {resource}{dot}{group}{name}", verbs.join(", "))
    };
    grouped(missing).into_iter().map(line).collect()
}

/// What an administrator applies to give `user` the rights: namespaces, roles and their bindings.
pub fn manifest(rights: &[Right], user: &str) -> Result<String> {
    let subject = match user.strip_prefix("system:serviceaccount:").and_then(|it| it.split_once(':')) {
        Some((namespace, name)) => json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}),
        None => json!({"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}),
    };
    let mut rules: BTreeMap<Option<&str>, Vec<Value>> = BTreeMap::new();
    for (Place { namespace, group, resource, name }, verbs) in grouped(rights) {
        let mut rule = json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
        if let Some(name) = name {
            rule["resourceNames"] = json!([name]);
        }
        rules.entry(namespace).or_default().push(rule);
    }
    let mut documents: Vec<Value> = rules
        .keys()
        .flatten()
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .collect();
    for (namespace, rules) in rules {
        let (role, binding) = match namespace {
            Some(_) => ("Role", "RoleBinding"),
            None => ("ClusterRole", "ClusterRoleBinding"),
        };
        let mut metadata = json!({"name": ROLE});
        if let Some(namespace) = namespace {
            metadata["namespace"] = json!(namespace);
        }
        let version = "rbac.authorization.k8s.io/v1";
        documents.push(json!({"apiVersion": version, "kind": role, "metadata": metadata, "rules": rules}));
        documents.push(json!({
            "apiVersion": version, "kind": binding, "metadata": metadata, "subjects": [subject],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": ROLE},
        }));
    }
    let mut text = String::new();
    for document in documents {
        let yaml = serde_yaml::to_string(&document);
        text.push_str("---\n");
        text.push_str(&yaml.map_err(|error| Error::malformed("the rights", error, ""))?);
    }
    Ok(text)
}

#[cfg(test)]
#[path = "existing_rights_tests.rs"]
mod tests;
