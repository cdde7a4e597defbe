//! A cluster's nodes and pods, as chaos sees them.

use k8s_openapi::api::core::v1::{Node, Pod, Probe};
use kube::api::{Api, ListParams};

use super::quantity::{mib, milli};
use crate::chaos::survey::{NodeFacts, Patience, PodFacts, Resources, Survey};
use crate::cluster;
use crate::cluster::objects::{UNREACHABLE, component, is_node_ready, is_pod_ready};
use crate::error::{Doing, Result, if_allowed};
use crate::up::NAMESPACES;

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// `containers`: what this machine knows of the nodes.
pub async fn survey(client: &kube::Client, containers: &[cluster::Node]) -> Result<Survey> {
    let all = ListParams::default();
    let nodes = Api::<Node>::all(client.clone()).list(&all).await.doing("listing the nodes")?;
    Ok(Survey {
        nodes: nodes.items.iter().map(|node| node_facts(node, containers)).collect(),
        pods: pods(client).await?.iter().filter_map(pod_facts).collect(),
    })
}

/// Of the whole cluster; for an account that may not see them, of Platen's namespaces.
async fn pods(client: &kube::Client) -> Result<Vec<Pod>> {
    if let Some(pods) = if_allowed(list(Api::all(client.clone())).await)? {
        return Ok(pods);
    }
    let mut pods = Vec::new();
    for namespace in NAMESPACES {
        pods.extend(list(Api::namespaced(client.clone(), namespace)).await?);
    }
    Ok(pods)
}

async fn list(api: Api<Pod>) -> Result<Vec<Pod>> {
    Ok(api.list(&ListParams::default()).await.doing("listing the pods")?.items)
}

fn node_facts(node: &Node, containers: &[cluster::Node]) -> NodeFacts {
    let name = node.metadata.name.clone().unwrap_or_default();
    let free = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    let known = containers.iter().find(|container| container.name == name);
    NodeFacts {
        container: known.and_then(|known| known.container.clone()),
        ready: is_node_ready(node),
        evicts: evicts(node),
        control_plane: node.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(CONTROL_PLANE)),
        free_to_reserve: Resources {
            cpu_milli: milli(free.and_then(|free| free.get("cpu"))),
            memory_mib: mib(free.and_then(|free| free.get("memory"))),
        },
        name,
    }
}

/// Whether Kubernetes drives pods away from it.
pub fn evicts(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints.iter().any(|taint| taint.effect == "NoExecute" && taint.key.starts_with("node.kubernetes.io/"))
}

/// None of one that has ended, is on its way out or is nowhere yet.
pub fn pod_facts(pod: &Pod) -> Option<PodFacts> {
    let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if ended || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let part_of = pod.metadata.labels.as_ref().and_then(|labels| labels.get("app.kubernetes.io/part-of"));
    let component = component(pod).unwrap_or_default().to_owned();
    let (owner, bound_to_node) = owner(pod);
    Some(PodFacts {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        node: spec.node_name.clone().unwrap_or_default(),
        ours: part_of.is_some_and(|it| it == "platen") && component != "experiment",
        component,
        owner,
        bound_to_node,
        ready: is_pod_ready(pod),
        reserves: reserves(pod),
        tolerates_control_plane: spec.tolerations.iter().flatten().any(|toleration| {
            toleration.operator.as_deref() == Some("Exists")
                && toleration.key.as_deref().is_none_or(|key| key == CONTROL_PLANE)
        }),
        patience: patience(pod),
    })
}

/// What would replace it, and whether it would only do so on the same node.
fn owner(pod: &Pod) -> (Option<String>, bool) {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)).or(owners.first()) else {
        return (None, false);
    };
    match owner.kind.as_str() {
        "DaemonSet" | "Node" => (Some(format!("{} {}", owner.kind, owner.name)), true),
        "ReplicaSet" => {
            let labels = pod.metadata.labels.as_ref();
            let hash = labels.and_then(|labels| labels.get("pod-template-hash"));
            let name = hash.and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
            let deployment = name.map(|name| format!("Deployment {name}"));
            (Some(deployment.unwrap_or_else(|| format!("ReplicaSet {}", owner.name))), false)
        }
        // It would be started again, and it is no part of what serves.
        "Job" => (None, false),
        kind => (Some(format!("{kind} {}", owner.name)), false),
    }
}

fn reserves(pod: &Pod) -> Resources {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let requests = containers.filter_map(|container| container.resources.as_ref()?.requests.as_ref());
    requests.fold(Resources::default(), |sum, requests| Resources {
        cpu_milli: sum.cpu_milli + milli(requests.get("cpu")),
        memory_mib: sum.memory_mib + mib(requests.get("memory")),
    })
}

fn patience(pod: &Pod) -> Patience {
    let spec = pod.spec.as_ref();
    let tolerations = spec.and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let tolerates = |key: Option<&str>, effect: Option<&str>| {
        key.is_none_or(|key| key == UNREACHABLE) && effect.is_none_or(|effect| effect == "NoExecute")
    };
    let toleration = tolerations.iter().find(|it| tolerates(it.key.as_deref(), it.effect.as_deref()));
    let container = spec.and_then(|spec| spec.containers.first());
    let of = |probe: Option<&Probe>, read: fn(&Probe) -> Option<i32>, usual: u64| {
        let read = probe.and_then(read).and_then(|value| u64::try_from(value).ok());
        if probe.is_some() { read.unwrap_or(usual) } else { 0 }
    };
    let readiness = container.and_then(|container| container.readiness_probe.as_ref());
    let liveness = container.and_then(|container| container.liveness_probe.as_ref());
    Patience {
        // Without a toleration the eviction is immediate; the API server gives every pod one of 300 s.
        toleration: toleration.map_or(Some(0), |it| {
            it.toleration_seconds.map(|seconds| u64::try_from(seconds).unwrap_or_default())
        }),
        startup_period: of(
            container.and_then(|it| it.startup_probe.as_ref()),
            |probe| probe.period_seconds,
            10,
        ),
        readiness_period: of(readiness, |probe| probe.period_seconds, 10),
        readiness_timeout: of(readiness, |probe| probe.timeout_seconds, 1),
        readiness_failures: of(readiness, |probe| probe.failure_threshold, 3),
        liveness: of(liveness, |probe| probe.period_seconds, 10)
            * of(liveness, |probe| probe.failure_threshold, 3),
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A gateway's pod as a real cluster shows it, cut to what is read.
    pub fn gateway(name: &str, uid: &str, node: Option<&str>, ready: bool) -> Value {
        json!({
            "metadata": {
                "name": name, "namespace": "ocr", "uid": uid,
                "labels": {
                    "app.kubernetes.io/component": "gateway", "app.kubernetes.io/part-of": "platen",
                    "pod-template-hash": "7d4b9c",
                },
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "ocr-gateway-7d4b9c", "uid": "rs",
                    "controller": true,
                }],
            },
            "spec": {
                "nodeName": node,
                "tolerations": [
                    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 15},
                    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 15},
                    {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"},
                ],
                "containers": [{
                    "name": "gateway",
                    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
                    "startupProbe": {"periodSeconds": 1, "failureThreshold": 120},
                    "readinessProbe": {"periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 2},
                    "livenessProbe": {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
                }],
            },
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            },
        })
    }

    #[test]
    fn a_pod_is_read_with_its_owner_its_place_and_its_patience() {
        let pod: Pod = serde_json::from_value(gateway("g-1", "u", Some("c-worker"), true)).unwrap();
        let facts = pod_facts(&pod).unwrap();
        assert_eq!(facts.owner.as_deref(), Some("Deployment ocr-gateway"));
        assert!(facts.ours && facts.ready && facts.tolerates_control_plane && !facts.bound_to_node);
        assert_eq!((facts.reserves.cpu_milli, facts.reserves.memory_mib), (50, 64));
        let patience = Patience {
            toleration: Some(15),
            startup_period: 1,
            readiness_period: 2,
            readiness_timeout: 2,
            readiness_failures: 2,
            liveness: 60,
        };
        assert_eq!(facts.patience, patience);
    }

    #[test]
    fn a_pod_that_leaves_or_has_ended_is_not_counted() {
        let mut leaving = gateway("g-1", "u", Some("c-worker"), true);
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let mut ended = gateway("g-1", "u", Some("c-worker"), false);
        ended["status"]["phase"] = json!("Succeeded");
        for pod in [leaving, ended] {
            assert_eq!(pod_facts(&serde_json::from_value(pod).unwrap()), None);
        }
    }

    #[test]
    fn a_node_is_read_with_its_role_and_its_container() {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "c-control-plane", "labels": {"node-role.kubernetes.io/control-plane": ""}},
            "status": {
                "allocatable": {"cpu": "2", "memory": "4Gi"},
                "conditions": [{"type": "Ready", "status": "Unknown"}],
            },
        }))
        .unwrap();
        let container = cluster::Node {
            name: "c-control-plane".into(),
            container: Some("box".into()),
            state: cluster::NodeState::Ready,
        };
        let facts = node_facts(&node, &[container]);
        assert!(facts.control_plane && !facts.ready);
        assert_eq!((facts.container.as_deref(), facts.free_to_reserve.memory_mib), (Some("box"), 4096));
    }
}
