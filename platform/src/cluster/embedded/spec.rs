//! What is to run: a pure function of the configuration and the service's binary.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::grace;
use crate::config::Config;
use crate::process::Cmd;

/// All nodes of one profile. Written before anything starts, read by the supervisor and by each node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub binary: PathBuf,
    pub nodes: Vec<NodeSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    pub name: String,
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
}

impl Role {
    /// The subcommand of the service's binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Model => "model",
            Self::OcrServer => "ocr-server",
        }
    }
}

impl Spec {
    /// Every node runs every role, so that any one of them can go; each gateway knows every model, its own first in
    /// the list, and chooses among them by what they have to do.
    pub fn new(config: &Config, binary: PathBuf) -> Self {
        let ports = &config.ports;
        let count = config.cluster.nodes.get();
        let model_url = |node: u16| format!("http://127.0.0.1:{}", ports.on_node(ports.model, node));
        let nodes = (0..count)
            .map(|node| {
                let name = format!("{}-{}", config.cluster.profile, node + 1);
                let models: Vec<String> = (0..count).map(|step| model_url((node + step) % count)).collect();
                let roles = [
                    (Role::Model, ports.model, Vec::new()),
                    (Role::OcrServer, ports.ocr_server, Vec::new()),
                    (Role::Gateway, ports.gateway, vec![("KSERVE_URL".to_owned(), models.join(","))]),
                ];
                let roles =
                    roles.map(|(role, base, env)| RoleSpec { role, port: ports.on_node(base, node), env });
                NodeSpec { name, roles: roles.into() }
            })
            .collect();
        Self { binary, nodes }
    }

    pub fn roles(&self) -> impl Iterator<Item = (&NodeSpec, &RoleSpec)> {
        self.nodes.iter().flat_map(|node| node.roles.iter().map(move |role| (node, role)))
    }
}

impl RoleSpec {
    pub fn cmd(&self, binary: &Path, node: &str) -> Cmd {
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

    #[test]
    fn three_nodes_have_ports_of_their_own() {
        let spec = Spec::new(&Config::default(), "/bin/ocr-service".into());
        let mut ports: Vec<u16> = spec.roles().map(|(_, role)| role.port).collect();
        assert_eq!(ports.len(), 9);
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 9);
    }

    #[test]
    fn a_gateway_knows_every_model_its_own_nodes_first_in_the_list() {
        let spec = Spec::new(&Config::default(), "/bin/ocr-service".into());
        let second_gateway = &spec.nodes[1].roles[2];
        assert_eq!(second_gateway.role, Role::Gateway);
        assert_eq!(
            second_gateway.env[0].1,
            "http://127.0.0.1:8180,http://127.0.0.1:8280,http://127.0.0.1:8080"
        );
    }
}
