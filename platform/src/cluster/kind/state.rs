//! What the nodes' containers mean for the state of the cluster.

use super::{ClusterState, Node, NodeContainer};
use crate::cluster::progress::Progress;

/// What the containers mean.
pub(super) fn judge(
    containers: &[NodeContainer],
    progress: Option<Progress>,
    wanted: &[String],
) -> ClusterState {
    let there: Vec<&String> = containers.iter().map(|node| &node.name).collect();
    if containers.is_empty() {
        return ClusterState::Absent;
    }
    match progress {
        None => return ClusterState::Mismatched { why: "it was not made from this checkout".into() },
        Some(Progress::Creating) => return ClusterState::Broken { why: "its creation was cut off".into() },
        Some(Progress::Created) => {}
    }
    if there.len() != wanted.len() || !wanted.iter().all(|name| there.contains(&name)) {
        let why = format!("it has {} nodes and {} are configured", there.len(), wanted.len());
        return ClusterState::Mismatched { why };
    }
    let nodes = containers.iter().map(|node| Node::in_container(&node.name, node.runs())).collect();
    if containers.iter().all(NodeContainer::runs) {
        ClusterState::Running { nodes }
    } else {
        ClusterState::Stopped { nodes }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ContainerState, node_names};
    use super::*;
    use crate::cluster::NodeState;
    use crate::config::Config;

    fn containers(running: &[bool]) -> Vec<NodeContainer> {
        let names = node_names(&Config::default());
        std::iter::zip(names, running)
            .map(|(name, running)| {
                let state = if *running { ContainerState::Running } else { ContainerState::Stopped };
                NodeContainer { name, state }
            })
            .collect()
    }

    fn judged(running: &[bool], progress: Option<Progress>) -> ClusterState {
        judge(&containers(running), progress, &node_names(&Config::default()))
    }

    const CREATED: Option<Progress> = Some(Progress::Created);

    #[test]
    fn a_cluster_of_somebody_else_is_never_touched() {
        assert!(matches!(judged(&[true; 3], None), ClusterState::Mismatched { .. }));
    }

    #[test]
    fn containers_of_a_creation_that_was_cut_off_are_a_broken_cluster() {
        assert!(matches!(judged(&[true], Some(Progress::Creating)), ClusterState::Broken { .. }));
    }

    #[test]
    fn a_stopped_node_makes_the_cluster_stopped() {
        let ClusterState::Stopped { nodes } = judged(&[true, false, true], CREATED) else {
            panic!("not stopped");
        };
        assert_eq!(nodes[1].state, NodeState::Stopped);
    }

    #[test]
    fn another_number_of_nodes_is_never_mended_by_deleting() {
        assert!(matches!(judged(&[true, true], CREATED), ClusterState::Mismatched { .. }));
    }

    #[test]
    fn all_running_is_running() {
        assert!(matches!(judged(&[true; 3], CREATED), ClusterState::Running { .. }));
        assert_eq!(judged(&[], CREATED), ClusterState::Absent);
    }
}
