//! A real Kubernetes cluster whose nodes are containers, made by kind.

mod config;
mod state;

use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerUpdateBody;
use bollard::query_parameters::StopContainerOptions;
use k8s_openapi::jiff::Timestamp;

pub use config::NodeImage;

use state::judge;

use super::containers::{self, ContainerState, labelled};
use super::progress::{Progress, ProgressFile};
use super::wiring::{self, RegistryWiring};
use super::{ClusterState, Endpoint, HostTraits, Node, ready, shared};
use crate::config::{Config, ProfileName};
use crate::engine;
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::process::Cmd;
use crate::proxy;
use crate::tools::{self, Tool};

const CREATE_WITHIN: Duration = Duration::from_mins(6);
/// CPU shares of the control plane and of each worker. A control plane works in bursts (the API server clears its memory, a
/// node is lost, pods are replaced); elsewhere on its own processors, here on those of the workers: there what serves
/// goes first. Both are named: what cgroup v2 makes of shares is no quarter of what it has without.
const SHARES: (i64, i64) = (256, 1024);

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
    pub state: ContainerState,
}

impl NodeContainer {
    fn runs(&self) -> bool {
        self.state == ContainerState::Running
    }
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
        Ok(proxy::excepted(Cmd::new(program).env("DOCKER_HOST", &self.docker_host)))
    }

    fn name(&self) -> &str {
        self.host.config.cluster.profile.as_str()
    }

    /// The kubeconfig context that kind writes.
    pub fn context(profile: &ProfileName) -> String {
        format!("kind-{profile}")
    }

    fn own_context(&self) -> String {
        Self::context(&self.host.config.cluster.profile)
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

    /// The containers of this cluster's nodes, also stopped ones: the control plane, then the workers by number.
    pub async fn containers(&self) -> Result<Vec<NodeContainer>> {
        let listed = labelled(&self.docker, format!("{}={}", containers::KIND, self.name())).await?;
        let mut nodes: Vec<NodeContainer> = listed
            .into_iter()
            .filter_map(|container| {
                let name = container.names?.first()?.trim_start_matches('/').to_owned();
                Some(NodeContainer { name, state: ContainerState::of(container.state) })
            })
            .collect();
        let is_worker = |node: &NodeContainer| !node.name.ends_with("-control-plane");
        nodes.sort_by_key(|node| (is_worker(node), node.name.len(), node.name.clone()));
        Ok(nodes)
    }

    fn progress(&self) -> ProgressFile {
        ProgressFile::of(&self.host, "kind")
    }

    pub async fn observe(&self) -> Result<ClusterState> {
        let containers = self.containers().await?;
        let mut state = judge(&containers, self.progress().read(), &node_names(&self.host.config));
        ready::mark(&self.own_context(), &mut state).await;
        Ok(state)
    }

    /// Creates the cluster; the remains of a creation that was cut off are removed first.
    pub async fn create(&self, spec: &CreateSpec, tell: &Step) -> Result<()> {
        if !self.containers().await?.is_empty() {
            tell.message("removing what an interrupted run left");
            self.delete().await?;
        }
        self.progress().tell(Progress::Creating)?;
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
        let nodes = self.containers().await?;
        for (index, node) in nodes.iter().enumerate() {
            let shares = if index == 0 { SHARES.0 } else { SHARES.1 };
            let shares = (nodes.len() > 1).then_some(shares);
            let Some(limits) = limits(&self.host.config, shares) else { continue };
            let limited = self.docker.update_container(&node.name, limits).await;
            limited.doing(format!("limiting {}", node.name))?;
        }
        Ok(())
    }

    /// Says that the cluster is whole: created, and wired to its registry.
    pub fn mark_created(&self) -> Result<()> {
        self.progress().tell(Progress::Created)
    }

    /// Starts stopped nodes, the control plane first, which the others ask for. Paused ones go on.
    pub async fn start(&self, tell: &Step) -> Result<()> {
        for node in self.containers().await? {
            match node.state {
                ContainerState::Running => {}
                ContainerState::Paused => {
                    tell.message(format!("unpausing {}", node.name));
                    containers::unpause(&self.docker, &node.name).await?;
                }
                ContainerState::Stopped => {
                    tell.message(format!("starting {}", node.name));
                    containers::start(&self.docker, &node.name).await?;
                }
            }
        }
        Ok(())
    }

    pub async fn stop(&self) -> Result<()> {
        let nodes = self.containers().await?;
        for node in nodes.iter().rev().filter(|node| node.state != ContainerState::Stopped) {
            // What is frozen does not hear that it is to end.
            if node.state == ContainerState::Paused {
                containers::unpause(&self.docker, &node.name).await?;
            }
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
        if let Some(node) = self.containers().await?.iter().find(|node| node.runs()) {
            shared::empty(&self.host, &self.docker_host, &node.name).await;
        }
        let cmd = self.cmd().await?.args(["delete", "cluster", "--name", self.name()]);
        self.host.processes.run(&cmd).await?;
        if let Some(left) = self.containers().await?.first() {
            let what =
                format!("kind has deleted the cluster {}, and {} is still there", self.name(), left.name);
            return Err(Error::unhealthy(what, format!("remove it: docker rm -f {}", left.name)));
        }
        self.progress().forget()
    }

    /// Tells every node where images come from, and the cluster's users too.
    pub async fn wire_registry(&self, wiring: &RegistryWiring) -> Result<()> {
        for node in self.containers().await?.iter().filter(|node| node.runs()) {
            wiring::wire_node(&self.host.processes, &self.docker_host, &node.name, wiring).await?;
        }
        let client = super::client::client(&self.own_context()).await?;
        wiring::announce(&client, wiring.host_port).await
    }

    /// Waits until the API server calls every node Ready, and each has spoken after `since`.
    pub async fn wait_until_ready(&self, within: Duration, since: Timestamp, tell: &Step) -> Result<()> {
        ready::wait(&self.own_context(), &node_names(&self.host.config), within, since, tell).await
    }
}

/// Whether this checkout ever began to make a cluster in the profile, and did not remove it since.
pub fn was_begun(host: &Host) -> bool {
    ProgressFile::of(host, "kind").exists()
}

/// Whether a node's container, by its label, is of this profile's cluster.
pub fn is_own(profile: &ProfileName, label: &str, value: &str) -> bool {
    label == containers::KIND && value == profile.as_str()
}

fn limits(config: &Config, cpu_shares: Option<i64>) -> Option<ContainerUpdateBody> {
    let memory = config.cluster.memory_mib.map(|mib| i64::from(mib) << 20);
    let limits = ContainerUpdateBody {
        memory,
        // The same: no swap beside it.
        memory_swap: memory,
        nano_cpus: config.cluster.cpus.map(|cpus| i64::from(cpus) * 1_000_000_000),
        cpu_shares,
        ..ContainerUpdateBody::default()
    };
    (limits != ContainerUpdateBody::default()).then_some(limits)
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

    /// Docker's interface with the nodes in these states; the requests that change something are told.
    async fn docker(states: &[&str]) -> (Docker, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let names = node_names(&Config::default());
        let nodes = std::iter::zip(names, states);
        let nodes: Vec<_> = nodes
            .map(|(name, state)| serde_json::json!({"Names": [format!("/{name}")], "State": state}))
            .collect();
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        let answer = move |uri: http::Uri| {
            let listed = uri.path().ends_with("/containers/json");
            if !listed {
                tell.send(uri.path().to_owned()).unwrap();
            }
            let nodes = axum::Json(nodes.clone());
            async move { if listed { Ok(nodes) } else { Err(http::StatusCode::NO_CONTENT) } }
        };
        let router = axum::Router::new().fallback(answer);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (Docker::connect_with_http(&address, 5, bollard::API_DEFAULT_VERSION).unwrap(), told)
    }

    #[tokio::test]
    async fn a_paused_node_goes_on_and_a_stopped_one_is_started() {
        let (docker, mut told) = docker(&["running", "paused", "exited"]).await;
        let dir = tempfile::tempdir().unwrap();
        let host = Host::bare(dir.path());
        let step = host.events.step("nodes", "starting", None);
        let kind = Kind { host, docker, docker_host: String::new(), program: None };
        kind.start(&step).await.unwrap();
        let last = |path: String| path.rsplit("/containers/").next().unwrap().to_owned();
        assert_eq!(last(told.try_recv().unwrap()), "platen-worker/unpause");
        assert_eq!(last(told.try_recv().unwrap()), "platen-worker2/start");
        kind.stop().await.unwrap();
        let stopped: Vec<String> = std::iter::from_fn(|| told.try_recv().ok()).map(last).collect();
        assert_eq!(
            stopped,
            ["platen-worker/unpause", "platen-worker/stop", "platen-control-plane/stop"],
            "what is frozen goes on, to end"
        );
    }

    #[test]
    fn limits_reach_docker_in_its_own_units() {
        assert_eq!(limits(&Config::default(), None), None);
        let mut config = Config::default();
        (config.cluster.memory_mib, config.cluster.cpus) = (Some(2048), Some(2));
        let limited = limits(&config, None).unwrap();
        assert_eq!((limited.memory, limited.nano_cpus), (Some(2 << 30), Some(2_000_000_000)));
        assert_eq!(limited.cpu_shares, None);
        assert_eq!(limits(&Config::default(), Some(256)).unwrap().cpu_shares, Some(256));
    }

    #[test]
    fn nodes_are_named_as_kind_names_them() {
        let names = node_names(&Config::default());
        assert_eq!(names, ["platen-control-plane", "platen-worker", "platen-worker2"]);
    }
}
