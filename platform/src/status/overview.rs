//! The whole picture: what runs, in which versions, and what `up` would change of it.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::{Api, ListParams};
use serde::Serialize;

use super::{StatusReport, status};
use crate::cluster::client::client;
use crate::cluster::embedded::Embedded;
use crate::diagnose;
use crate::error::Result;
use crate::host::Host;
use crate::tools::{self, Tool};
use crate::up::{self, Action, Component, NAMESPACES, UpRecord};

/// Looking for what is missing asks registries and Helm: longer than this nobody waits for `status`.
const DRIFT_WITHIN: Duration = Duration::from_secs(20);
const VERSIONS_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    #[serde(flatten)]
    pub status: StatusReport,
    pub components: Vec<Version>,
    pub drift: Drift,
}

/// A component and what it is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    pub name: String,
    pub version: String,
    /// An image's digest, a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How what runs differs from what `up` would make now.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Drift {
    /// What `up` would do; empty where nothing differs.
    pub actions: Vec<Action>,
    /// Why that could not be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

pub async fn overview(host: &Host) -> Result<Overview> {
    let Some(record) = up::read_record(host, &host.config.cluster.profile)? else {
        return Ok(Overview { status: status(host).await?, components: Vec::new(), drift: Drift::default() });
    };
    let status = status(host).await?;
    let (components, drift) = tokio::join!(
        async { tokio::time::timeout(VERSIONS_WITHIN, components(host, &record)).await.unwrap_or_default() },
        drift(host, &record)
    );
    Ok(Overview { status, components, drift })
}

async fn drift(host: &Host, record: &UpRecord) -> Drift {
    let missing = async { up::provider(&record.host(host), &record.choice.target)?.missing().await };
    let unknown = |why: String| Drift { actions: Vec::new(), unknown: Some(why) };
    match tokio::time::timeout(DRIFT_WITHIN, missing).await {
        Ok(Ok(actions)) => Drift { actions, unknown: None },
        Ok(Err(error)) => unknown(error.to_string()),
        Err(_) => unknown(format!("no answer within {} s", DRIFT_WITHIN.as_secs())),
    }
}

/// What could not be asked is not in the list: `status` itself says that the cluster does not answer.
async fn components(host: &Host, record: &UpRecord) -> Vec<Version> {
    match record.choice.target.context(&host.config.cluster.profile) {
        None => of_processes(&record.host(host)).await,
        Some(context) => match client(&context).await {
            Ok(client) => of_cluster(&client).await,
            Err(_) => Vec::new(),
        },
    }
}

async fn of_processes(host: &Host) -> Vec<Version> {
    let Some(spec) = Embedded::new(host).ok().and_then(|embedded| embedded.spec()) else { return Vec::new() };
    let name = spec.binary.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let sources = name.trim_start_matches("ocr-service-").to_owned();
    let detail = Some(spec.binary.display().to_string());
    let mut found = vec![Version { name: "OCR service".into(), version: sources, detail }];
    if let Some(program) = &spec.prometheus {
        let version = tools::version(host, Tool::Prometheus, program).await;
        found.push(Version {
            name: "Prometheus".into(),
            version: version.map_or_else(|| "unknown".into(), |version| version.to_string()),
            detail: Some(program.display().to_string()),
        });
    }
    found
}

async fn of_cluster(client: &kube::Client) -> Vec<Version> {
    let mut found = Vec::new();
    if let Ok(version) = client.apiserver_version().await {
        found.push(Version { name: "Kubernetes".into(), version: version.git_version, detail: None });
    }
    for component in Component::ALL {
        let pods = Api::<Pod>::namespaced(client.clone(), component.namespace());
        if let Ok(pods) = pods.list(&ListParams::default()).await {
            found.extend(of_images(&pods.items));
        }
    }
    let deployments = Api::<Deployment>::namespaced(client.clone(), NAMESPACES[0]);
    if let Ok(list) = deployments.list(&diagnose::ours()).await {
        found.extend(chart(&list.items));
    }
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACES[0]);
    if let Ok(list) = pods.list(&diagnose::ours()).await {
        found.extend(service_images(&list.items));
    }
    found
}

/// What runs beside the service, by the names that the charts give their pods.
fn of_images(pods: &[Pod]) -> Vec<Version> {
    const KNOWN: [(&str, &str); 4] = [
        ("argocd-server", "Argo CD"),
        ("prometheus", "Prometheus"),
        ("kube-prometheus-stack-prometheus-operator", "Prometheus' operator"),
        ("grafana", "Grafana"),
    ];
    let named = |pod: &Pod| {
        let label = pod.metadata.labels.as_ref()?.get("app.kubernetes.io/name")?.clone();
        KNOWN.iter().find(|(known, _)| *known == label).map(|(_, name)| *name)
    };
    let mut found: Vec<Version> = Vec::new();
    for pod in pods {
        let Some(name) = named(pod) else { continue };
        let container = pod.spec.as_ref().and_then(|spec| main_container(pod, &spec.containers));
        let version = container.and_then(|it| it.image.as_deref()).map_or("unknown", tag);
        let seen = Version { name: name.into(), version: version.into(), detail: None };
        if !found.contains(&seen) {
            found.push(seen);
        }
    }
    found
}

/// The one that kubectl takes where none is named; Grafana's own stands behind its helpers.
fn main_container<'a>(pod: &Pod, containers: &'a [Container]) -> Option<&'a Container> {
    let annotations = pod.metadata.annotations.as_ref();
    let named = annotations.and_then(|it| it.get("kubectl.kubernetes.io/default-container"));
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get("app.kubernetes.io/name"));
    let by = |name: Option<&String>| containers.iter().find(|it| Some(&it.name) == name);
    by(named).or_else(|| by(label)).or_else(|| containers.first())
}

fn chart(deployments: &[Deployment]) -> Option<Version> {
    let label = |it: &Deployment| it.metadata.labels.as_ref()?.get("helm.sh/chart").cloned();
    let chart = deployments.iter().find_map(label)?;
    // `ocr-app-0.2.0`: the version begins at the first part that is a number.
    let at =
        chart.match_indices('-').find(|(at, _)| chart[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?.0;
    Some(Version { name: format!("chart {}", &chart[..at]), version: chart[at + 1..].into(), detail: None })
}

/// Each image of the service that runs, with the digest that the nodes have of it; more than one while one replaces the
/// other.
fn service_images(pods: &[Pod]) -> Vec<Version> {
    let mut found: Vec<Version> = Vec::new();
    let statuses = pods.iter().filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref()).flatten();
    for status in statuses {
        let digest = status.image_id.rsplit_once('@').map(|(_, digest)| digest.to_owned());
        let is_ours = status.image.contains("ocr-service");
        let seen = Version { name: "OCR service".into(), version: tag(&status.image).into(), detail: digest };
        if is_ours && !found.contains(&seen) {
            found.push(seen);
        }
    }
    found
}

/// The tag of an image reference, or its digest.
fn tag(image: &str) -> &str {
    if let Some((_, digest)) = image.split_once('@') {
        return digest;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').map_or("latest", |(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tag_is_told_from_a_registrys_port() {
        assert_eq!(tag("localhost:5000/platen/ocr-service:abc"), "abc");
        assert_eq!(tag("localhost:5000/platen/ocr-service"), "latest");
        assert_eq!(tag("quay.io/argoproj/argocd:v3.4.4"), "v3.4.4");
        assert_eq!(tag("a/b@sha256:12"), "sha256:12");
    }

    #[test]
    fn what_runs_is_named_with_its_version() {
        let pod = |name: &str, image: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"labels": {"app.kubernetes.io/name": name}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            }))
            .unwrap()
        };
        let pods = [
            pod("argocd-server", "argocd:v3.1.16"),
            pod("redis", "redis:8"),
            pod("argocd-server", "argocd:v3.1.16"),
        ];
        let versions: Vec<String> =
            of_images(&pods).iter().map(|it| format!("{} {}", it.name, it.version)).collect();
        assert_eq!(versions, ["Argo CD v3.1.16"]);
    }

    #[test]
    fn the_chart_is_told_from_its_label() {
        let deployment: Deployment =
            serde_json::from_value(json!({"metadata": {"labels": {"helm.sh/chart": "ocr-app-0.2.0-ab"}}}))
                .unwrap();
        let chart = chart(&[deployment]).unwrap();
        assert_eq!((chart.name.as_str(), chart.version.as_str()), ("chart ocr-app", "0.2.0-ab"));
    }

    #[test]
    fn the_services_image_has_its_digest() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {},
            "status": {"containerStatuses": [{
                "name": "gateway", "image": "localhost:5000/platen/ocr-service:abc", "ready": true, "restartCount": 0,
                "imageID": "localhost:5000/platen/ocr-service@sha256:12",
            }]},
        }))
        .unwrap();
        let found = service_images(&[pod.clone(), pod]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].detail.as_deref(), Some("sha256:12"));
    }
}
