//! The steps of the kind provider: Docker, what is built from source, the registry, the cluster, image and chart.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::apps::Apps;
use super::parts::Parts;
use super::plan::{Action, StepId};
use super::provider::Provider;
use super::supply::Supply;
use crate::cluster::kind::{CreateSpec, Kind, NodeImage, RegistryWiring};
use crate::cluster::{ClusterState, Endpoint, NodeState};
use crate::config::ImageSource;
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::images;
use crate::mirror::{self, Artifact, Mirror, registry};
use crate::registry::Reference;
use crate::room::Needs;
use crate::status::{StatusReport, kubernetes_status};
use crate::{cluster, engine, ports, service};

const NODES_READY_WITHIN: Duration = Duration::from_mins(3);
/// The Docker network that kind puts nodes into.
const KIND_NETWORK: &str = "kind";

pub struct KindProvider {
    host: Host,
    mirror: Mirror,
    image: Reference,
    supply: Supply,
}

/// What the plan depends on.
#[derive(Debug, Clone)]
struct World {
    /// Why Docker cannot be used; `None` where it answers.
    engine_lacks: Option<String>,
    missing: Vec<Artifact>,
    registry_runs: bool,
    cluster: ClusterState,
    image_is_pushed: bool,
    /// Whether the mirror brought it from elsewhere.
    image_is_carried: bool,
    /// `None` where nothing of it is missing.
    apps: Option<Action>,
}

impl KindProvider {
    pub fn new(host: &Host, supply: Supply) -> Result<Self> {
        let inputs = service::inputs_hash(&host.root)?;
        let image = images::service_image(&images::local_registry(&host.config), &inputs);
        Ok(Self { host: host.clone(), mirror: Mirror::new(host)?, image, supply })
    }

    /// What has to be built here.
    fn wanted(supply: Supply) -> Vec<Artifact> {
        match supply {
            Supply::Pull => Vec::new(),
            Supply::Source => [mirror::CLUSTER, mirror::BUILD].concat(),
        }
    }

    fn kind(&self, engine: &engine::Ready) -> Kind {
        Kind::new(&self.host, engine, self.mirror.program("kind"))
    }

    fn registry_image(&self) -> String {
        images::registry_image(&self.mirror, self.supply)
    }

    async fn world(&self) -> Result<World> {
        let ready = match engine::observe(&self.host).await? {
            engine::State::Ready(ready) => ready,
            engine::State::NotThere(lack) => return self.world_without_docker(lack.to_string()).await,
        };
        let present = self.mirror.observe(Some(&ready.docker)).await?;
        let registry =
            registry::observe(&ready.docker, &self.registry_image(), self.host.config.ports.registry).await?;
        let registry_runs = matches!(registry, registry::State::Running { .. });
        let kind = self.kind(&ready);
        let cluster = kind.observe().await?;
        let serving = matches!(&cluster, ClusterState::Running { nodes } if nodes.iter().any(|n| n.state == NodeState::Ready));
        let apps = if serving {
            self.apps(&kind).missing(&self.image).await?
        } else {
            Some(Apps::to_install("the cluster does not serve yet"))
        };
        let client_missing = engine::client_missing(&self.host);
        Ok(World {
            engine_lacks: client_missing.then(|| "kind needs the docker command, which is not there".into()),
            missing: self.mirror.missing(&present, &Self::wanted(self.supply)),
            registry_runs,
            cluster,
            image_is_pushed: registry_runs && images::is_in_registry(&self.host, &self.image).await?,
            image_is_carried: self.mirror.holds_service(&self.image)?,
            apps,
        })
    }

    async fn world_without_docker(&self, why: String) -> Result<World> {
        let present = self.mirror.observe(None).await?;
        Ok(World {
            engine_lacks: Some(why),
            missing: self.mirror.missing(&present, &Self::wanted(self.supply)),
            registry_runs: false,
            cluster: ClusterState::Absent,
            image_is_pushed: false,
            image_is_carried: self.mirror.holds_service(&self.image)?,
            apps: Some(Apps::to_install("there is no cluster")),
        })
    }

    fn apps(&self, kind: &Kind) -> Apps {
        Apps::new(&self.host, kind.context(), self.endpoints(), Parts::new(&self.host.config, true))
    }

    async fn engine(&self) -> Result<engine::Ready> {
        match engine::observe(&self.host).await? {
            engine::State::Ready(ready) => Ok(ready),
            engine::State::NotThere(lack) => Err(lack.into_error()),
        }
    }

    /// Makes, starts or waits for the cluster, whatever it needs.
    async fn raise(&self, ready: &engine::Ready, tell: &Step) -> Result<()> {
        let kind = self.kind(ready);
        let begun = Timestamp::now();
        match kind.observe().await? {
            ClusterState::Mismatched { why } => return Err(mismatched(&self.host, &why)),
            ClusterState::Running { .. } => {}
            ClusterState::Stopped => kind.start(tell).await?,
            ClusterState::Absent | ClusterState::Broken { .. } => {
                self.ensure_ports_free(&kind).await?;
                engine::guard_addresses(&self.host).await?;
                let spec = CreateSpec {
                    image: match self.supply {
                        Supply::Pull => NodeImage::Upstream,
                        Supply::Source => NodeImage::Source(self.mirror.node_image()),
                    },
                    traits: ready.traits,
                };
                kind.create(&spec, tell).await?;
                registry::connect(&ready.docker, KIND_NETWORK).await?;
                kind.wire_registry(&self.wiring()).await?;
                kind.mark_created()?;
            }
        }
        kind.wait_until_ready(NODES_READY_WITHIN, begun, tell).await
    }

    async fn ensure_ports_free(&self, kind: &Kind) -> Result<()> {
        // Remains of a creation that was cut off hold our own ports; they are removed before the new one.
        if !kind.containers().await?.is_empty() {
            return Ok(());
        }
        let config = &self.host.config;
        let nodes = 0..config.cluster.nodes.get();
        let wanted =
            nodes.flat_map(|node| config.ports.node_ports.map(|base| config.ports.on_node(base, node)));
        ports::ensure_free(wanted.map(|port| (port, "a NodePort of the cluster".to_owned())))
    }

    /// An error that names all that is missing where nothing may be fetched.
    async fn ensure_carried(&self, world: &World) -> Result<()> {
        let docker = engine::answering(&self.host).await?;
        let present = self.mirror.observe(docker.as_ref()).await?;
        let service = (!world.image_is_pushed).then_some(&self.image);
        self.mirror.must_suffice(&self.host, &present, &Self::wanted(self.supply), service).await
    }

    fn wiring(&self) -> RegistryWiring {
        RegistryWiring {
            host_port: self.host.config.ports.registry,
            node_url: format!("http://{}:{}", registry::NAME, registry::PORT),
            mirrors_everything: self.supply == Supply::Source,
        }
    }
}

#[async_trait::async_trait]
impl Provider for KindProvider {
    async fn missing(&self) -> Result<Vec<Action>> {
        let world = self.world().await?;
        if let ClusterState::Mismatched { why } = &world.cluster {
            return Err(mismatched(&self.host, why));
        }
        if self.host.config.images.source == ImageSource::Mirror {
            self.ensure_carried(&world).await?;
        }
        Ok(plan(&world, self.host.config.cluster.nodes.get()))
    }

    async fn apply(&self, step: StepId, tell: &Step) -> Result<()> {
        if step == StepId::Engine {
            return engine::ensure(&self.host).await.map(drop);
        }
        let ready = self.engine().await?;
        match step {
            StepId::Sources => {
                self.mirror.build(&self.host, Some(&ready.docker), &Self::wanted(self.supply)).await.map(drop)
            }
            StepId::Registry => {
                registry::ensure(&self.host, &ready.docker, &self.registry_image()).await?;
                // A registry that was made anew is out of the network of a cluster that is there already.
                if engine::has_network(&ready.docker, KIND_NETWORK).await? {
                    registry::connect(&ready.docker, KIND_NETWORK).await?;
                }
                Ok(())
            }
            StepId::Cluster => self.raise(&ready, tell).await,
            StepId::Image => images::provide(&self.host, &ready.docker, self.supply, tell).await,
            StepId::Apps => self.apps(&self.kind(&ready)).install(&self.image, tell).await,
            StepId::Packages | StepId::Service | StepId::Metrics | StepId::Engine => Ok(()),
        }
    }

    fn needs(&self, plan: &[Action]) -> Option<Needs> {
        let planned = |step| plan.iter().any(|action| action.step == step);
        let builds = self.host.config.images.source != ImageSource::Mirror
            && (planned(StepId::Sources) || planned(StepId::Image));
        // The Go build of Kubernetes with its cache, the images, and their layers in Docker.
        planned(StepId::Cluster).then_some(Needs { disk_gib: if builds { 15 } else { 4 }, memory_gib: 3 })
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        Kind::endpoints(&self.host.config)
    }

    fn page(&self) -> Option<String> {
        let config = &self.host.config;
        config.components.page.then(|| format!("http://127.0.0.1:{}/", config.ports.node_ports[1]))
    }

    async fn status(&self) -> Result<StatusReport> {
        let ready = self.engine().await?;
        let kind = self.kind(&ready);
        let cluster = kind.observe().await?;
        let report = kubernetes_status("kind", &kind.context(), cluster, self.endpoints()).await?;
        Ok(StatusReport { page: self.page(), ..report })
    }

    async fn remains(&self) -> Result<Vec<String>> {
        if !cluster::kind::was_begun(&self.host) {
            return Ok(Vec::new());
        }
        let ready = self.engine().await?;
        let containers = self.kind(&ready).containers().await?;
        let mut remains: Vec<String> =
            containers.into_iter().map(|node| format!("node {}", node.name)).collect();
        // The registry serves every cluster on this machine; it goes with the last of them.
        if !cluster::kind::others_exist(&ready.docker, &self.host.config.cluster.profile).await?
            && registry::exists(&ready.docker).await?
        {
            remains.push("the local registry".into());
        }
        Ok(remains)
    }

    async fn stop(&self) -> Result<()> {
        self.kind(&self.engine().await?).stop().await
    }

    async fn remove(&self) -> Result<()> {
        if !cluster::kind::was_begun(&self.host) {
            return Ok(());
        }
        let ready = self.engine().await?;
        self.kind(&ready).delete().await?;
        if !cluster::kind::others_exist(&ready.docker, &self.host.config.cluster.profile).await? {
            registry::remove(&ready.docker).await?;
            engine::remove_network(&ready.docker, KIND_NETWORK).await?;
        }
        Ok(())
    }
}

fn mismatched(host: &Host, why: &str) -> Error {
    let profile = &host.config.cluster.profile;
    Error::usage(
        format!("there is a cluster {profile} that is not as asked for: {why}"),
        "ask for what it has, or take it down where it was made (cargo xtask down), or use another one: --profile NAME",
    )
}

fn plan(world: &World, nodes: u16) -> Vec<Action> {
    let mut actions = Vec::new();
    if let Some(why) = &world.engine_lacks {
        actions.push(Action::new(StepId::Engine, "make Docker answer", why, 40));
    }
    if !world.missing.is_empty() {
        let names: Vec<&str> = world.missing.iter().map(|artifact| artifact.title()).collect();
        let expected = mirror::expected(&world.missing);
        let why = format!("no image can be pulled here; missing: {}", names.join(", "));
        actions.push(Action::new(
            StepId::Sources,
            "build the cluster's parts from source",
            why,
            expected.as_secs(),
        ));
    }
    if !world.registry_runs {
        actions.push(Action::new(StepId::Registry, "start the local registry", "it does not run", 3));
    }
    actions.extend(cluster_action(&world.cluster, nodes));
    if !world.image_is_pushed {
        let why = "the registry has no image of these sources";
        let (title, seconds) = if world.image_is_carried {
            ("push the OCR service's image that the mirror brought", 5)
        } else {
            ("build and push the OCR service's image", 240)
        };
        actions.push(Action::new(StepId::Image, title, why, seconds));
    }
    actions.extend(world.apps.clone());
    actions
}

fn cluster_action(cluster: &ClusterState, nodes: u16) -> Option<Action> {
    let act = |title: String, why: &str, seconds| Some(Action::new(StepId::Cluster, title, why, seconds));
    match cluster {
        ClusterState::Absent => act(format!("create a cluster of {nodes} nodes"), "there is none", 60),
        ClusterState::Broken { why } | ClusterState::Mismatched { why } => {
            act(format!("create the cluster of {nodes} nodes anew"), why, 70)
        }
        ClusterState::Stopped => act("start the cluster's nodes".into(), "not all of them run", 20),
        ClusterState::Running { nodes } => {
            let late: Vec<&str> =
                nodes.iter().filter(|n| n.state != NodeState::Ready).map(|n| n.name.as_str()).collect();
            if late.is_empty() {
                return None;
            }
            act("wait for the nodes".into(), &format!("not Ready: {}", late.join(", ")), 30)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Node;

    fn ready() -> World {
        let node = Node { name: "platen-worker".into(), container: None, state: NodeState::Ready };
        World {
            engine_lacks: None,
            missing: Vec::new(),
            registry_runs: true,
            cluster: ClusterState::Running { nodes: vec![node] },
            image_is_pushed: true,
            image_is_carried: false,
            apps: None,
        }
    }

    fn steps(world: &World) -> Vec<StepId> {
        plan(world, 3).into_iter().map(|action| action.step).collect()
    }

    #[test]
    fn when_all_is_there_nothing_is_to_do() {
        assert_eq!(steps(&ready()), []);
    }

    #[test]
    fn a_bare_machine_gets_every_step_in_order() {
        let world = World {
            engine_lacks: Some("Docker is not installed".into()),
            missing: KindProvider::wanted(Supply::Source),
            registry_runs: false,
            cluster: ClusterState::Absent,
            image_is_pushed: false,
            image_is_carried: false,
            apps: Some(Action::new(StepId::Apps, "install", "there is no cluster", 30)),
        };
        let expected =
            [StepId::Engine, StepId::Sources, StepId::Registry, StepId::Cluster, StepId::Image, StepId::Apps];
        assert_eq!(steps(&world), expected);
    }

    #[test]
    fn a_cluster_that_was_cut_off_is_made_anew() {
        let world =
            World { cluster: ClusterState::Broken { why: "its creation was cut off".into() }, ..ready() };
        assert_eq!(steps(&world), [StepId::Cluster]);
    }

    #[test]
    fn a_stopped_cluster_is_only_started() {
        let world = World { cluster: ClusterState::Stopped, ..ready() };
        assert!(plan(&world, 3)[0].title.contains("start"));
    }
}
