//! Whom a fault hits: a pure function of what runs where.

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Mode};
use super::survey::{NodeFacts, PodFacts, Survey};
use crate::error::{Error, Result};

/// What was asked for; without a name the victim is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Node { name: Option<String>, mode: Mode },
    Pod { name: Option<String> },
    Hang { name: Option<String> },
}

/// A fault with its victim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Victim {
    pub fault: Fault,
    /// The node, or the pod with its namespace.
    pub name: String,
    /// The node that it is or is on.
    pub node: String,
    /// Its container on this machine, where it has one.
    pub container: Option<String>,
    /// Of a pod.
    pub uid: Option<String>,
    pub why: String,
}

impl What {
    pub fn aim(&self, survey: &Survey, force: bool) -> Result<Victim> {
        match self {
            Self::Node { name, mode } => node(survey, name.as_deref(), *mode, force),
            Self::Pod { name } => pod(survey, name.as_deref(), Fault::Pod),
            Self::Hang { name } => pod(survey, name.as_deref(), Fault::Hang),
        }
    }
}

impl Victim {
    /// In words, as what has happened.
    pub fn title(&self) -> String {
        match self.fault {
            Fault::Node { mode } => format!("node {} {}", self.name, mode.participle()),
            Fault::Pod => format!("{} on {} killed", self.name, self.node),
            Fault::Hang => format!("{} on {} hangs", self.name, self.node),
        }
    }
}

fn node(survey: &Survey, named: Option<&str>, mode: Mode, force: bool) -> Result<Victim> {
    let victim = |node: &NodeFacts, why: String| Victim {
        fault: Fault::Node { mode },
        name: node.name.clone(),
        node: node.name.clone(),
        container: node.container.clone(),
        uid: None,
        why,
    };
    if survey.nodes.len() < 2 {
        let what = format!("there are {} nodes: with one of them gone nothing is left", survey.nodes.len());
        return Err(Error::usage(what, "make more of them: cargo xtask up --nodes 3"));
    }
    let only_control_plane = |node: &NodeFacts| {
        node.control_plane && survey.nodes.iter().filter(|it| it.control_plane).count() == 1
    };
    if let Some(name) = named {
        let known: Vec<&str> = survey.nodes.iter().map(|node| node.name.as_str()).collect();
        let node = survey.node(name).ok_or_else(|| {
            Error::usage(format!("there is no node {name}"), format!("there are: {}", known.join(", ")))
        })?;
        if only_control_plane(node) && !force {
            return Err(Error::usage(
                format!(
                    "{name} is the only control plane: without it nothing is replaced and nothing is seen"
                ),
                "name a worker, or none; or insist on it: --force",
            ));
        }
        return Ok(victim(node, "as asked for".into()));
    }
    let count = |node: &NodeFacts| survey.on(&node.name).filter(|pod| pod.matters()).count();
    let candidates = survey.nodes.iter().filter(|node| node.ready && !node.control_plane);
    let most = candidates.max_by(|a, b| count(a).cmp(&count(b)).then_with(|| b.name.cmp(&a.name)));
    let most = most.ok_or_else(|| {
        Error::usage(
            "no worker is Ready, and the control plane is not chosen",
            "name a node: --kill-node NODE",
        )
    })?;
    Ok(victim(most, format!("the worker that runs the most of what serves: {}", carried(survey, most))))
}

/// `1 gateway, 2 model`.
fn carried(survey: &Survey, node: &NodeFacts) -> String {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for pod in survey.on(&node.name).filter(|pod| pod.matters()) {
        *counts.entry(&pod.component).or_default() += 1;
    }
    if counts.is_empty() {
        return "none of it".into();
    }
    counts.iter().map(|(component, count)| format!("{count} {component}")).collect::<Vec<_>>().join(", ")
}

fn pod(survey: &Survey, named: Option<&str>, fault: Fault) -> Result<Victim> {
    let victim = |pod: &PodFacts, why: &str| Victim {
        name: pod.full_name(),
        node: pod.node.clone(),
        container: survey.node(&pod.node).and_then(|node| node.container.clone()),
        uid: Some(pod.uid.clone()).filter(|uid| !uid.is_empty()),
        why: why.into(),
        fault,
    };
    let may = |pod: &&PodFacts| pod.ours && (fault == Fault::Pod || pod.component == "model");
    if let Some(name) = named {
        let found = survey.pods.iter().filter(may).find(|pod| pod.name == name || pod.full_name() == name);
        let known: Vec<String> = survey.pods.iter().filter(may).map(PodFacts::full_name).collect();
        let found = found.ok_or_else(|| {
            let kind = if fault == Fault::Hang { "model" } else { "pod of Platen" };
            Error::usage(format!("there is no {kind} {name}"), format!("there are: {}", known.join(", ")))
        })?;
        return Ok(victim(found, "as asked for"));
    }
    // A model, since a request lives longest there; beside a control plane as seldom as can be.
    let models = survey.pods.iter().filter(|pod| pod.ours && pod.ready && pod.component == "model");
    let first = models.min_by_key(|pod| {
        let beside = survey.node(&pod.node).is_some_and(|node| node.control_plane);
        (beside, pod.full_name())
    });
    let first = first.ok_or_else(|| {
        Error::unhealthy("no model is ready, and nothing else is chosen by itself", "see: cargo xtask status")
    })?;
    Ok(victim(first, "the first model by name: a request spends most of its time there"))
}

#[cfg(test)]
mod tests {
    use super::super::survey::samples::{pod as sample, three_nodes};
    use super::*;
    use crate::Exit;

    const KILL: What = What::Node { name: None, mode: Mode::Kill };

    fn named(name: &str) -> What {
        What::Node { name: Some(name.into()), mode: Mode::Kill }
    }

    #[test]
    fn the_worker_that_runs_the_most_of_what_serves_is_chosen() {
        let victim = KILL.aim(&three_nodes(), false).unwrap();
        assert_eq!(victim.node, "c-worker2");
        assert!(victim.why.contains("1 gateway, 1 model, 1 ocr-server"), "{}", victim.why);
    }

    #[test]
    fn of_two_that_run_as_much_the_first_by_name_is_chosen() {
        let mut survey = three_nodes();
        survey.pods.push(sample("ocr-server", 2, "c-worker"));
        assert_eq!(KILL.aim(&survey, false).unwrap().node, "c-worker");
    }

    #[test]
    fn what_is_not_ours_or_does_not_serve_does_not_count() {
        let mut survey = three_nodes();
        for number in 0..5 {
            survey.pods.push(sample("frontend", number, "c-worker"));
            survey.pods.push(PodFacts { ours: false, ..sample("gateway", 10 + number, "c-worker") });
        }
        assert_eq!(KILL.aim(&survey, false).unwrap().node, "c-worker2");
    }

    #[test]
    fn the_only_control_plane_is_never_chosen_and_killed_only_by_force() {
        let mut survey = three_nodes();
        for number in 0..9 {
            survey.pods.push(sample("model", 20 + number, "c-control-plane"));
        }
        assert_eq!(KILL.aim(&survey, true).unwrap().node, "c-worker2");
        let refused = named("c-control-plane").aim(&survey, false).unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
        assert!(refused.hint().unwrap().contains("--force"));
        assert_eq!(named("c-control-plane").aim(&survey, true).unwrap().node, "c-control-plane");
        survey.nodes[1].control_plane = true;
        named("c-control-plane").aim(&survey, false).unwrap();
    }

    #[test]
    fn a_node_that_is_not_there_is_refused_with_those_that_are() {
        let refused = named("c-worker3").aim(&three_nodes(), false).unwrap_err();
        assert!(refused.hint().unwrap().contains("c-worker, c-worker2"), "{refused:?}");
    }

    #[test]
    fn a_single_node_is_no_ground_for_chaos() {
        let mut survey = three_nodes();
        survey.nodes.truncate(1);
        assert_eq!(KILL.aim(&survey, true).unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn a_pod_is_found_by_its_name_and_a_model_is_chosen_without_one() {
        let survey = three_nodes();
        let aim = |name: &str| What::Pod { name: Some(name.into()) }.aim(&survey, false);
        assert_eq!(aim("gateway-2").unwrap().name, "ocr/gateway-2");
        assert_eq!(aim("ocr/gateway-2").unwrap().container.as_deref(), Some("c-worker"));
        assert!(aim("nobody").is_err());
        assert_eq!(What::Pod { name: None }.aim(&survey, false).unwrap().name, "ocr/model-1");
        assert!(What::Hang { name: Some("gateway-2".into()) }.aim(&survey, false).is_err());
        let hang = What::Hang { name: None }.aim(&survey, false).unwrap();
        assert_eq!(
            (hang.uid.as_deref(), hang.title().as_str()),
            (Some("uid-model-1"), "ocr/model-1 on c-worker hangs")
        );
    }
}
