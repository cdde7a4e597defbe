//! What `minikube profile list` and `minikube status` tell, and what it means for the state of the cluster.

use serde::Deserialize;

use super::spec::Spec;
use crate::cluster::progress::Progress;
use crate::cluster::{ClusterState, Node};
use crate::error::{Error, Result};

/// A profile's settings, as far as they are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Settings {
    #[serde(rename = "KicBaseImage")]
    pub base_image: String,
    /// MiB of each node.
    pub memory: u64,
    #[serde(rename = "CPUs")]
    pub cpus: u64,
    pub driver: String,
    pub kubernetes_config: Kubernetes,
    #[serde(deserialize_with = "null_is_empty")]
    pub nodes: Vec<serde_json::Value>,
    #[serde(deserialize_with = "null_is_empty")]
    pub exposed_ports: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    pub container_volume_mounts: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Kubernetes {
    pub kubernetes_version: String,
    pub container_runtime: String,
}

/// Go writes an empty list as null.
fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(from)?.unwrap_or_default())
}

/// What there is under a profile's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Profile {
    Absent,
    /// minikube itself cannot read it, or misses its container.
    Invalid,
    Valid(Box<Settings>),
}

/// The profile of this name in the answer of `minikube profile list -o json`.
pub fn find(stdout: &[u8], name: &str) -> Result<Profile> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default, deserialize_with = "null_is_empty")]
        invalid: Vec<Named>,
        #[serde(default, deserialize_with = "null_is_empty")]
        valid: Vec<Named>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Named {
        name: String,
        config: Option<Settings>,
    }
    let list: List = json(stdout, "minikube's list of profiles")?;
    if let Some(found) = list.valid.into_iter().find(|profile| profile.name == name) {
        return Ok(found.config.map_or(Profile::Invalid, |config| Profile::Valid(Box::new(config))));
    }
    let invalid = list.invalid.iter().any(|profile| profile.name == name);
    Ok(if invalid { Profile::Invalid } else { Profile::Absent })
}

/// One node as `minikube status -o json` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeStatus {
    pub name: String,
    pub host: String,
    pub kubelet: String,
    #[serde(rename = "APIServer")]
    pub api_server: String,
}

impl NodeStatus {
    fn runs(&self) -> bool {
        self.host == "Running"
    }

    /// On a worker the API server is "Irrelevant".
    fn is_whole(&self) -> bool {
        self.runs()
            && self.kubelet == "Running"
            && matches!(self.api_server.as_str(), "Running" | "Irrelevant")
    }
}

/// An array for several nodes, an object for one.
pub fn statuses(stdout: &[u8]) -> Result<Vec<NodeStatus>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Answer {
        Several(Vec<NodeStatus>),
        One(NodeStatus),
    }
    Ok(match json(stdout, "minikube's status")? {
        Answer::Several(nodes) => nodes,
        Answer::One(node) => vec![node],
    })
}

/// The JSON among lines that are none.
fn json<T: serde::de::DeserializeOwned>(stdout: &[u8], what: &str) -> Result<T> {
    let text = String::from_utf8_lossy(stdout);
    let hint = "run it by hand: minikube status -o json";
    match serde_json::from_str(text.trim()) {
        Ok(value) => Ok(value),
        Err(error) => {
            let mut lines = text.lines().filter(|line| line.starts_with(['{', '[']));
            lines
                .find_map(|line| serde_json::from_str(line).ok())
                .ok_or_else(|| Error::malformed(what, error, hint))
        }
    }
}

/// What there is. Whether a node is Ready is the API server's to say: here a node that runs is not.
pub fn judge(
    profile: &Profile,
    nodes: &[NodeStatus],
    progress: Option<Progress>,
    wanted: &Spec,
) -> ClusterState {
    let settings = match (profile, progress) {
        (Profile::Absent, _) => return ClusterState::Absent,
        (_, None) => return ClusterState::Mismatched { why: "it was not made from this checkout".into() },
        (_, Some(Progress::Creating)) => {
            return ClusterState::Broken { why: "its creation was cut off".into() };
        }
        (Profile::Invalid, _) => {
            return ClusterState::Broken { why: "minikube calls its profile invalid".into() };
        }
        (Profile::Valid(settings), Some(Progress::Created)) => settings,
    };
    let differs = wanted.differences(settings);
    if !differs.is_empty() {
        return ClusterState::Mismatched { why: differs.join("; ") };
    }
    let runs = !nodes.is_empty() && nodes.iter().all(NodeStatus::is_whole);
    let nodes = nodes.iter().map(|node| Node::in_container(&node.name, node.runs())).collect();
    if runs { ClusterState::Running { nodes } } else { ClusterState::Stopped { nodes } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::NodeState;
    use crate::config::Config;

    /// As recorded of minikube 1.39, shortened to what is read.
    const LIST: &str = r#"{"invalid":[{"Name":"old","Status":"","Config":null,"Active":false}],"valid":[{"Name":"platen","Status":"OK","Config":{"Name":"platen","KicBaseImage":"localhost:5001/kicbase:lab","Memory":3000,"CPUs":2,"Driver":"docker","ContainerVolumeMounts":null,"KubernetesConfig":{"KubernetesVersion":"v1.36.3","ContainerRuntime":"containerd"},"Nodes":[{"Name":"","IP":"192.168.49.2"},{"Name":"m02"},{"Name":"m03"}],"ExposedPorts":[]}}]}"#;
    const DEAD: &str = r#"[{"Name":"platen","Host":"Running","Kubelet":"Running","APIServer":"Running","Kubeconfig":"Configured","Worker":false},{"Name":"platen-m02","Host":"Stopped","Kubelet":"Stopped","APIServer":"Stopped","Kubeconfig":"Stopped","Worker":true},{"Name":"platen-m03","Host":"Running","Kubelet":"Running","APIServer":"Irrelevant","Kubeconfig":"Irrelevant","Worker":true}]"#;

    fn spec() -> Spec {
        let mut config = Config::default();
        config.cluster.memory_mib = Some(3000);
        config.minikube.mount = false;
        config.minikube.kubernetes_version = Some("v1.36.3".into());
        Spec::of(&config, None, 24 << 10).unwrap()
    }

    fn judged(status: &str, progress: Option<Progress>, spec: &Spec) -> ClusterState {
        let profile = find(LIST.as_bytes(), "platen").unwrap();
        judge(&profile, &statuses(status.as_bytes()).unwrap(), progress, spec)
    }

    #[test]
    fn a_profile_is_valid_invalid_or_not_there() {
        assert_eq!(find(LIST.as_bytes(), "old").unwrap(), Profile::Invalid);
        assert_eq!(find(LIST.as_bytes(), "other").unwrap(), Profile::Absent);
        assert_eq!(find(br#"{"invalid":null,"valid":null}"#, "platen").unwrap(), Profile::Absent);
        let stray = format!("* a word to the user\n{LIST}\n");
        assert!(matches!(find(stray.as_bytes(), "platen").unwrap(), Profile::Valid(_)));
        assert!(find(b"nothing", "platen").is_err());
    }

    #[test]
    fn the_status_of_one_node_is_an_object() {
        let one = br#"{"Name":"pc","Host":"Running","Kubelet":"Running","APIServer":"Running","Kubeconfig":"Configured","Worker":false}"#;
        assert_eq!(statuses(one).unwrap().len(), 1);
        assert_eq!(statuses(DEAD.as_bytes()).unwrap().len(), 3);
    }

    #[test]
    fn a_dead_node_makes_the_cluster_stopped_so_that_it_is_started() {
        let ClusterState::Stopped { nodes } = judged(DEAD, Some(Progress::Created), &spec()) else {
            panic!("not stopped");
        };
        assert_eq!(nodes[1].state, NodeState::Stopped);
    }

    #[test]
    fn all_running_is_running_and_each_container_has_its_nodes_name() {
        let running = DEAD.replace("\"Stopped\"", "\"Running\"");
        let ClusterState::Running { nodes } = judged(&running, Some(Progress::Created), &spec()) else {
            panic!("not running");
        };
        assert_eq!(nodes[1].container.as_deref(), Some("platen-m02"));
    }

    #[test]
    fn somebody_elses_profile_and_one_that_was_cut_off_are_told_apart() {
        assert!(matches!(judged(DEAD, None, &spec()), ClusterState::Mismatched { .. }));
        assert!(matches!(judged(DEAD, Some(Progress::Creating), &spec()), ClusterState::Broken { .. }));
    }

    #[test]
    fn other_settings_are_named_with_what_there_is_and_what_is_asked_for() {
        let mut config = Config::default();
        (config.cluster.memory_mib, config.cluster.cpus) = (Some(4096), Some(4));
        config.cluster.nodes = crate::config::NodeCount::try_from(2).unwrap();
        config.minikube.kubernetes_version = Some("v1.35.0".into());
        config.minikube.base_image = Some("other".into());
        config.minikube.mount = false;
        let spec = Spec::of(&config, None, 24 << 10).unwrap();
        let ClusterState::Mismatched { why } = judged(DEAD, Some(Progress::Created), &spec) else {
            panic!("not mismatched");
        };
        for difference in [
            "3 nodes instead of 2",
            "3000 MiB",
            "2 processors instead of 4",
            "v1.36.3 instead of v1.35.0",
            "kicbase:lab",
        ] {
            assert!(why.contains(difference), "{difference} in {why}");
        }
    }
}
