//! A real Kubernetes cluster whose nodes are containers, made by kind.

mod config;
mod shared;
mod state;
mod wiring;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, ContainerUpdateBody};
use bollard::query_parameters::{ListContainersOptions, StartContainerOptions, StopContainerOptions};
use k8s_openapi::jiff::Timestamp;

pub use config::{NODE_PORTS, NodeImage};
pub use state::was_begun;
pub use wiring::{RegistryWiring, wire_node};

use state::{Progress, judge, nodes, progress_file};

use super::{ClusterState, Endpoint, HostTraits, Node, NodeState};
use crate::config::{Config, ProfileName};
use crate::engine;
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::host::{Host, write_atomically};
use crate::mirror::registry;
use crate::process::Cmd;
use crate::tools::{self, Tool};

/// kind's own label on each node's container.
const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
const CREATE_WITHIN: Duration = Duration::from_mins(6);

/// The kind cluster of one profile.
pub struct Kind {
    host: Host,
    docker: Docker,
    /// The engine as programs that speak with Docker themselves must be told it.
    docker_host: String,
    /// `None`: it is obtained when it is first needed.
    program: Option<PathBuf>,
}

/// A node's container as Docker sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeContainer {
    pub name: String,
    pub running: bool,
}

/// What a cluster is created with.
#[derive(Debug, Clone)]
pub struct CreateSpec {
    pub image: NodeImage,
    pub traits: HostTraits,
}

impl Kind {
    pub fn new(host: &Host, engine: &engine::Ready, program: Option<PathBuf>) -> Self {
        let docker_host = engine.docker_host().to_owned();
        Self { host: host.clone(), docker: engine.docker.clone(), docker_host, program }
    }

    async fn cmd(&self) -> Result<Cmd> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => tools::ensure(&self.host, Tool::Kind).await?,
        };
        let cmd = Cmd::new(program).env("DOCKER_HOST", &self.docker_host);
        Ok(match without_proxy(|name| std::env::var(name).ok()) {
            Some(names) => cmd.env("NO_PROXY", &names).env("no_proxy", &names),
            None => cmd,
        })
    }

    fn name(&self) -> &str {
        self.host.config.cluster.profile.as_str()
    }

    /// The kubeconfig context that kind writes.
    pub fn context(&self) -> String {
        Self::context_of(&self.host.config.cluster.profile)
    }

    pub fn context_of(profile: &ProfileName) -> String {
        format!("kind-{profile}")
    }

    /// Doors by node, in the order of kind's names.
    pub fn endpoints(config: &Config) -> Vec<Endpoint> {
        let ports = &config.ports;
        node_names(config)
            .into_iter()
            .enumerate()
            .filter_map(|(index, name)| {
                let index = u16::try_from(index).ok()?;
                Some(Endpoint::on_loopback(name, ports.on_node(ports.node_ports[0], index)))
            })
            .collect()
    }

    /// The containers of this cluster's nodes, also stopped ones, by name.
    pub async fn containers(&self) -> Result<Vec<NodeContainer>> {
        let listed = labelled(&self.docker, format!("{CLUSTER_LABEL}={}", self.name())).await?;
        let mut nodes: Vec<NodeContainer> = listed
            .into_iter()
            .filter_map(|container| {
                let name = container.names?.first()?.trim_start_matches('/').to_owned();
                Some(NodeContainer {
                    name,
                    running: container.state == Some(ContainerSummaryStateEnum::RUNNING),
                })
            })
            .collect();
        nodes.sort_by_key(|node| (node.name.len(), node.name.clone()));
        Ok(nodes)
    }

    /// How far this checkout came with its cluster.
    fn progress_file(&self) -> PathBuf {
        progress_file(&self.host)
    }

    fn tell_progress(&self, progress: Progress) -> Result<()> {
        write_atomically(&self.progress_file(), progress.as_str().as_bytes())
    }

    pub async fn observe(&self) -> Result<ClusterState> {
        let containers = self.containers().await?;
        let state = judge(&containers, Progress::read(&self.progress_file()), &node_names(&self.host.config));
        if !matches!(state, ClusterState::Running { .. }) {
            return Ok(state);
        }
        let Ok(ready) = self.ready_nodes().await else {
            return Ok(ClusterState::Running { nodes: nodes(&containers, &[]) });
        };
        Ok(ClusterState::Running { nodes: nodes(&containers, &ready) })
    }

    /// Names of the nodes that the API server calls Ready.
    async fn ready_nodes(&self) -> Result<Vec<String>> {
        let client = super::client::client(&self.context()).await?;
        super::objects::ready_nodes(&client).await
    }

    /// Creates the cluster; the remains of a creation that was cut off are removed first.
    pub async fn create(&self, spec: &CreateSpec, tell: &Step) -> Result<()> {
        if !self.containers().await?.is_empty() {
            tell.message("removing what an interrupted run left");
            self.delete().await?;
        }
        self.tell_progress(Progress::Creating)?;
        let experiments = shared::folder(&self.host);
        shared::prepare(&experiments)?;
        let config = config::render(&self.host.config, spec.traits, &spec.image, &experiments)?;
        let image = match &spec.image {
            NodeImage::Source(name) => vec!["--image", name],
            NodeImage::Upstream => Vec::new(),
        };
        let cmd = self
            .cmd()
            .await?
            .args(["create", "cluster", "--name", self.name(), "--config", "-"])
            .args(image)
            .stdin(config)
            .deadline(CREATE_WITHIN);
        self.host.processes.run_with(&cmd, &mut |line| tell.message(line.text().trim())).await?;
        self.limit_nodes().await
    }

    /// kind itself cannot limit its nodes; Docker can. kubelet goes on reporting the whole machine.
    async fn limit_nodes(&self) -> Result<()> {
        let Some(limits) = limits(&self.host.config) else { return Ok(()) };
        for node in self.containers().await? {
            let limited = self.docker.update_container(&node.name, limits.clone()).await;
            limited.doing(format!("limiting {}", node.name))?;
        }
        Ok(())
    }

    /// Says that the cluster is whole: created, and wired to its registry.
    pub fn mark_created(&self) -> Result<()> {
        self.tell_progress(Progress::Created)
    }

    /// Starts stopped nodes, the control plane first: in that order Docker gives each its old address.
    pub async fn start(&self, tell: &Step) -> Result<()> {
        for node in self.containers().await?.iter().filter(|node| !node.running) {
            tell.message(format!("starting {}", node.name));
            self.docker
                .start_container(&node.name, None::<StartContainerOptions>)
                .await
                .doing(format!("starting {}", node.name))?;
        }
        Ok(())
    }

    pub async fn stop(&self) -> Result<()> {
        for node in self.containers().await?.iter().rev().filter(|node| node.running) {
            let options = StopContainerOptions { t: Some(20), ..StopContainerOptions::default() };
            self.docker
                .stop_container(&node.name, Some(options))
                .await
                .doing(format!("stopping {}", node.name))?;
        }
        Ok(())
    }

    /// Deletes the cluster and its kubeconfig context; there may be none.
    pub async fn delete(&self) -> Result<()> {
        if let Some(node) = self.containers().await?.iter().find(|node| node.running) {
            shared::empty(&self.host, &self.docker_host, &node.name).await;
        }
        let cmd = self.cmd().await?.args(["delete", "cluster", "--name", self.name()]);
        self.host.processes.run(&cmd).await?;
        if let Some(left) = self.containers().await?.first() {
            let what =
                format!("kind has deleted the cluster {}, and {} is still there", self.name(), left.name);
            return Err(Error::unhealthy(what, format!("remove it: docker rm -f {}", left.name)));
        }
        let _ = std::fs::remove_file(self.progress_file());
        Ok(())
    }

    /// Tells every node where images come from, and the cluster's users too.
    pub async fn wire_registry(&self, wiring: &RegistryWiring) -> Result<()> {
        for node in self.containers().await?.iter().filter(|node| node.running) {
            wiring::wire_node(&self.host.processes, &self.docker_host, &node.name, wiring).await?;
        }
        let client = super::client::client(&self.context()).await?;
        wiring::announce(&client, wiring.host_port).await
    }

    /// Waits until the API server calls every node Ready, and each has spoken after `since`.
    pub async fn wait_until_ready(&self, within: Duration, since: Timestamp, tell: &Step) -> Result<()> {
        let wanted = node_names(&self.host.config);
        crate::wait::until(within, "cargo xtask status", || async {
            let ready = self.ready_and_alive(since).await.unwrap_or_default();
            let late: Vec<&str> =
                wanted.iter().filter(|name| !ready.contains(name)).map(String::as_str).collect();
            if late.is_empty() {
                return Ok(crate::wait::Seen::Ready(()));
            }
            let awaited = format!("node {} to be Ready", late.join(", "));
            tell.message(format!("waiting for {awaited}"));
            Ok(crate::wait::Seen::Awaiting(awaited))
        })
        .await
    }

    async fn ready_and_alive(&self, since: Timestamp) -> Result<Vec<String>> {
        let client = super::client::client(&self.context()).await?;
        let alive = super::objects::alive_since(&client, since).await?;
        let ready = super::objects::ready_nodes(&client).await?;
        Ok(ready.into_iter().filter(|name| alive.contains(name)).collect())
    }
}

/// Whether kind has clusters on this machine besides this profile's.
pub async fn others_exist(docker: &Docker, profile: &ProfileName) -> Result<bool> {
    let nodes = labelled(docker, CLUSTER_LABEL.to_owned()).await?;
    let mut clusters = nodes.into_iter().filter_map(|node| node.labels?.remove(CLUSTER_LABEL));
    Ok(clusters.any(|cluster| cluster != profile.as_str()))
}

async fn labelled(docker: &Docker, label: String) -> Result<Vec<ContainerSummary>> {
    let options = ListContainersOptions {
        all: true,
        filters: Some(HashMap::from([("label".to_owned(), vec![label])])),
        ..ListContainersOptions::default()
    };
    docker.list_containers(Some(options)).await.doing("listing the nodes' containers")
}

fn limits(config: &Config) -> Option<ContainerUpdateBody> {
    let memory = config.cluster.memory_mib.map(|mib| i64::from(mib) << 20);
    let cpus = config.cluster.cpus.map(|cpus| i64::from(cpus) * 1_000_000_000);
    (memory.is_some() || cpus.is_some()).then(|| ContainerUpdateBody {
        memory,
        // The same: no swap beside it.
        memory_swap: memory,
        nano_cpus: cpus,
        ..ContainerUpdateBody::default()
    })
}

/// kind hands the proxy of this machine on to its nodes, which must reach the local registry without it. None where there
/// is no proxy.
fn without_proxy(read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let any = |names: [&str; 2]| names.into_iter().find_map(|name| read(name).filter(|it| !it.is_empty()));
    any(["HTTP_PROXY", "http_proxy"]).or_else(|| any(["HTTPS_PROXY", "https_proxy"]))?;
    let given = any(["NO_PROXY", "no_proxy"]);
    Some(given.into_iter().chain([registry::NAME.to_owned()]).collect::<Vec<_>>().join(","))
}

/// The names that kind gives to this many nodes.
fn node_names(config: &Config) -> Vec<String> {
    let profile = &config.cluster.profile;
    (0..config.cluster.nodes.get())
        .map(|index| match index {
            0 => format!("{profile}-control-plane"),
            1 => format!("{profile}-worker"),
            _ => format!("{profile}-worker{index}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_reach_docker_in_its_own_units() {
        assert_eq!(limits(&Config::default()), None);
        let mut config = Config::default();
        (config.cluster.memory_mib, config.cluster.cpus) = (Some(2048), Some(2));
        let limits = limits(&config).unwrap();
        assert_eq!(limits.memory, Some(2 << 30));
        assert_eq!(limits.nano_cpus, Some(2_000_000_000));
    }

    #[test]
    fn behind_a_proxy_nodes_reach_the_local_registry_without_it() {
        let read = |set: &'static [(&str, &str)]| {
            without_proxy(move |name| {
                set.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).into())
            })
        };
        assert_eq!(read(&[("NO_PROXY", "a")]), None);
        assert_eq!(read(&[("HTTPS_PROXY", "http://p"), ("HTTP_PROXY", "")]).unwrap(), "platen-registry");
        let both = read(&[("http_proxy", "http://p"), ("no_proxy", "a,b")]);
        assert_eq!(both.unwrap(), "a,b,platen-registry");
    }

    #[test]
    fn nodes_are_named_as_kind_names_them() {
        let names = node_names(&Config::default());
        assert_eq!(names, ["platen-control-plane", "platen-worker", "platen-worker2"]);
    }
}
