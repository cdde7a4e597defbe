//! Before anything of a deploy touches the cluster: each image must hold every architecture of the nodes that may run it,
//! and be reachable with the credentials at hand.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, PodSpec, Taint, Toleration};
use kube::api::{Api, ListParams};

use crate::cluster::objects::{NodeFacts, UNSCHEDULABLE};
use crate::error::{Doing, Error, Result};
use crate::registry::{self, Platform, PlatformManifest, Reference, Registries, at_digest};

/// Taints that come and go with a node's health; what tolerates them or not says nothing about where it may run. One of
/// them is no sickness: [`UNSCHEDULABLE`], by which somebody keeps pods away.
const OF_HEALTH: &str = "node.kubernetes.io/";
/// By this variable a role is told the image of the Jobs that it makes.
const JOB_IMAGE: &str = "AE_MODEL_IMAGE_URL";

/// A pod template of the manifests.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// `Deployment ocr-gateway`.
    pub name: String,
    /// Of its containers, and of the Jobs that they make.
    pub images: Vec<String>,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Toleration>,
}

/// Whether the scheduler may put the pods there.
fn may_run(node: &NodeFacts, workload: &Workload) -> bool {
    let selected = workload.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    let refused = node.taints.iter().any(|taint| {
        matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
            && (!taint.key.starts_with(OF_HEALTH) || taint.key == UNSCHEDULABLE)
            && !workload.tolerations.iter().any(|toleration| tolerates(toleration, taint))
    });
    selected && !refused
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
        found.push(Workload {
            name: format!("{kind} {}", object["metadata"]["name"].as_str().unwrap_or_default()),
            images: images(&pod),
            node_selector: pod.node_selector.unwrap_or_default(),
            tolerations: pod.tolerations.unwrap_or_default(),
        });
    }
    Ok(found)
}

fn images(pod: &PodSpec) -> Vec<String> {
    let containers = || pod.containers.iter().chain(pod.init_containers.iter().flatten());
    let variables = containers().flat_map(|container| container.env.iter().flatten());
    let of_jobs = variables.filter(|variable| variable.name == JOB_IMAGE);
    let of_jobs = of_jobs.filter_map(|variable| variable.value.clone()).filter(|image| !image.is_empty());
    containers().filter_map(|container| container.image.clone()).chain(of_jobs).collect()
}

/// Every image that lacks the platform of a node that may run it; `there` holds the platforms of each image.
pub fn mismatches(
    workloads: &[Workload],
    nodes: &[NodeFacts],
    there: &BTreeMap<String, Vec<Platform>>,
) -> Vec<Mismatch> {
    let mut found: Vec<Mismatch> = Vec::new();
    for workload in workloads {
        for node in nodes.iter().filter(|node| may_run(node, workload)) {
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
pub fn verdict(mismatches: &[Mismatch], workloads: &[Workload], nodes: &[NodeFacts]) -> Result<()> {
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
    let of_first: Vec<&Workload> = workloads.iter().filter(|it| it.images.contains(&first.image)).collect();
    let run_it = nodes.iter().filter(|node| of_first.iter().any(|workload| may_run(node, workload)));
    let needed = list(&mut run_it.map(|node| format!("{}/{}", node.os, node.architecture)));
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
        ensure_whole(registries, &reference, &found, nodes).await?;
        there.insert(image.clone(), found.into_iter().map(|found| found.platform).collect());
    }
    verdict(&mismatches(&workloads, nodes, &there), &workloads, nodes)
}

/// A registry may have lost a blob, and goes on telling the manifest. One on this machine is asked for each.
async fn ensure_whole(
    registries: &Registries,
    image: &Reference,
    there: &[PlatformManifest],
    nodes: &[NodeFacts],
) -> Result<()> {
    if !registry::is_loopback(image.registry()) {
        return Ok(());
    }
    let runs =
        |it: &&PlatformManifest| nodes.iter().any(|node| it.platform.runs_on(&node.os, &node.architecture));
    for needed in there.iter().filter(runs) {
        let manifest = registries.require(&at_digest(image, &needed.digest)).await?;
        if let Some(blob) = registries.lacks(image, &manifest).await? {
            let name = image.whole();
            let next = if is_the_service(&name) { "cargo xtask build" } else { "cargo xtask mirror publish" };
            return Err(Error::unhealthy(
                format!("the registry {} has lost the blob {blob} of the image {name}", image.registry()),
                format!("nothing was changed in the cluster; bring it there again: {next}"),
            ));
        }
    }
    Ok(())
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
        others.extend(pods.items.iter().flat_map(|pod| other_digests(pod, &expected)));
    }
    Ok(others)
}

/// Of each container whose node holds another digest than one of those expected of its image, or none that a registry
/// could be asked for, a sentence.
fn other_digests(pod: &Pod, expected: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let (Some(spec), Some(status)) = (&pod.spec, &pod.status) else { return Vec::new() };
    let Some(node) = &spec.node_name else { return Vec::new() };
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let statuses = || status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let other = |image: &str, id: &str, digests: &BTreeSet<String>| match id.rsplit_once('@') {
        Some((_, running)) if digests.contains(running) => None,
        Some((_, running)) => Some(format!(
            "the pod {name} on {node} runs {running}, which the registry no longer has as {image}"
        )),
        // It has not begun to run.
        None if id.is_empty() => None,
        None => {
            Some(format!("the pod {name} on {node} runs {image} as {id}, which is no digest of a registry"))
        }
    };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    containers
        .filter_map(|container| {
            let image = container.image.as_ref()?;
            // Its status may tell another of the names that the node has for the same image.
            let status = statuses().find(|status| status.name == container.name)?;
            other(image, &status.image_id, expected.get(image)?)
        })
        .collect()
}

#[cfg(test)]
#[path = "preflight_tests.rs"]
mod tests;
