//! Before anything of a deploy touches the cluster: each image must hold every architecture of the nodes that may run it,
//! and be reachable with the credentials at hand.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Taint, Toleration};
use kube::api::{Api, ListParams};

use super::asking::{Asking, Found};
use crate::cluster::objects::{NodeFacts, UNSCHEDULABLE};
use crate::error::{Doing, Error, Result};
use crate::registry::{self, Platform, PlatformManifest, Reference, at_digest};

/// Taints that come and go with a node's health; what tolerates them or not says nothing about where it may run. One of
/// them is no sickness: [`UNSCHEDULABLE`], by which somebody keeps pods away.
const OF_HEALTH: &str = "node.kubernetes.io/";
/// By this variable a role is told the image of the Jobs that it makes.
const JOB_IMAGE: &str = "AE_MODEL_IMAGE_URL";

/// A pod template of the manifests, or the Jobs that its pods make.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Workload {
    /// `Deployment ocr-gateway`.
    pub name: String,
    /// Where the manifests say it.
    pub namespace: Option<String>,
    /// Of its containers.
    pub images: Vec<String>,
    /// The Secrets by which its images are pulled.
    pub pull_secrets: Vec<String>,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Toleration>,
    /// They are made later, and what is deployed serves without them.
    pub is_job: bool,
}

impl Workload {
    /// The Jobs of these images that its pods make. Where those may run, the manifests do not say.
    fn jobs(&self, images: Vec<String>) -> Self {
        Self {
            name: format!("Job of {}", self.name),
            namespace: self.namespace.clone(),
            images,
            pull_secrets: self.pull_secrets.clone(),
            is_job: true,
            ..Self::default()
        }
    }
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
        let of_jobs = images_of_jobs(&pod);
        let workload = Workload {
            name: format!("{kind} {}", object["metadata"]["name"].as_str().unwrap_or_default()),
            namespace: object["metadata"]["namespace"].as_str().map(ToOwned::to_owned),
            images: containers(&pod).filter_map(|container| container.image.clone()).collect(),
            pull_secrets: pod.image_pull_secrets.iter().flatten().map(|it| it.name.clone()).collect(),
            node_selector: pod.node_selector.unwrap_or_default(),
            tolerations: pod.tolerations.unwrap_or_default(),
            is_job: false,
        };
        let jobs = (!of_jobs.is_empty()).then(|| workload.jobs(of_jobs));
        found.push(workload);
        found.extend(jobs);
    }
    Ok(found)
}

fn containers(pod: &PodSpec) -> impl Iterator<Item = &Container> {
    pod.containers.iter().chain(pod.init_containers.iter().flatten())
}

fn images_of_jobs(pod: &PodSpec) -> Vec<String> {
    let variables = containers(pod).flat_map(|container| container.env.iter().flatten());
    let named = variables.filter(|variable| variable.name == JOB_IMAGE);
    named.filter_map(|variable| variable.value.clone()).filter(|image| !image.is_empty()).collect()
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

/// The nodes that may run an image.
fn that_run<'a>(image: &str, workloads: &[Workload], nodes: &'a [NodeFacts]) -> Vec<&'a NodeFacts> {
    let of_image: Vec<&Workload> =
        workloads.iter().filter(|workload| workload.images.iter().any(|name| name == image)).collect();
    nodes.iter().filter(|node| of_image.iter().any(|workload| may_run(node, workload))).collect()
}

/// Each once.
fn list(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Stops a deploy whose images do not fit, with the command that mends it.
fn verdict(
    asking: &Asking,
    mismatches: &[Mismatch],
    workloads: &[Workload],
    nodes: &[NodeFacts],
) -> Result<()> {
    let Some(first) = mismatches.first() else { return Ok(()) };
    let sentences: Vec<String> = mismatches
        .iter()
        .map(|mismatch| {
            let there = list(mismatch.there.iter().map(ToString::to_string)).join(", ");
            format!(
                "the image {} is for {there} and not for {}, the node {}",
                mismatch.image, mismatch.wanted, mismatch.node
            )
        })
        .collect();
    let run_it = that_run(&first.image, workloads, nodes);
    let needed = list(run_it.iter().map(|node| format!("{}/{}", node.os, node.architecture)));
    let next = asking.for_platforms(&first.image, &needed);
    let next = next.unwrap_or_else(|| format!("keep the pods off that node: kubectl cordon {}", first.node));
    Err(Error::unhealthy(sentences.join("\n"), format!("nothing was changed in the cluster; {next}")))
}

/// Asks the registries about every image, and compares with the nodes. Returns what may go wrong and stops no deploy, a
/// sentence each.
pub async fn check(asking: &Asking, manifests: &str, nodes: &[NodeFacts]) -> Result<Vec<String>> {
    let (jobs, workloads): (Vec<_>, Vec<_>) =
        workloads(manifests)?.into_iter().partition(|workload| workload.is_job);
    let mut warnings = Vec::new();
    check_these(asking, &workloads, nodes, &mut warnings).await?;
    for job in &jobs {
        if let Err(error) = check_these(asking, std::slice::from_ref(job), nodes, &mut warnings).await {
            warnings.push(format!("the {} may not start: {error}", job.name));
        }
    }
    Ok(warnings)
}

async fn check_these(
    asking: &Asking,
    workloads: &[Workload],
    nodes: &[NodeFacts],
    warnings: &mut Vec<String>,
) -> Result<()> {
    let mut there = BTreeMap::new();
    for workload in workloads {
        for image in &workload.images {
            if there.contains_key(image) {
                continue;
            }
            let name = registry::parse(image)?;
            let found = asking.find(&name).await.map_err(|error| asking.with_remedy(image, error))?;
            if found.only_here {
                warnings.push(without_login(workload, &name));
            }
            ensure_whole(asking, image, &found, &that_run(image, workloads, nodes)).await?;
            there.insert(image.clone(), found.platforms.into_iter().map(|found| found.platform).collect());
        }
    }
    verdict(asking, &mismatches(workloads, nodes, &there), workloads, nodes)
}

/// Nodes that have no login by a Secret may have one of their own.
fn without_login(workload: &Workload, image: &Reference) -> String {
    let (of, registry) = (&workload.name, image.registry());
    let namespace = workload.namespace.as_deref().unwrap_or("NAMESPACE");
    format!(
        "the nodes have no login for {registry} that is known here, and the {of} takes {image} from it; give them one: \
         kubectl -n {namespace} create secret docker-registry NAME --docker-server={registry} --docker-username=USER \
         --docker-password=PASSWORD, and name it in the chart's value imagePullSecrets"
    )
}

/// A registry may have lost a blob, and goes on telling the manifest. One on this machine is asked for each that a node may
/// need.
async fn ensure_whole(asking: &Asking, image: &str, found: &Found<'_>, run_it: &[&NodeFacts]) -> Result<()> {
    let (registries, at) = (found.registries, &found.reference);
    if !registry::is_loopback(at.registry()) {
        return Ok(());
    }
    let runs =
        |it: &&PlatformManifest| run_it.iter().any(|node| it.platform.runs_on(&node.os, &node.architecture));
    let needed: Vec<&PlatformManifest> = found.platforms.iter().filter(runs).collect();
    let platforms = list(needed.iter().map(|it| it.platform.to_string()));
    for needed in needed {
        let manifest = registries.require(&at_digest(at, &needed.digest)).await?;
        if let Some(blob) = registries.lacks(at, &manifest).await? {
            let next = asking.again(image, at, &platforms);
            return Err(Error::unhealthy(
                format!("the registry {} has lost the blob {blob} of the image {image}", at.registry()),
                format!("nothing was changed in the cluster; {next}"),
            ));
        }
    }
    Ok(())
}

/// After the deploy: what runs another image than the registry has under its name now, a sentence each.
pub async fn running_others(
    client: &kube::Client,
    asking: &Asking,
    manifests: &str,
    namespaces: &[&str],
) -> Result<Vec<String>> {
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for image in workloads(manifests)?.into_iter().flat_map(|workload| workload.images) {
        if expected.contains_key(&image) {
            continue;
        }
        // Of what could not be asked for before the deploy it was said then.
        let Ok(name) = registry::parse(&image) else { continue };
        let Ok(found) = asking.find(&name).await else { continue };
        let manifest = found.registries.require(&found.reference).await?;
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
    containers(spec)
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
