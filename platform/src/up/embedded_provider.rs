//! The steps of the embedded provider: packages, the service's binary, its processes.

use std::sync::atomic::{AtomicBool, Ordering};

use super::plan::{Action, StepId};
use super::provider::Provider;
use crate::cluster::embedded::{Embedded, RoleStatus, Spec};
use crate::cluster::{ClusterState, Endpoint, NodeState};
use crate::error::Result;
use crate::event::Step;
use crate::host::Host;
use crate::room::Needs;
use crate::status::{StatusReport, Workload};
use crate::tools::Tool;
use crate::{ports, service, tools};

pub struct EmbeddedProvider {
    host: Host,
    embedded: Embedded,
    inputs: String,
    /// Set where it could not be obtained: this run goes on without.
    without_metrics: AtomicBool,
}

/// What the plan depends on.
#[derive(Debug, Clone)]
struct World {
    missing_packages: Vec<String>,
    binary_is_current: bool,
    /// Whether it is not there and can be had.
    metrics_missing: bool,
    cluster: ClusterState,
}

impl EmbeddedProvider {
    pub fn new(host: &Host) -> Result<Self> {
        let inputs = service::inputs_hash(&host.root)?;
        Ok(Self {
            host: host.clone(),
            embedded: Embedded::new(host)?,
            inputs,
            without_metrics: AtomicBool::new(false),
        })
    }

    /// What is to run; Prometheus where it is there, and where nobody else has its port: another one is often the
    /// machine's own.
    async fn spec(&self) -> Result<Spec> {
        let host = &self.host;
        let data = host.profile_dir(&host.config.cluster.profile);
        let port = host.config.ports.prometheus;
        let ours = self.embedded.spec().is_some_and(|spec| spec.roles().any(|(_, role)| role.port == port));
        let prometheus = tools::find(host, Tool::Prometheus).await?.filter(|_| ours || ports::is_free(port));
        Ok(Spec::new(&host.config, service::binary_path(host, &self.inputs), prometheus, &data))
    }
}

#[async_trait::async_trait]
impl Provider for EmbeddedProvider {
    async fn missing(&self) -> Result<Vec<Action>> {
        let spec = self.spec().await?;
        let metrics_missing = spec.prometheus.is_none()
            && self.host.may_install
            && self.host.processes.find("apt-get").is_some()
            && !self.without_metrics.load(Ordering::Relaxed)
            // It may be there without being in the plan: somebody else has its port.
            && tools::find(&self.host, Tool::Prometheus).await?.is_none();
        let world = World {
            missing_packages: tools::missing_packages(&self.host, &service::PACKAGES).await?,
            binary_is_current: spec.binary.is_file(),
            metrics_missing,
            cluster: self.embedded.observe(Some(&spec)).await,
        };
        Ok(plan(&world, spec.nodes.len()))
    }

    async fn apply(&self, step: StepId, tell: &Step) -> Result<()> {
        match step {
            StepId::Packages => {
                tools::ensure_packages(&self.host, &service::PACKAGES, "the OCR service").await
            }
            StepId::Service => service::build_binary(&self.host, &self.inputs, tell).await.map(drop),
            StepId::Cluster => {
                let spec = self.spec().await?;
                let tell = |message| tell.message(message);
                match self.embedded.observe(Some(&spec)).await {
                    // The supervisor is at it already: a role that died is on its way back.
                    ClusterState::Running { .. } => self.embedded.wait_until_ready(tell).await,
                    _ => self.embedded.start(&spec, &self.host.supervisor(), tell).await,
                }
            }
            StepId::Metrics => {
                if let Err(error) = tools::ensure(&self.host, Tool::Prometheus).await {
                    self.without_metrics.store(true, Ordering::Relaxed);
                    self.host
                        .events
                        .warn(format!("going on without Prometheus, which the dashboards ask: {error}"));
                }
                Ok(())
            }
            StepId::Engine
            | StepId::Sources
            | StepId::Registry
            | StepId::Image
            | StepId::Argocd
            | StepId::Monitoring
            | StepId::Apps => Ok(()),
        }
    }

    fn needs(&self, plan: &[Action]) -> Option<Needs> {
        // Tesseract's headers and compiler take most of the disk.
        let compiles = plan.iter().any(|action| action.step == StepId::Service);
        (!plan.is_empty()).then_some(Needs { disk_gib: if compiles { 3 } else { 0 }, memory_gib: 1 })
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        Embedded::endpoints(&self.host.config)
    }

    fn page(&self) -> Option<String> {
        Some(format!("http://127.0.0.1:{}/", self.host.config.ports.frontend))
    }

    async fn prometheus(&self) -> Result<Option<String>> {
        let runs = self.embedded.spec().is_some_and(|spec| spec.prometheus.is_some());
        Ok(runs.then(|| format!("http://127.0.0.1:{}", self.host.config.ports.prometheus)))
    }

    async fn status(&self) -> Result<StatusReport> {
        let roles = self.embedded.roles().await;
        let cluster = self.embedded.observe(None).await;
        let (ready, all) = (roles.iter().filter(|role| role.ready).count(), roles.len());
        let how = match &cluster {
            ClusterState::Stopped { .. } => "they are stopped; start them: cargo xtask up".to_owned(),
            ClusterState::Broken { why } => format!("{why}; start them again: cargo xtask up"),
            _ => format!("{ready} of {all} ready"),
        };
        let runs = matches!(cluster, ClusterState::Running { .. });
        Ok(StatusReport {
            summary: format!("embedded (processes on this machine, not Kubernetes): {how}"),
            healthy: all > 0 && ready == all,
            cluster: Some(cluster),
            // Where none runs, the one sentence above says it for all.
            applications: Vec::new(),
            findings: roles.iter().filter(|role| runs && !role.ready).map(finding).collect(),
            workloads: roles.into_iter().map(workload).collect(),
            endpoints: self.endpoints(),
            page: self.page(),
        })
    }

    async fn remains(&self) -> Result<Vec<String>> {
        let alive = self.embedded.alive();
        Ok(match (self.embedded.spec(), alive) {
            (None, 0) => Vec::new(),
            (Some(spec), 0) => vec![format!("{} stopped embedded nodes", spec.nodes.len())],
            (_, alive) => vec![format!("{alive} processes of embedded nodes")],
        })
    }

    async fn stop(&self) -> Result<()> {
        self.embedded.stop().await
    }

    async fn remove(&self) -> Result<()> {
        self.embedded.stop().await?;
        self.embedded.forget()
    }
}

fn finding(role: &RoleStatus) -> String {
    format!("{} on {} is not ready; start it again: cargo xtask up", role.role.name(), role.node)
}

fn workload(role: RoleStatus) -> Workload {
    Workload {
        name: role.role.name().into(),
        ready: role.ready,
        leaving: false,
        restarts: role.restarts,
        place: match role.pid {
            Some(pid) => format!("pid {pid}, port {}", role.port),
            None => format!("not running, port {}", role.port),
        },
        node: role.node,
    }
}

fn plan(world: &World, nodes: usize) -> Vec<Action> {
    let mut actions = Vec::new();
    if !world.missing_packages.is_empty() {
        let why = format!("missing: {}", world.missing_packages.join(" "));
        actions.push(Action::new(StepId::Packages, "install Tesseract and its headers", why, 30));
    }
    if !world.binary_is_current {
        let why = "there is no binary of these sources yet";
        actions.push(Action::new(StepId::Service, "compile the OCR service", why, 90));
    }
    if world.metrics_missing {
        let why = "it is not on this machine, and the dashboards ask it";
        actions.push(Action::new(StepId::Metrics, "obtain Prometheus", why, 5));
    }
    let start = |why: &str| Action::new(StepId::Cluster, format!("start {nodes} embedded nodes"), why, 3);
    match &world.cluster {
        ClusterState::Absent => actions.push(start("none is there")),
        ClusterState::Stopped { .. } => actions.push(start("they are stopped")),
        ClusterState::Broken { why } | ClusterState::Mismatched { why } => actions.push(start(why)),
        ClusterState::Running { nodes } => {
            let late: Vec<&str> =
                nodes.iter().filter(|n| n.state != NodeState::Ready).map(|n| n.name.as_str()).collect();
            if world.metrics_missing {
                actions.push(start("Prometheus is to run beside them"));
            } else if !late.is_empty() {
                let why = format!("not ready: {}", late.join(", "));
                actions.push(Action::new(StepId::Cluster, "wait for the embedded nodes", why, 3));
            }
        }
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Node;

    fn steps(world: &World) -> Vec<StepId> {
        plan(world, 3).into_iter().map(|action| action.step).collect()
    }

    fn running(state: NodeState) -> ClusterState {
        ClusterState::Running { nodes: vec![Node { name: "platen-1".into(), container: None, state }] }
    }

    #[test]
    fn a_bare_machine_gets_every_step() {
        let world = World {
            missing_packages: vec!["clang".into()],
            binary_is_current: false,
            metrics_missing: true,
            cluster: ClusterState::Absent,
        };
        assert_eq!(steps(&world), [StepId::Packages, StepId::Service, StepId::Metrics, StepId::Cluster]);
    }

    #[test]
    fn when_all_is_ready_there_is_nothing_to_do() {
        let world = World {
            missing_packages: Vec::new(),
            binary_is_current: true,
            metrics_missing: false,
            cluster: running(NodeState::Ready),
        };
        assert_eq!(steps(&world), []);
    }

    #[test]
    fn nodes_that_run_without_prometheus_are_started_with_it() {
        let world = World {
            missing_packages: Vec::new(),
            binary_is_current: true,
            metrics_missing: true,
            cluster: running(NodeState::Ready),
        };
        assert_eq!(steps(&world), [StepId::Metrics, StepId::Cluster]);
    }

    #[test]
    fn a_node_that_is_not_ready_is_waited_for() {
        let world = World {
            missing_packages: Vec::new(),
            binary_is_current: true,
            metrics_missing: false,
            cluster: running(NodeState::NotReady),
        };
        assert_eq!(steps(&world), [StepId::Cluster]);
    }
}
