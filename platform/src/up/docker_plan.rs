//! What a cluster of Docker containers lacks, as a plan: a pure function of what was seen.

use super::plan::{Action, StepId};
use crate::cluster::{ClusterState, NodeState};
use crate::mirror::{self, Artifact};

/// What the plan depends on.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// Why Docker cannot be used; `None` where it answers.
    pub engine_lacks: Option<String>,
    pub missing: Vec<Artifact>,
    pub registry_runs: bool,
    pub cluster: ClusterState,
    /// What of it is missing although its nodes run.
    pub cluster_lacks: Option<String>,
    pub image_is_pushed: bool,
    /// Whether the mirror brought it from elsewhere.
    pub image_is_carried: bool,
    /// What is missing of what the cluster runs.
    pub installs: Vec<Action>,
}

pub(super) fn engine_action(why: &str) -> Action {
    Action::new(StepId::Engine, "make Docker answer", why, 40)
}

pub(super) fn plan(world: &World, nodes: u16) -> Vec<Action> {
    let mut actions = Vec::new();
    actions.extend(world.engine_lacks.as_deref().map(engine_action));
    if !world.missing.is_empty() {
        let names: Vec<&str> = world.missing.iter().map(|artifact| artifact.title()).collect();
        let expected = mirror::expected(&world.missing);
        let why = format!("no image can be pulled here; missing: {}", names.join(", "));
        actions.push(Action::new(
            StepId::Sources,
            "build the cluster's parts from source",
            why,
            expected.as_secs(),
        ));
    }
    if !world.registry_runs {
        actions.push(Action::new(StepId::Registry, "start the local registry", "it does not run", 3));
    }
    actions.extend(cluster_action(&world.cluster, world.cluster_lacks.as_deref(), nodes));
    if !world.image_is_pushed {
        let why = "the registry has no image of these sources";
        let (title, seconds) = if world.image_is_carried {
            ("push the OCR service's image that the mirror brought", 5)
        } else {
            ("build and push the OCR service's image", 240)
        };
        actions.push(Action::new(StepId::Image, title, why, seconds));
    }
    actions.extend(world.installs.clone());
    actions
}

fn cluster_action(cluster: &ClusterState, lacks: Option<&str>, nodes: u16) -> Option<Action> {
    let act = |title: String, why: &str, seconds| Some(Action::new(StepId::Cluster, title, why, seconds));
    match cluster {
        ClusterState::Absent => act(format!("create a cluster of {nodes} nodes"), "there is none", 60),
        ClusterState::Broken { why } => act(format!("create the cluster of {nodes} nodes anew"), why, 70),
        // Only where that was asked for.
        ClusterState::Mismatched { why } => {
            act(format!("delete the cluster and create one of {nodes} nodes"), why, 75)
        }
        ClusterState::Stopped { .. } => act("start the cluster's nodes".into(), "not all of them run", 20),
        ClusterState::Running { nodes } => {
            let late: Vec<&str> =
                nodes.iter().filter(|n| n.state != NodeState::Ready).map(|n| n.name.as_str()).collect();
            if late.is_empty() {
                return lacks.and_then(|why| act("complete the cluster".into(), why, 5));
            }
            act("wait for the nodes".into(), &format!("not Ready: {}", late.join(", ")), 30)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Node;
    use crate::up::apps::Apps;

    fn ready() -> World {
        let node = Node { name: "platen-worker".into(), container: None, state: NodeState::Ready };
        World {
            engine_lacks: None,
            missing: Vec::new(),
            registry_runs: true,
            cluster: ClusterState::Running { nodes: vec![node] },
            cluster_lacks: None,
            image_is_pushed: true,
            image_is_carried: false,
            installs: Vec::new(),
        }
    }

    fn steps(world: &World) -> Vec<StepId> {
        plan(world, 3).into_iter().map(|action| action.step).collect()
    }

    #[test]
    fn when_all_is_there_nothing_is_to_do() {
        assert_eq!(steps(&ready()), []);
    }

    #[test]
    fn a_bare_machine_gets_every_step_in_order() {
        let world = World {
            engine_lacks: Some("Docker is not installed".into()),
            missing: mirror::CLUSTER.to_vec(),
            registry_runs: false,
            cluster: ClusterState::Absent,
            cluster_lacks: None,
            image_is_pushed: false,
            image_is_carried: false,
            installs: vec![Apps::to_install("there is no cluster")],
        };
        let expected =
            [StepId::Engine, StepId::Sources, StepId::Registry, StepId::Cluster, StepId::Image, StepId::Apps];
        assert_eq!(steps(&world), expected);
    }

    #[test]
    fn a_cluster_that_was_cut_off_is_made_anew() {
        let world =
            World { cluster: ClusterState::Broken { why: "its creation was cut off".into() }, ..ready() };
        assert_eq!(steps(&world), [StepId::Cluster]);
    }

    #[test]
    fn what_is_missing_beside_the_nodes_is_done_by_the_same_step() {
        let world = World { cluster_lacks: Some("the doors are closed".into()), ..ready() };
        assert_eq!(steps(&world), [StepId::Cluster]);
        assert_eq!(plan(&world, 3)[0].why, "the doors are closed");
    }

    #[test]
    fn what_is_deleted_first_is_told_before() {
        let world = World { cluster: ClusterState::Mismatched { why: "it has 2 nodes".into() }, ..ready() };
        assert!(plan(&world, 3)[0].title.contains("delete"));
    }

    #[test]
    fn a_stopped_cluster_is_only_started() {
        let world = World { cluster: ClusterState::Stopped { nodes: Vec::new() }, ..ready() };
        assert!(plan(&world, 3)[0].title.contains("start"));
    }
}
