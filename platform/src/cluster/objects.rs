//! Questions to the API server about nodes.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams};

use super::{Node, NodeState};
use crate::error::{Doing, Result};
use crate::registry::Platform;

/// The nodes that the API server knows, with what it says of each.
pub async fn nodes(client: &kube::Client) -> Result<Vec<Node>> {
    let nodes = Api::<core::Node>::all(client.clone())
        .list(&ListParams::default())
        .await
        .doing("listing the nodes")?;
    let seen = |node: &core::Node| Node {
        name: node.metadata.name.clone().unwrap_or_default(),
        container: None,
        state: if is_node_ready(node) { NodeState::Ready } else { NodeState::NotReady },
    };
    Ok(nodes.items.iter().map(seen).collect())
}

/// Names of the nodes whose condition Ready is True.
pub async fn ready_nodes(client: &kube::Client) -> Result<Vec<String>> {
    let ready = nodes(client).await?.into_iter().filter(|node| node.state == NodeState::Ready);
    Ok(ready.map(|node| node.name).collect())
}

/// By the API server's word.
pub fn is_node_ready(node: &core::Node) -> bool {
    let conditions = node.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// By the API server's word, also while it is on its way out.
pub fn is_pod_ready(pod: &core::Pod) -> bool {
    let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A node as far as images and pods ask for it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeFacts {
    pub name: String,
    pub os: String,
    pub architecture: String,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<core::Taint>,
}

impl NodeFacts {
    pub fn of(node: &core::Node) -> Self {
        let labels = node.metadata.labels.clone().unwrap_or_default();
        let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
        // The label is what schedulers go by; a node that never reported has only that.
        let fact = |label: &str, reported: Option<&String>, usual: &str| {
            let labelled = labels.get(label).or(reported).filter(|text| !text.is_empty());
            labelled.cloned().unwrap_or_else(|| usual.to_owned())
        };
        let os = fact("kubernetes.io/os", info.map(|info| &info.operating_system), "linux");
        let architecture = fact("kubernetes.io/arch", info.map(|info| &info.architecture), "unknown");
        let mut taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        let is_cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default();
        // Its taint follows a moment later.
        if is_cordoned && !taints.iter().any(|taint| taint.key == UNSCHEDULABLE) {
            let (key, effect) = (UNSCHEDULABLE.to_owned(), "NoSchedule".to_owned());
            taints.push(core::Taint { key, effect, ..core::Taint::default() });
        }
        Self { name: node.metadata.name.clone().unwrap_or_default(), os, architecture, labels, taints }
    }
}

/// The taint of a node that does not answer.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// The taint of a node that was cordoned.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// The label that names a pod's role.
pub const COMPONENT: &str = "app.kubernetes.io/component";

/// The pod's role, where it says one.
pub fn component(pod: &core::Pod) -> Option<&str> {
    pod.metadata.labels.as_ref()?.get(COMPONENT).map(String::as_str)
}

/// Ready, and to stay.
pub fn serves(pod: &core::Pod) -> bool {
    is_pod_ready(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Names of the nodes whose kubelet renewed its lease after `since`. Of nodes that were down, the API server goes on
/// telling what it saw last, for the better part of a minute.
pub async fn alive_since(client: &kube::Client, since: Timestamp) -> Result<Vec<String>> {
    let leases =
        Api::<Lease>::namespaced(client.clone(), "kube-node-lease").list(&ListParams::default()).await;
    let leases = leases.doing("listing the nodes' leases")?;
    let renewed = |lease: &Lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0);
    let alive = leases.items.into_iter().filter(|lease| renewed(lease).is_some_and(|time| time > since));
    Ok(alive.filter_map(|lease| lease.metadata.name).collect())
}

/// The platforms of the nodes, each once.
pub async fn node_platforms(client: &kube::Client) -> Result<Vec<Platform>> {
    let nodes = Api::<core::Node>::all(client.clone())
        .list(&ListParams::default())
        .await
        .doing("listing the nodes")?;
    let facts = nodes.items.iter().map(NodeFacts::of);
    let platforms: BTreeSet<Platform> =
        facts.map(|node| Platform { os: node.os, architecture: node.architecture, variant: None }).collect();
    Ok(platforms.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_its_architecture_by_label_or_by_report() {
        let labelled: core::Node = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "n", "labels": {"kubernetes.io/arch": "arm64"}},
        }))
        .unwrap();
        assert_eq!(NodeFacts::of(&labelled).architecture, "arm64");
    }

    #[test]
    fn a_node_that_was_cordoned_a_moment_ago_has_the_taint_already() {
        let cordoned: core::Node = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "n"}, "spec": {"unschedulable": true},
        }))
        .unwrap();
        assert_eq!(NodeFacts::of(&cordoned).taints[0].key, UNSCHEDULABLE);
    }
}
