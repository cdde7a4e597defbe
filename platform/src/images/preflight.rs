//! Before anything of a deploy touches the cluster: each image must hold every architecture of the nodes that may run it,
//! and be reachable with the credentials at hand.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, Taint, Toleration};
use kube::api::{Api, ListParams};

use crate::error::{Doing, Error, Result};
use crate::registry::{self, Platform, Registries};

/// Taints that come and go with a node's health; what tolerates them or not says nothing about where it may run.
const OF_HEALTH: &str = "node.kubernetes.io/";

/// A pod template of the manifests.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// `Deployment ocr-gateway`.
    pub name: String,
    pub images: Vec<String>,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Toleration>,
}

/// A node that images must run on.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeFacts {
    pub name: String,
    pub os: String,
    pub architecture: String,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
}

impl NodeFacts {
    pub fn of(node: &Node) -> Self {
        let labels = node.metadata.labels.clone().unwrap_or_default();
        let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
        // The label is what schedulers go by; a node that never reported has only that.
        let fact = |label: &str, reported: Option<&String>, usual: &str| {
            let labelled = labels.get(label).or(reported).filter(|text| !text.is_empty());
            labelled.cloned().unwrap_or_else(|| usual.to_owned())
        };
        let os = fact("kubernetes.io/os", info.map(|info| &info.operating_system), "linux");
        let architecture = fact("kubernetes.io/arch", info.map(|info| &info.architecture), "unknown");
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        Self { name: node.metadata.name.clone().unwrap_or_default(), os, architecture, labels, taints }
    }

    fn may_run(&self, workload: &Workload) -> bool {
        let selected = workload.node_selector.iter().all(|(key, value)| self.labels.get(key) == Some(value));
        let refused = self.taints.iter().any(|taint| {
            matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
                && !taint.key.starts_with(OF_HEALTH)
                && !workload.tolerations.iter().any(|toleration| tolerates(toleration, taint))
        });
        selected && !refused
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let same = |wanted: &Option<String>, found: &str| {
        wanted.as_ref().is_none_or(|text| text.is_empty() || text == found)
    };
    let exists = toleration.operator.as_deref() == Some("Exists");
    same(&toleration.effect, &taint.effect)
        && (same(&toleration.key, &taint.key) && (exists || toleration.key.is_some()))
        && (exists || toleration.value.clone().unwrap_or_default() == taint.value.clone().unwrap_or_default())
}

/// An image that would not start on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    pub image: String,
    pub node: String,
    pub wanted: String,
    pub there: Vec<Platform>,
}

/// Pod templates in rendered manifests, one YAML document after the other.
pub fn workloads(manifests: &str) -> Result<Vec<Workload>> {
    use serde::Deserialize;
    let malformed = |error: serde_yaml::Error| {
        Error::malformed("the rendered manifests", error, "look at them: helm template")
    };
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(manifests) {
        let object = serde_json::Value::deserialize(document).map_err(malformed)?;
        let kind = object["kind"].as_str().unwrap_or_default();
        let spec = match kind {
            "Pod" => &object["spec"],
            "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"]["spec"],
            _ => &object["spec"]["template"]["spec"],
        };
        if spec["containers"].is_null() {
            continue;
        }
        let pod: PodSpec = serde_json::from_value(spec.clone())
            .map_err(|error| Error::malformed("a pod template", error, "look at it: helm template"))?;
        let containers = pod.containers.iter().chain(pod.init_containers.iter().flatten());
        found.push(Workload {
            name: format!("{kind} {}", object["metadata"]["name"].as_str().unwrap_or_default()),
            images: containers.filter_map(|container| container.image.clone()).collect(),
            node_selector: pod.node_selector.unwrap_or_default(),
            tolerations: pod.tolerations.unwrap_or_default(),
        });
    }
    Ok(found)
}

/// Every image that lacks the platform of a node that may run it; `there` holds the platforms of each image.
pub fn mismatches(
    workloads: &[Workload],
    nodes: &[NodeFacts],
    there: &BTreeMap<String, Vec<Platform>>,
) -> Vec<Mismatch> {
    let mut found: Vec<Mismatch> = Vec::new();
    for workload in workloads {
        for node in nodes.iter().filter(|node| node.may_run(workload)) {
            for image in &workload.images {
                let platforms = there.get(image).cloned().unwrap_or_default();
                let fits = platforms.iter().any(|platform| platform.runs_on(&node.os, &node.architecture));
                let wanted = format!("{}/{}", node.os, node.architecture);
                let mismatch =
                    Mismatch { image: image.clone(), node: node.name.clone(), wanted, there: platforms };
                if !fits && !found.contains(&mismatch) {
                    found.push(mismatch);
                }
            }
        }
    }
    found
}

/// Stops a deploy whose images do not fit, with the command that mends it.
pub fn verdict(mismatches: &[Mismatch], nodes: &[NodeFacts]) -> Result<()> {
    let Some(first) = mismatches.first() else { return Ok(()) };
    let list = |platforms: &mut dyn Iterator<Item = String>| {
        platforms.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let sentences: Vec<String> = mismatches
        .iter()
        .map(|mismatch| {
            let there = list(&mut mismatch.there.iter().map(ToString::to_string)).join(", ");
            format!(
                "the image {} is for {there} and not for {}, the node {}",
                mismatch.image, mismatch.wanted, mismatch.node
            )
        })
        .collect();
    let needed = list(&mut nodes.iter().map(|node| format!("{}/{}", node.os, node.architecture)));
    let can_be_built = needed.iter().all(|platform| super::PLATFORMS.contains(&platform.as_str()));
    let next = if can_be_built && is_the_service(&first.image) {
        format!("cargo xtask build --platform {} --push {}", needed.join(","), first.image)
    } else {
        format!("keep the pods off that node: kubectl cordon {}", first.node)
    };
    Err(Error::unhealthy(sentences.join("\n"), format!("nothing was changed in the cluster; {next}")))
}

/// Whether it is what `build` makes; what others publish is not replaced by it.
fn is_the_service(image: &str) -> bool {
    registry::parse(image).is_ok_and(|image| image.repository().ends_with(super::image::REPOSITORY))
}

/// What an image that is not in its registry needs.
fn push_it(image: &str, error: Error) -> Error {
    match error {
        Error::Unhealthy { what, hint } if is_the_service(image) => {
            Error::Unhealthy { what, hint: format!("push it: cargo xtask build --push {image}; or {hint}") }
        }
        error => error,
    }
}

/// Asks the registries about every image, and compares with the nodes.
pub async fn check(registries: &Registries, manifests: &str, nodes: &[NodeFacts]) -> Result<()> {
    let workloads = workloads(manifests)?;
    let mut there = BTreeMap::new();
    for image in workloads.iter().flat_map(|workload| &workload.images) {
        if there.contains_key(image) {
            continue;
        }
        let reference = registries.as_nodes_find(&registry::parse(image)?).await?;
        let Some(found) = registries.platforms(&reference).await? else {
            // The error names the registry and what to do.
            let error = registries.require(&reference).await.err();
            let error = error.unwrap_or_else(|| Error::unhealthy(format!("there is no image {image}"), ""));
            return Err(push_it(image, error));
        };
        there.insert(image.clone(), found.into_iter().map(|found| found.platform).collect());
    }
    verdict(&mismatches(&workloads, nodes, &there), nodes)
}

/// After the deploy: what runs another image than the registry has under its name now, a sentence each.
pub async fn running_others(
    client: &kube::Client,
    registries: &Registries,
    manifests: &str,
    namespaces: &[&str],
) -> Result<Vec<String>> {
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for image in workloads(manifests)?.into_iter().flat_map(|workload| workload.images) {
        if expected.contains_key(&image) {
            continue;
        }
        let reference = registries.as_nodes_find(&registry::parse(&image)?).await?;
        let manifest = registries.require(&reference).await?;
        let mut digests: BTreeSet<String> =
            manifest.platforms().into_iter().map(|found| found.digest).collect();
        digests.insert(manifest.digest);
        expected.insert(image, digests);
    }
    let mut others = Vec::new();
    for namespace in namespaces {
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let pods =
            api.list(&ListParams::default()).await.doing(format!("listing the pods in {namespace}"))?;
        others.extend(pods.items.iter().filter_map(|pod| other_digest(pod, &expected)));
    }
    Ok(others)
}

/// A container whose node holds another digest than one of those expected of its image.
fn other_digest(pod: &Pod, expected: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let node = pod.spec.as_ref()?.node_name.as_deref()?;
    let name = pod.metadata.name.as_deref()?;
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers.iter().find_map(|status| {
        let (image, digests) = expected.iter().find(|(image, _)| **image == status.image)?;
        let (_, running) = status.image_id.rsplit_once('@')?;
        (!digests.contains(running)).then(|| {
            format!("the pod {name} on {node} runs {running}, which the registry no longer has as {image}")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "localhost:5000/platen/ocr-service:1";

    fn node(name: &str, architecture: &str) -> NodeFacts {
        NodeFacts {
            name: name.into(),
            os: "linux".into(),
            architecture: architecture.into(),
            labels: BTreeMap::from([("kubernetes.io/arch".into(), architecture.into())]),
            taints: Vec::new(),
        }
    }

    fn workload() -> Workload {
        Workload {
            name: "Deployment ocr-model".into(),
            images: vec![IMAGE.into()],
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
        }
    }

    fn only_amd64() -> BTreeMap<String, Vec<Platform>> {
        BTreeMap::from([(IMAGE.into(), vec![Platform::linux("amd64")])])
    }

    fn taint(key: &str) -> Taint {
        Taint { key: key.into(), effect: "NoSchedule".into(), ..Taint::default() }
    }

    #[test]
    fn an_image_of_one_architecture_is_refused_where_a_node_has_another() {
        let nodes = [node("a", "amd64"), node("raspberry", "arm64")];
        let found = mismatches(&[workload()], &nodes, &only_amd64());
        let error = verdict(&found, &nodes).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(IMAGE) && text.contains("raspberry") && text.contains("is for linux/amd64 and not"),
            "{text}"
        );
        let hint = error.hint().unwrap();
        assert!(hint.contains("cargo xtask build --platform linux/amd64,linux/arm64 --push"), "{hint}");
        assert_eq!(error.exit(), crate::Exit::Failed);
    }

    #[test]
    fn nodes_that_the_pods_cannot_run_on_do_not_count() {
        let selecting = Workload {
            node_selector: BTreeMap::from([("kubernetes.io/arch".into(), "amd64".into())]),
            ..workload()
        };
        let arm = node("raspberry", "arm64");
        assert_eq!(mismatches(&[selecting], std::slice::from_ref(&arm), &only_amd64()), []);
        let tainted = NodeFacts { taints: vec![taint("gpu")], ..arm };
        assert_eq!(mismatches(&[workload()], std::slice::from_ref(&tainted), &only_amd64()), []);
        let toleration =
            Toleration { key: Some("gpu".into()), operator: Some("Exists".into()), ..Toleration::default() };
        let tolerating = Workload { tolerations: vec![toleration], ..workload() };
        assert_eq!(mismatches(&[tolerating], &[tainted], &only_amd64()).len(), 1);
    }

    #[test]
    fn a_node_that_is_not_ready_counts_for_it_may_come_back() {
        let away =
            NodeFacts { taints: vec![taint("node.kubernetes.io/not-ready")], ..node("raspberry", "arm64") };
        assert_eq!(mismatches(&[workload()], &[away], &only_amd64()).len(), 1);
    }

    #[test]
    fn images_are_found_in_every_kind_of_pod_template() {
        let manifests = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {spec: {nodeSelector: {a: b}, containers: [{name: c, image: 'r/x:1'}], initContainers: [{name: i, image: 'r/y:1'}]}}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: []}\n---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: j}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: 'r/z:1'}]}}}}}\n";
        let found = workloads(manifests).unwrap();
        assert_eq!(
            (found[0].name.as_str(), found[0].images.clone()),
            ("Deployment d", vec!["r/x:1".to_owned(), "r/y:1".to_owned()])
        );
        assert_eq!((found.len(), found[1].images[0].as_str()), (2, "r/z:1"));
    }

    #[test]
    fn a_pod_of_another_digest_is_named_with_its_node() {
        let pod = |digest: &str| -> Pod {
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": "ocr-model-1"},
                "spec": {"nodeName": "worker", "containers": []},
                "status": {"containerStatuses": [{
                    "name": "model", "image": IMAGE, "imageID": format!("localhost:5000/platen/ocr-service@{digest}"),
                    "ready": true, "restartCount": 0,
                }]},
            }))
            .unwrap()
        };
        let expected = BTreeMap::from([(IMAGE.to_owned(), BTreeSet::from(["sha256:a".to_owned()]))]);
        assert_eq!(other_digest(&pod("sha256:a"), &expected), None);
        let told = other_digest(&pod("sha256:b"), &expected).unwrap();
        assert!(told.contains("ocr-model-1 on worker runs sha256:b"), "{told}");
    }

    #[test]
    fn a_node_says_its_architecture_by_label_or_by_report() {
        let labelled: Node = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "n", "labels": {"kubernetes.io/arch": "arm64"}},
        }))
        .unwrap();
        assert_eq!(NodeFacts::of(&labelled).architecture, "arm64");
    }
}
