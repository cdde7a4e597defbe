//! The chart as Helm renders it: every kind of values that it is meant for, and some that it must refuse.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodSpec;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::event::Step;
use crate::helm::{Chart, Helm, Release};
use crate::host::Host;
use crate::manifests::{restricted, strict};
use crate::tools::{self, Tool};

/// The chart's folder under the project's root.
const CHART: &str = "charts/ocr-app";

/// What a set of values is called, and the values.
type Values = (&'static str, Value);

pub async fn check(host: &Host, step: &Step) -> Result<String> {
    let program = tools::ensure(host, Tool::Helm).await?;
    let helm = Helm::offline(host.processes.clone(), program);
    let path = host.root.join(CHART);
    step.message("lint");
    helm.lint(&path).await?;
    let chart = Chart::Path(path);
    let release = Release::new("ocr", "ocr");
    let mut objects = 0;
    for (name, values) in accepted() {
        step.message(format!("rendering {name}"));
        let text = helm.template(&release, &chart, &values).await?;
        let documents = documents(&text)?;
        for document in &documents {
            sound(document)
                .map_err(|error| Error::unhealthy(format!("with {name}: {error}"), hint(&error)))?;
        }
        objects += documents.len();
    }
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

fn accepted() -> Vec<Values> {
    [of_gateway_and_model(), of_page(), of_experiments()].concat()
}

fn of_gateway_and_model() -> Vec<Values> {
    let pull = json!([{"name": "regcred"}]);
    let digest = format!("sha256:{}", "0".repeat(64));
    vec![
        ("its own values", json!({})),
        (
            "a gateway on every node",
            json!({"gateway": {"replicas": 3, "service": {"externalTrafficPolicy": "Local"}}}),
        ),
        ("a private image by digest", json!({"image": {"digest": digest}, "imagePullSecrets": pull})),
        ("a gateway inside only", json!({"gateway": {"service": {"type": "ClusterIP"}}})),
        ("a headless model", json!({"model": {"service": {"headless": true}}})),
        ("endpoints by DNS", json!({"gateway": {"endpoints": "dns"}})),
        ("endpoints by the Service alone", json!({"gateway": {"endpoints": "service"}})),
        ("a model of another namespace", json!({"gateway": {"modelUrl": "k8s://models/model-server:8080"}})),
        ("single pods", json!({"gateway": {"replicas": 1}, "model": {"replicas": 1}})),
        (
            "the gateway alone",
            json!({
                "gateway": {"modelUrl": "http://model.example:8080"},
                "model": {"enabled": false}, "ocrServer": {"enabled": false},
                "frontend": {"enabled": false}, "translate": {"enabled": false},
            }),
        ),
        (
            "all that is optional",
            json!({
                "drain": {"sleepSeconds": 0},
                "metrics": {"scrapeAnnotations": false},
                "model": {
                    "extraArgs": ["--engines", "2"],
                    "extraEnv": [{"name": "PLATEN_QUEUE", "value": "4"}],
                    "nodeSelector": {"kubernetes.io/arch": "amd64"},
                    "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "ocr", "effect": "NoSchedule"}],
                },
            }),
        ),
    ]
}

fn of_page() -> Vec<Values> {
    vec![
        (
            "a page inside only, of a mock",
            json!({"frontend": {"mode": "mock", "service": {"type": "ClusterIP"}}}),
        ),
        (
            "a page on every node before a real translation",
            json!({
                "trafficDistribution": "PreferSameNode",
                "frontend": {"replicas": 3, "service": {"externalTrafficPolicy": "Local"}},
                "translate": {"backend": "libretranslate", "libretranslateUrl": "http://translate.example"},
            }),
        ),
    ]
}

fn of_experiments() -> Vec<Values> {
    vec![
        (
            "experiments on folders of the nodes",
            json!({"experiments": {
                "enabled": true,
                "database": {"host": "db.example", "user": "lab", "name": "lab"},
                "modelImage": "localhost:5000/ae-model:1",
            }}),
        ),
        (
            "experiments on a storage class and with their own claim",
            json!({"experiments": {
                "enabled": true, "sqlite": true,
                "input": {"existingClaim": "images"}, "output": {"storageClass": "nfs"},
            }}),
        ),
    ]
}

fn refused() -> Vec<Values> {
    vec![
        ("a key that there is not", json!({"gateway": {"replcas": 2}})),
        ("a NodePort out of range", json!({"gateway": {"service": {"nodePort": 80}}})),
        ("a number in words", json!({"model": {"replicas": "two"}})),
        ("an image with its tag twice", json!({"image": {"repository": "localhost:5000/ocr:1@x"}})),
        ("a path that is not absolute", json!({"experiments": {"input": {"hostPath": "images"}}})),
        ("a Job without bounds", json!({"experiments": {"job": {"limitSeconds": 0}}})),
        ("a page that is half real", json!({"frontend": {"mode": "half"}})),
        ("a translation without a scheme", json!({"translate": {"libretranslateUrl": "translate:5000"}})),
        ("endpoints by magic", json!({"gateway": {"endpoints": "magic"}})),
        ("an address without a scheme", json!({"gateway": {"modelUrl": "model:8080"}})),
        ("a digest that is none", json!({"image": {"digest": "sha256:abc"}})),
    ]
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
    if document["kind"] != "Deployment" {
        return Ok(());
    }
    let deployment: Deployment = strict::object(document)?;
    let pod = deployment.spec.template.spec.as_ref();
    let mut violations = pod.map(restricted::violations).unwrap_or_default();
    violations.extend(pod.and_then(stray_token));
    violations.extend(two_writers(&deployment));
    if violations.is_empty() {
        return Ok(());
    }
    Err(Error::malformed(name, violations.join("; "), "correct charts/ocr-app/templates/_helpers.tpl"))
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
    use super::*;

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
