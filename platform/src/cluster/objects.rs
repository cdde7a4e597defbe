//! Questions to the API server about nodes.

use std::collections::BTreeSet;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams};

use super::{Node, NodeState};
use crate::error::{Doing, Result};
use crate::images::preflight::NodeFacts;
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

/// The taint of a node that does not answer.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
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
