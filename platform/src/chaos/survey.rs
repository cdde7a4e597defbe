//! What runs where before a fault, as far as victim, preflight and predictions depend on it.

/// The platform as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    pub nodes: Vec<NodeFacts>,
    pub pods: Vec<PodFacts>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    pub name: String,
    /// The container that is the node, where there is one on this machine.
    pub container: Option<String>,
    pub ready: bool,
    /// Kubernetes drives pods away from it, as one that does not answer.
    pub evicts: bool,
    pub control_plane: bool,
    /// What pods may reserve: thousandths of a processor, MiB.
    pub free_to_reserve: Resources,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu_milli: u64,
    pub memory_mib: u64,
}

/// A pod, or a process of the embedded provider.
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodFacts {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub node: String,
    /// `app.kubernetes.io/component`, or another name for what it is.
    pub component: String,
    /// Platen's own.
    pub ours: bool,
    /// Kind and name of what would replace it: `Deployment ocr-gateway`. None: nothing would.
    pub owner: Option<String>,
    /// One for each node: it goes with its node, and nothing is missing elsewhere.
    pub bound_to_node: bool,
    pub ready: bool,
    pub reserves: Resources,
    /// Whether it may run beside the control plane.
    pub tolerates_control_plane: bool,
    pub patience: Patience,
}

/// Seconds of toleration that the API server gives a pod that says nothing of its own.
pub const DEFAULT_TOLERATION: u32 = 300;

/// How long a pod stays bound to a node that does not answer, and how it is found to be ready and alive. Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// `None`: for ever.
    pub toleration: Option<u64>,
    pub startup_period: u64,
    pub readiness_period: u64,
    pub readiness_timeout: u64,
    pub readiness_failures: u64,
    pub liveness: u64,
}

impl Default for Patience {
    /// Kubernetes' own, of a pod that says nothing.
    fn default() -> Self {
        Self {
            toleration: Some(DEFAULT_TOLERATION.into()),
            startup_period: 0,
            readiness_period: 0,
            readiness_timeout: 1,
            readiness_failures: 3,
            liveness: 0,
        }
    }
}

/// What serves requests: a node is the more of a loss the more of these it runs.
const MATTERS: [&str; 3] = ["gateway", "model", "ocr-server"];

impl Survey {
    pub fn node(&self, name: &str) -> Option<&NodeFacts> {
        self.nodes.iter().find(|node| node.name == name)
    }

    pub fn on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a PodFacts> {
        self.pods.iter().filter(move |pod| pod.node == node)
    }

    /// Platen's pods on a node that are replaced elsewhere while it is away.
    pub fn replaced<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a PodFacts> {
        self.on(node).filter(|pod| pod.is_replaced_elsewhere())
    }

    /// Without it the API server is away: nothing is replaced, and nothing is seen.
    pub fn is_only_control_plane(&self, node: &str) -> bool {
        let mut control_planes = self.nodes.iter().filter(|node| node.control_plane);
        control_planes.next().is_some_and(|first| first.name == node) && control_planes.next().is_none()
    }
}

impl PodFacts {
    pub fn matters(&self) -> bool {
        self.ours && MATTERS.contains(&self.component.as_str())
    }

    pub fn is_replaced_elsewhere(&self) -> bool {
        self.ours && self.owner.is_some() && !self.bound_to_node && !self.waits_for_its_node()
    }

    /// Whether its owner has none in its place for as long as its node is away: a StatefulSet makes no second one of a name
    /// before the first is known to be gone, and what tolerates a dead node for ever is not driven away from it.
    pub fn waits_for_its_node(&self) -> bool {
        let of_set = self.owner.as_deref().is_some_and(|owner| owner.starts_with("StatefulSet "));
        of_set || (self.owner.is_some() && !self.bound_to_node && self.patience.toleration.is_none())
    }

    /// As it is named on the command line and in reports.
    pub fn full_name(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;

    pub fn node(name: &str, control_plane: bool) -> NodeFacts {
        NodeFacts {
            name: name.into(),
            container: Some(name.into()),
            ready: true,
            evicts: false,
            control_plane,
            free_to_reserve: Resources { cpu_milli: 2000, memory_mib: 4096 },
        }
    }

    pub fn pod(component: &str, number: u32, node: &str) -> PodFacts {
        PodFacts {
            namespace: "ocr".into(),
            name: format!("{component}-{number}"),
            uid: format!("uid-{component}-{number}"),
            node: node.into(),
            component: component.into(),
            ours: true,
            owner: Some(format!("Deployment {component}")),
            ready: true,
            reserves: Resources { cpu_milli: 250, memory_mib: 256 },
            tolerates_control_plane: component == "gateway",
            patience: Patience {
                toleration: Some(15),
                startup_period: 1,
                readiness_period: 2,
                readiness_timeout: 2,
                readiness_failures: 2,
                liveness: 60,
            },
            ..PodFacts::default()
        }
    }

    /// Three nodes as `up` makes them: a gateway on each, a model on each worker, the OCR server on the second.
    pub fn three_nodes() -> Survey {
        Survey {
            nodes: vec![node("c-control-plane", true), node("c-worker", false), node("c-worker2", false)],
            pods: vec![
                pod("gateway", 1, "c-control-plane"),
                pod("gateway", 2, "c-worker"),
                pod("gateway", 3, "c-worker2"),
                pod("model", 1, "c-worker"),
                pod("model", 2, "c-worker2"),
                pod("ocr-server", 1, "c-worker2"),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{pod, three_nodes};
    use super::*;

    #[test]
    fn what_waits_for_its_node_is_not_counted_among_what_is_replaced() {
        let mut survey = three_nodes();
        let database =
            PodFacts { owner: Some("StatefulSet mariadb".into()), ..pod("mariadb", 0, "c-worker") };
        let mut stays = pod("translate", 1, "c-worker");
        stays.patience.toleration = None;
        assert!(database.waits_for_its_node() && stays.waits_for_its_node());
        let daemon =
            PodFacts { bound_to_node: true, owner: Some("DaemonSet kindnet".into()), ..stays.clone() };
        assert!(!daemon.waits_for_its_node(), "there is one on each node");
        survey.pods.extend([database, stays, daemon]);
        let replaced: Vec<&str> = survey.replaced("c-worker").map(|pod| pod.name.as_str()).collect();
        assert_eq!(replaced, ["gateway-2", "model-1"]);
    }

    #[test]
    fn of_two_control_planes_none_is_the_only_one() {
        let mut survey = three_nodes();
        assert!(survey.is_only_control_plane("c-control-plane") && !survey.is_only_control_plane("c-worker"));
        survey.nodes[1].control_plane = true;
        assert!(!survey.is_only_control_plane("c-control-plane"));
    }
}
