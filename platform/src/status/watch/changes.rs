//! What is different between two scenes, a line each.

use serde::Serialize;

use super::{PodSeen, Scene};
use crate::cluster::NodeState;

/// One thing that became otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `node` or `pod` and its name, or `event`.
    pub object: String,
    /// What it is now, and what it was.
    pub text: String,
    /// Somebody should know.
    pub warning: bool,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.object, self.text)
    }
}

/// From one scene to the next; of the first scene, everything.
pub fn changes(before: &Scene, after: &Scene) -> Vec<Change> {
    let mut found = Vec::new();
    let mut add = |object: String, text: String, warning| found.push(Change { object, text, warning });
    if before.trouble != after.trouble {
        match &after.trouble {
            Some(trouble) => add("view".into(), trouble.clone(), true),
            None => add("view".into(), "all can be seen again".into(), false),
        }
    }
    for node in &after.nodes {
        let object = || format!("node {}", node.name);
        match before.nodes.iter().find(|it| it.name == node.name) {
            Some(old) if old.state == node.state => {}
            Some(old) => {
                let text = format!("{}, was {}", of_node(node.state), of_node(old.state));
                add(object(), text, node.state != NodeState::Ready);
            }
            None => add(object(), of_node(node.state).into(), node.state != NodeState::Ready),
        }
    }
    for node in before.nodes.iter().filter(|old| after.nodes.iter().all(|it| it.name != old.name)) {
        add(format!("node {}", node.name), "gone".into(), true);
    }
    for pod in &after.pods {
        let old = before.pods.iter().find(|it| it.id == pod.id);
        if let Some(text) = of_pod(old, pod) {
            add(format!("pod {}", pod.name), text, matches!(pod.state, super::PodState::Failing));
        }
    }
    for pod in before.pods.iter().filter(|old| after.pods.iter().all(|it| it.id != old.id)) {
        let from = pod.node.as_ref().map(|node| format!(" from {node}")).unwrap_or_default();
        add(format!("pod {}", pod.name), format!("gone{from}"), false);
    }
    for event in after.events.iter().filter(|it| !before.events.contains(it)) {
        add("event".into(), event.text.clone(), event.warning);
    }
    found
}

fn of_pod(old: Option<&PodSeen>, pod: &PodSeen) -> Option<String> {
    let Some(old) = old else { return Some(format!("{}{}", pod.state.word(), place(pod))) };
    let mut words = Vec::new();
    if old.state != pod.state {
        words.push(format!("{}, was {}", pod.state.word(), old.state.word()));
    }
    if old.node != pod.node {
        words.push(format!("placed{}", place(pod)));
    }
    if old.restarts != pod.restarts {
        words.push(format!("{} {}", pod.restarts, if pod.restarts == 1 { "restart" } else { "restarts" }));
    }
    if words.is_empty() {
        return None;
    }
    let here = if old.node == pod.node { place(pod) } else { String::new() };
    Some(format!("{}{here}", words.join(", ")))
}

fn place(pod: &PodSeen) -> String {
    pod.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default()
}

fn of_node(state: NodeState) -> &'static str {
    match state {
        NodeState::Ready => "Ready",
        NodeState::NotReady => "not ready",
        NodeState::Stopped => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NodeSeen, PodState};
    use super::*;

    fn pod(id: &str, node: Option<&str>, state: PodState) -> PodSeen {
        let name = format!("model-{id}");
        PodSeen { id: id.into(), name, node: node.map(ToOwned::to_owned), state, restarts: 0 }
    }

    fn scene(node: NodeState, pods: Vec<PodSeen>) -> Scene {
        Scene { nodes: vec![NodeSeen { name: "worker".into(), state: node }], pods, ..Scene::default() }
    }

    #[test]
    fn a_pod_is_followed_from_one_node_to_another() {
        let before = scene(NodeState::Ready, vec![pod("a", Some("worker"), PodState::Ready)]);
        let after = scene(
            NodeState::NotReady,
            vec![pod("a", Some("worker"), PodState::Leaving), pod("b", None, PodState::Starting)],
        );
        let lines =
            |before, after| changes(before, after).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            lines(&before, &after),
            [
                "node worker: not ready, was Ready",
                "pod model-a: leaving, was ready on worker",
                "pod model-b: starting",
            ]
        );
        let last = scene(NodeState::NotReady, vec![pod("b", Some("other"), PodState::Ready)]);
        assert_eq!(
            lines(&after, &last),
            ["pod model-b: ready, was starting, placed on other", "pod model-a: gone from worker"]
        );
    }

    #[test]
    fn where_nothing_has_changed_nothing_is_said() {
        let one = scene(NodeState::Ready, vec![pod("a", Some("worker"), PodState::Ready)]);
        assert_eq!(changes(&one, &one), []);
    }

    #[test]
    fn a_restart_is_told() {
        let before = scene(NodeState::Ready, vec![pod("a", Some("worker"), PodState::Ready)]);
        let mut again = before.clone();
        again.pods[0].restarts = 1;
        assert_eq!(changes(&before, &again)[0].to_string(), "pod model-a: 1 restart on worker");
    }
}
