//! The chart as Helm renders it: every kind of values that it is meant for, and some that it must refuse.

mod values;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::objects::UNREACHABLE;
use crate::error::{Error, Result};
use crate::event::Step;
use crate::helm::{Chart, Helm, Release};
use crate::host::Host;
use crate::manifests::{self, CHART, restricted, strict};
use crate::tools::{self, Tool};
use values::{accepted, refused};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub async fn check(host: &Host, step: &Step) -> Result<String> {
    let program = tools::ensure(host, Tool::Helm).await?;
    let helm = Helm::offline(host.processes.clone(), program);
    let path = host.root.join(CHART);
    step.message("lint");
    helm.lint(&path).await?;
    let chart = Chart::Path(path);
    let release = Release::new("ocr", "ocr");
    let allowed = Allowed::by_project()?;
    let (mut objects, mut rendered) = (0, BTreeSet::new());
    for (name, values) in accepted() {
        step.message(format!("rendering {name}"));
        let text = helm.template(&release, &chart, &values).await?;
        let documents = documents(&text)?;
        for document in &documents {
            sound(document)
                .and_then(|()| allowed.check(document))
                .map_err(|error| Error::unhealthy(format!("with {name}: {error}"), hint(&error)))?;
            rendered.extend((!is_test(document)).then(|| kind_of(document)));
        }
        one_after_the_other(&documents)
            .map_err(|error| Error::unhealthy(format!("with {name}: {error}"), hint(&error)))?;
        objects += documents.len();
    }
    allowed.all_used(&rendered)?;
    for (name, values) in refused() {
        step.message(format!("refusing {name}"));
        match helm.template(&release, &chart, &values).await {
            Err(Error::Usage { .. }) => {}
            Err(error) => return Err(error),
            Ok(_) => {
                let what = format!("the chart takes {name}, which its schema must refuse: {values}");
                return Err(Error::unhealthy(what, "correct charts/ocr-app/values.schema.json"));
            }
        }
    }
    Ok(format!("{objects} objects from {} sets of values", accepted().len()))
}

fn hint(error: &Error) -> String {
    error.hint().unwrap_or_default()
}

fn documents(text: &str) -> Result<Vec<Value>> {
    let parsed: std::result::Result<Vec<Value>, _> =
        serde_yaml::Deserializer::from_str(text).map(Value::deserialize).collect();
    let documents = parsed.map_err(|error| {
        Error::malformed("what helm rendered", error, format!("see it: helm template {CHART}"))
    })?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// Known fields only; a namespace, of what can have one; and, for what runs pods, Pod Security `restricted`.
fn sound(document: &Value) -> Result<()> {
    strict::verify(document)?;
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?");
    if document["kind"] == "PersistentVolume" {
        return Ok(());
    }
    if document.pointer("/metadata/namespace").is_none() {
        return Err(Error::malformed(
            name,
            "it names no namespace",
            "add metadata.namespace to its template",
        ));
    }
    let violations = match document["kind"].as_str() {
        Some("Deployment") => {
            let deployment: Deployment = strict::object(document)?;
            let mut violations = of_pod(deployment.spec.template.spec.as_ref());
            violations.extend(two_writers(&deployment));
            violations
        }
        Some("StatefulSet") => of_pod(strict::object::<StatefulSet>(document)?.spec.template.spec.as_ref()),
        Some("Pod") => of_pod(strict::object::<Pod>(document)?.spec.as_ref()),
        _ => Vec::new(),
    };
    if violations.is_empty() {
        return Ok(());
    }
    Err(Error::malformed(name, violations.join("; "), "correct its template in charts/ocr-app/templates"))
}

/// Roles whose pods leave a dead node in the same second have their replacements started in the same second, beside
/// whatever serves; one that names no seconds never leaves.
fn one_after_the_other(documents: &[Value]) -> Result<()> {
    let mut leaves = BTreeMap::new();
    for document in documents.iter().filter(|document| document["kind"] == "Deployment") {
        let deployment: Deployment = strict::object(document)?;
        let name = deployment.metadata.name.unwrap_or_default();
        let pod = deployment.spec.template.spec.unwrap_or_default();
        let tolerations = pod.tolerations.unwrap_or_default();
        let seconds = |taint: &str| {
            let of_taint = tolerations.iter().find(|toleration| toleration.key.as_deref() == Some(taint));
            of_taint.and_then(|toleration| toleration.toleration_seconds)
        };
        let (unreachable, not_ready) = (seconds(UNREACHABLE), seconds(NOT_READY));
        let wrong = match (unreachable, unreachable.and_then(|after| leaves.insert(after, name.clone()))) {
            (Some(_), None) if unreachable == not_ready => continue,
            (Some(after), Some(other)) => {
                format!("its pods leave a dead node after {after} s, as those of {other}")
            }
            _ => format!("it must name one and the same tolerationSeconds for {UNREACHABLE} and {NOT_READY}"),
        };
        return Err(Error::malformed(
            name,
            wrong,
            "give its role a place in ocr-app.tolerationSeconds, charts/ocr-app",
        ));
    }
    Ok(())
}

fn of_pod(pod: Option<&PodSpec>) -> Vec<String> {
    let mut violations = pod.map(restricted::violations).unwrap_or_default();
    violations.extend(pod.and_then(stray_token));
    violations
}

/// Group and kind.
type Kind = (String, String);

fn kind_of(document: &Value) -> Kind {
    let version = document["apiVersion"].as_str().unwrap_or_default();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    (group.into(), document["kind"].as_str().unwrap_or_default().into())
}

/// Argo CD leaves Helm's tests out.
fn is_test(document: &Value) -> bool {
    document.pointer("/metadata/annotations/helm.sh~1hook").is_some_and(|it| it == "test")
}

/// What Argo CD may write in the project's name: what the chart has beyond that would stop its whole sync.
struct Allowed(BTreeSet<Kind>);

impl Allowed {
    fn by_project() -> Result<Self> {
        let files = manifests::files(&manifests::Params::default())?;
        let project: Value =
            serde_yaml::from_str(files.get("app-project.yaml").map_or("", String::as_str))
                .map_err(|error| Error::malformed("app-project.yaml", error, "see: cargo xtask render"))?;
        let lists = ["/spec/namespaceResourceWhitelist", "/spec/clusterResourceWhitelist"];
        let entries = lists.iter().filter_map(|list| project.pointer(list)?.as_array()).flatten();
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        Ok(Self(entries.map(|entry| (text(entry, "group"), text(entry, "kind"))).collect()))
    }

    /// It may do no more than the chart needs.
    fn all_used(&self, rendered: &BTreeSet<Kind>) -> Result<()> {
        let Some((group, kind)) = self.0.difference(rendered).next() else { return Ok(()) };
        Err(Error::malformed(
            format!("{group} {kind}"),
            "the AppProject allows this kind, and the chart makes none of it with any values",
            "remove it from platform/stack/templates/argocd/app-project.yaml.j2, then: cargo xtask render",
        ))
    }

    fn check(&self, document: &Value) -> Result<()> {
        let kind = kind_of(document);
        if is_test(document) || self.0.contains(&kind) {
            return Ok(());
        }
        let (group, kind) = kind;
        Err(Error::malformed(
            format!("{group} {kind}"),
            "the AppProject does not allow this kind, so that Argo CD would sync nothing",
            "add it to platform/stack/templates/argocd/app-project.yaml.j2, then: cargo xtask render",
        ))
    }
}

/// A token for the API server in a pod that has no account of its own: what the namespace's default account may do,
/// everybody who breaks into the pod may do.
fn stray_token(pod: &PodSpec) -> Option<String> {
    let own = pod.service_account_name.as_deref().is_some_and(|name| !name.is_empty() && name != "default");
    let mounts = pod.automount_service_account_token != Some(false);
    (mounts != own).then(|| {
        "automountServiceAccountToken must be true with an own serviceAccountName, else false".to_owned()
    })
}

/// SQLite's file on a volume of many nodes has one writer, also during an update.
fn two_writers(deployment: &Deployment) -> Option<String> {
    let containers = &deployment.spec.template.spec.as_ref()?.containers;
    let mut variables = containers.iter().filter_map(|container| container.env.as_ref()).flatten();
    let has_file = variables.any(|variable| variable.name == "PLATEN_EXPERIMENTS_DATA");
    let strategy = deployment.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
    (has_file && strategy != Some("Recreate")).then(|| {
        "strategy.type must be Recreate where PLATEN_EXPERIMENTS_DATA names an SQLite file".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kind_that_the_project_does_not_allow_is_named() {
        let allowed = Allowed::by_project().unwrap();
        allowed.check(&json!({"apiVersion": "apps/v1", "kind": "Deployment"})).unwrap();
        let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"});
        assert!(allowed.check(&ingress).unwrap_err().to_string().contains("networking.k8s.io Ingress"));
        let test =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": {"helm.sh/hook": "test"}}});
        allowed.check(&test).unwrap();
    }

    #[test]
    fn a_kind_that_is_allowed_and_never_made_is_named() {
        let allowed = Allowed::by_project().unwrap();
        let mut rendered = allowed.0.clone();
        allowed.all_used(&rendered).unwrap();
        rendered.remove(&("apps".into(), "StatefulSet".into()));
        assert!(allowed.all_used(&rendered).unwrap_err().to_string().contains("apps StatefulSet"));
    }

    #[test]
    fn a_pod_with_an_sqlite_file_is_stopped_before_the_next_starts() {
        let deployment = |strategy: &str, variable: &str| -> Deployment {
            let container = json!({"name": "service", "env": [{"name": variable}]});
            let template = json!({"spec": {"containers": [container]}});
            let spec = json!({"selector": {}, "strategy": {"type": strategy}, "template": template});
            serde_json::from_value(
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "spec": spec}),
            )
            .unwrap()
        };
        for (strategy, variable, well) in [
            ("Recreate", "PLATEN_EXPERIMENTS_DATA", true),
            ("RollingUpdate", "PLATEN_EXPERIMENTS_DATA", false),
            ("RollingUpdate", "DB_IP", true),
        ] {
            assert_eq!(two_writers(&deployment(strategy, variable)).is_none(), well, "{strategy} {variable}");
        }
    }

    #[test]
    fn two_roles_that_leave_a_dead_node_in_one_second_are_named() {
        let deployment = |name: &str, not_ready: Option<u32>, unreachable: Option<u32>| {
            let leave =
                |key: &str, seconds| json!({"key": key, "operator": "Exists", "tolerationSeconds": seconds});
            let tolerations = [leave(NOT_READY, not_ready), leave(UNREACHABLE, unreachable)];
            let template = json!({"spec": {"containers": [], "tolerations": tolerations}});
            let spec = json!({"selector": {}, "template": template});
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})
        };
        let model = deployment("model", Some(10), Some(10));
        one_after_the_other(&[model.clone(), deployment("gateway", Some(13), Some(13))]).unwrap();
        for (other, said) in [
            (deployment("gateway", Some(10), Some(10)), "after 10 s, as those of model"),
            (deployment("gateway", Some(12), Some(13)), "one and the same"),
            (deployment("gateway", None, None), "one and the same"),
        ] {
            let error = one_after_the_other(&[model.clone(), other]).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_token_goes_with_an_account_of_its_own_and_with_nothing_else() {
        let pod = |account: Option<&str>, mounts| PodSpec {
            service_account_name: account.map(str::to_owned),
            automount_service_account_token: mounts,
            ..PodSpec::default()
        };
        for (account, mounts, well) in [
            (None, Some(false), true),
            (Some("ocr-gateway"), Some(true), true),
            (None, None, false),
            (None, Some(true), false),
            (Some("default"), Some(true), false),
            (Some("ocr-gateway"), Some(false), false),
        ] {
            assert_eq!(stray_token(&pod(account, mounts)).is_none(), well, "{account:?} {mounts:?}");
        }
    }
}
