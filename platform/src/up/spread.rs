//! A node that was away for longer than its pods wait comes back empty, and the door on it leads to nobody: every pod is
//! ready elsewhere, so that nothing would change that by itself.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams};

use super::NAMESPACES;
use crate::cluster::objects::{component, is_node_ready, serves};
use crate::diagnose;
use crate::error::{Doing, Result};

/// What sits on every node, its entry first.
const EVERYWHERE: [&str; 3] = ["gateway", "frontend", "translate"];

/// Removes in order, of each role that has none on this node, one pod of a node that has several: what replaces it goes
/// where there are too few, as the chart's rule of even spread wants it. Their names.
pub async fn onto(client: &kube::Client, node: &str) -> Result<Vec<String>> {
    // Whoever may not see nodes moves nothing; nor does a door that is none of a node.
    let found = Api::<Node>::all(client.clone()).get_opt(node).await.ok().flatten();
    if !found.is_some_and(|node| is_node_ready(&node)) {
        return Ok(Vec::new());
    }
    let [namespace, _] = NAMESPACES;
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let pods = api.list(&diagnose::ours()).await.doing("listing the service's pods")?.items;
    let moved = surplus(&pods, node);
    for name in &moved {
        api.delete(name, &DeleteParams::default()).await.doing(format!("removing {name}"))?;
    }
    Ok(moved)
}

/// One pod of each role that is missing on `node` and more than once elsewhere.
fn surplus(pods: &[Pod], node: &str) -> Vec<String> {
    let of = |role: &str| {
        let mut by_node: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for pod in pods.iter().filter(|pod| component(pod) == Some(role)) {
            let place = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
            // One that starts there is on its way, and one that does not serve is none too many.
            let starts = place == node && pod.metadata.deletion_timestamp.is_none();
            if serves(pod) || starts {
                by_node.entry(place).or_default().extend(pod.metadata.name.as_deref());
            }
        }
        if by_node.contains_key(node) {
            return None;
        }
        by_node.into_values().find(|names| names.len() > 1)?.first().map(ToString::to_string)
    };
    EVERYWHERE.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::objects::COMPONENT;

    fn pod(component: &str, number: u32, node: &str, ready: bool) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": format!("{component}-{number}"), "labels": {COMPONENT: component}},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        }))
        .unwrap()
    }

    #[test]
    fn of_a_role_that_is_missing_on_the_node_one_of_two_elsewhere_goes() {
        let pods = vec![
            pod("gateway", 1, "a", true),
            pod("gateway", 2, "b", true),
            pod("gateway", 3, "b", true),
            pod("frontend", 1, "a", true),
            pod("frontend", 2, "b", true),
            pod("translate", 1, "b", true),
            pod("translate", 2, "b", false),
            pod("model", 1, "b", true),
            pod("model", 2, "b", true),
        ];
        assert_eq!(surplus(&pods, "c"), ["gateway-2"]);
        assert!(
            surplus(&pods, "a").is_empty(),
            "it has its own, and a second that does not serve is none too many"
        );
    }

    #[test]
    fn one_that_starts_there_is_waited_for() {
        let pods =
            [pod("gateway", 1, "a", true), pod("gateway", 2, "a", true), pod("gateway", 3, "b", false)];
        assert!(surplus(&pods, "b").is_empty());
    }
}
