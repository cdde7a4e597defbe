//! Whom a fault hits: a pure function of what runs where.

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Mode};
use super::report::FaultReport;
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

    /// Whether it takes the pod of this full name on this node with it.
    pub fn hits(&self, node: &str, pod: &str) -> bool {
        match self.fault {
            Fault::Node { .. } => node == self.node,
            Fault::Pod | Fault::Hang => pod == self.name,
        }
    }

    /// What has to come back elsewhere: of a node all that is replaced, else the pod itself.
    pub fn takes<'a>(&'a self, survey: &'a Survey) -> impl Iterator<Item = &'a PodFacts> {
        let whole_node = matches!(self.fault, Fault::Node { .. });
        let hit = survey.pods.iter().filter(move |pod| self.hits(&pod.node, &pod.full_name()));
        hit.filter(move |pod| !whole_node || pod.is_replaced_elsewhere())
    }

    /// As it stands in a report before anything has happened.
    pub fn report(&self, survey: &Survey) -> FaultReport {
        FaultReport {
            fault: Some(self.fault),
            title: self.title(),
            victim: self.name.clone(),
            node: self.node.clone(),
            why: self.why.clone(),
            takes: self.takes(survey).map(PodFacts::full_name).collect(),
            at: None,
            proofs: Vec::new(),
        }
    }

    /// An error where the gateways, rolled out for a run without retries, would take the victim away before its fault.
    pub fn ensure_outlives_rollout(&self, survey: &Survey) -> Result<()> {
        let mut pods = survey.pods.iter();
        let gateway = pods.any(|pod| pod.component == "gateway" && pod.full_name() == self.name);
        if self.fault != Fault::Pod || !gateway {
            return Ok(());
        }
        let what = format!(
            "{} is replaced before its fault: without retries the gateways are rolled out",
            self.name
        );
        Err(Error::usage(what, "name another pod, or none (a model is hit); or leave out --no-retry"))
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
    if let Some(name) = named {
        let known: Vec<&str> = survey.nodes.iter().map(|node| node.name.as_str()).collect();
        let node = survey.node(name).ok_or_else(|| {
            Error::usage(format!("there is no node {name}"), format!("there are: {}", known.join(", ")))
        })?;
        if survey.is_only_control_plane(name) && !force {
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
    Ok(victim(first, "the first model by name, rather on a worker: a request spends most of its time there"))
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
    fn no_control_plane_is_chosen_and_the_only_one_is_killed_only_by_force() {
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

    #[test]
    fn a_node_takes_what_is_replaced_and_a_pod_itself() {
        let mut survey = three_nodes();
        survey.pods.push(PodFacts { bound_to_node: true, ..sample("proxy", 1, "c-worker2") });
        let node = KILL.aim(&survey, false).unwrap();
        assert_eq!(node.report(&survey).takes, ["ocr/gateway-3", "ocr/model-2", "ocr/ocr-server-1"]);
        assert!(node.hits("c-worker2", "kube-system/any") && !node.hits("c-worker", "ocr/gateway-2"));
        let pod = What::Pod { name: Some("model-1".into()) }.aim(&survey, false).unwrap();
        assert_eq!(pod.report(&survey).takes, ["ocr/model-1"]);
        assert!(pod.hits("c-worker", "ocr/model-1") && !pod.hits("c-worker", "ocr/gateway-2"));
    }

    #[test]
    fn a_gateway_is_no_victim_of_a_run_that_rolls_out_the_gateways() {
        let survey = three_nodes();
        let aim = |what: What| what.aim(&survey, false).unwrap().ensure_outlives_rollout(&survey);
        let refused = aim(What::Pod { name: Some("gateway-2".into()) }).unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
        aim(What::Pod { name: Some("model-1".into()) }).unwrap();
        aim(KILL).unwrap();
    }
}
