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
            toleration: Some(300),
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

    /// Platen's pods on a node that something would replace.
    pub fn replaced<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a PodFacts> {
        self.on(node).filter(|pod| pod.ours && pod.owner.is_some() && !pod.bound_to_node)
    }
}

impl PodFacts {
    pub fn matters(&self) -> bool {
        self.ours && MATTERS.contains(&self.component.as_str())
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
