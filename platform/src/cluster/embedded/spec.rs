//! What is to run: a pure function of the configuration and the service's binary.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{grace, scrape};
use crate::config::{Config, PortsConfig};
use crate::process::Cmd;

/// All nodes of one profile. Written before anything starts, read by the supervisor and by each node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub binary: PathBuf,
    /// Where there is one.
    pub prometheus: Option<PathBuf>,
    pub nodes: Vec<NodeSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    pub name: String,
    /// Where the node tells Prometheus of its processes.
    pub metrics_port: u16,
    pub roles: Vec<RoleSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSpec {
    pub role: Role,
    pub port: u16,
    pub env: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Gateway,
    Model,
    OcrServer,
    Translate,
    Frontend,
    Experiments,
    Prometheus,
}

impl Role {
    /// Its name; for a role of the service, the subcommand of the binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Model => "model",
            Self::OcrServer => "ocr-server",
            Self::Translate => "translate",
            Self::Frontend => "frontend",
            Self::Experiments => "experiments",
            Self::Prometheus => "prometheus",
        }
    }

    /// What answers with success once it serves.
    pub fn ready_path(self) -> &'static str {
        match self {
            Self::Prometheus => "/-/ready",
            _ => "/healthz/ready",
        }
    }

    /// What the pods of this role are called where there are pods, without their number.
    fn workload(self) -> String {
        match self {
            Self::Model => "model-server".into(),
            role => format!("ocr-{}", role.name().trim_start_matches("ocr-")),
        }
    }
}

impl Spec {
    /// Every node runs what serves requests, so that any one of them can go; each gateway knows every model, its own
    /// first in the list: there it begins, then it goes round. The experiments have one database, in `data`, and so one
    /// process.
    pub fn new(config: &Config, binary: PathBuf, prometheus: Option<PathBuf>, data: &Path) -> Self {
        let count = config.cluster.nodes.get();
        let nodes = (0..count)
            .map(|node| {
                let mut roles = serving_roles(&config.ports, node, count);
                if node == 0 {
                    let data = data.join("experiments").display().to_string();
                    roles.push(RoleSpec {
                        role: Role::Experiments,
                        port: config.ports.experiments,
                        env: vec![("PLATEN_EXPERIMENTS_DATA".into(), data)],
                    });
                }
                if node == 0 && prometheus.is_some() {
                    let port = config.ports.prometheus;
                    roles.push(RoleSpec { role: Role::Prometheus, port, env: Vec::new() });
                }
                NodeSpec {
                    name: format!("{}-{}", config.cluster.profile, node + 1),
                    metrics_port: config.ports.on_node(config.ports.node_metrics, node),
                    roles,
                }
            })
            .collect();
        Self { binary, prometheus, nodes }
    }

    pub fn roles(&self) -> impl Iterator<Item = (&NodeSpec, &RoleSpec)> {
        self.nodes.iter().flat_map(|node| node.roles.iter().map(move |role| (node, role)))
    }
}

/// The roles of node `node` of `count`, each node's own gateway and translation behind its page.
fn serving_roles(ports: &PortsConfig, node: u16, count: u16) -> Vec<RoleSpec> {
    let url = |base: u16, node: u16| format!("http://127.0.0.1:{}", ports.on_node(base, node));
    let models: Vec<String> = (0..count).map(|step| url(ports.model, (node + step) % count)).collect();
    let behind_the_page = vec![
        ("PLATEN_GATEWAY_URL".to_owned(), url(ports.gateway, node)),
        ("PLATEN_TRANSLATE_URL".to_owned(), url(ports.translate, node)),
    ];
    [
        (Role::Model, ports.model, Vec::new()),
        (Role::OcrServer, ports.ocr_server, Vec::new()),
        (Role::Gateway, ports.gateway, vec![("KSERVE_URL".to_owned(), models.join(","))]),
        (Role::Translate, ports.translate, Vec::new()),
        (Role::Frontend, ports.frontend, behind_the_page),
    ]
    .map(|(role, base, env)| RoleSpec { role, port: ports.on_node(base, node), env })
    .into()
}

impl RoleSpec {
    /// How it is started; `dir` is the folder of the profile's processes.
    pub fn cmd(&self, spec: &Spec, node: &str, dir: &Path) -> Cmd {
        match (self.role, &spec.prometheus) {
            (Role::Prometheus, Some(program)) => scrape::cmd(program, self.port, dir),
            _ => self.service_cmd(&spec.binary, node),
        }
    }

    /// The name of its pod, were it one.
    pub fn pod(&self, node: usize) -> String {
        format!("{}-{}", self.role.workload(), node + 1)
    }

    fn service_cmd(&self, binary: &Path, node: &str) -> Cmd {
        let cmd = Cmd::new(binary)
            .args([self.role.name(), "--port", &self.port.to_string()])
            .env("PLATEN_NODE", node)
            .env("PLATEN_INSTANCE", format!("{node}/{}", self.role.name()))
            // One engine a node: the nodes stand for machines, and share this one's processors.
            .env("PLATEN_ENGINES", "1")
            // The supervisor's patience is derived from these.
            .env("PLATEN_DEADLINE", format!("{}s", grace::DEADLINE.as_secs()))
            .env("PLATEN_DRAIN_DELAY", "0s")
            .env("OMP_THREAD_LIMIT", "1");
        self.env.iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        let prometheus = Some("/bin/prometheus".into());
        Spec::new(&Config::default(), "/bin/ocr-service".into(), prometheus, Path::new("/p/.platen/platen"))
    }

    #[test]
    fn no_two_roles_of_three_nodes_have_the_same_port() {
        let spec = spec();
        let nodes = spec.nodes.iter().map(|node| node.metrics_port);
        let mut ports: Vec<u16> = spec.roles().map(|(_, role)| role.port).chain(nodes).collect();
        ports.sort_unstable();
        let all = ports.len();
        ports.dedup();
        assert_eq!((ports.len(), all), (20, 20));
    }

    #[test]
    fn a_gateway_knows_every_model_its_own_nodes_first_in_the_list() {
        let second = &spec().nodes[1];
        let gateway = second.roles.iter().find(|role| role.role == Role::Gateway).unwrap();
        assert_eq!(gateway.env[0].1, "http://127.0.0.1:8180,http://127.0.0.1:8280,http://127.0.0.1:8080");
    }

    #[test]
    fn one_process_has_the_experiments_and_their_folder() {
        let spec = spec();
        let with: Vec<_> = spec.roles().filter(|(_, role)| role.role == Role::Experiments).collect();
        assert_eq!(with.len(), 1);
        assert_eq!(with[0].1.env[0].1, "/p/.platen/platen/experiments");
    }
}
