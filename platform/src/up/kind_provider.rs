//! The steps of the kind provider: Docker, what is built from source, the registry, the cluster, image and chart.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::apps::Apps;
use super::delivery::Delivery;
use super::deploy::{Deploy, Outcome};
use super::kind_plan::{World, plan};
use super::parts::Parts;
use super::plan::{Action, StepId};
use super::provider::Provider;
use super::stack::{self, Component, Stack};
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

impl KindProvider {
    pub fn new(host: &Host, supply: Supply) -> Result<Self> {
        let inputs = service::inputs_hash(&host.root)?;
        let image = images::service_image(&images::local_registry(&host.config), &inputs);
        Ok(Self { host: host.clone(), mirror: Mirror::new(host)?, image, supply })
    }

    /// What has to be built here.
    fn wanted(&self) -> Vec<Artifact> {
        match self.supply {
            Supply::Pull => Vec::new(),
            Supply::Source => {
                let stack = self.components().flat_map(Component::artifacts).copied();
                [mirror::CLUSTER, mirror::BUILD].concat().into_iter().chain(stack).collect()
            }
        }
    }

    /// What the cluster gets beside the service.
    fn components(&self) -> impl Iterator<Item = Component> + use<> {
        let config = self.host.config.components;
        Component::ALL.into_iter().filter(move |component| component.is_wanted(config))
    }

    fn stack(&self, kind: &Kind) -> Stack {
        Stack {
            host: self.host.clone(),
            context: kind.context(),
            mirror: self.mirror.clone(),
            supply: self.supply,
        }
    }

    /// What is missing of what runs on the cluster, which serves already.
    async fn missing_on(&self, kind: &Kind) -> Result<Vec<Action>> {
        let stack = self.stack(kind);
        let mut missing = Vec::new();
        for component in self.components() {
            missing.extend(stack.missing(component).await?);
        }
        missing.extend(self.apps(kind).missing(&self.image).await?);
        Ok(missing)
    }

    fn to_install(&self, why: &str) -> Vec<Action> {
        let components = self.components().map(|component| component.to_install(why));
        components.chain([Apps::to_install(why)]).collect()
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
        let installs = if serving {
            self.missing_on(&kind).await?
        } else {
            self.to_install("the cluster does not serve yet")
        };
        let client_missing = engine::client_missing(&self.host);
        Ok(World {
            engine_lacks: client_missing.then(|| "kind needs the docker command, which is not there".into()),
            missing: self.mirror.missing(&present, &self.wanted()),
            registry_runs,
            cluster,
            image_is_pushed: registry_runs && images::is_in_registry(&self.host, &self.image).await?,
            image_is_carried: self.mirror.holds_service(&self.image)?,
            installs,
        })
    }

    async fn world_without_docker(&self, why: String) -> Result<World> {
        let present = self.mirror.observe(None).await?;
        Ok(World {
            engine_lacks: Some(why),
            missing: self.mirror.missing(&present, &self.wanted()),
            registry_runs: false,
            cluster: ClusterState::Absent,
            image_is_pushed: false,
            image_is_carried: self.mirror.holds_service(&self.image)?,
            installs: self.to_install("there is no cluster"),
        })
    }

    fn apps(&self, kind: &Kind) -> Apps {
        let delivery = if Component::Argocd.is_wanted(self.host.config.components) {
            Delivery::Argocd {
                push: format!("127.0.0.1:{}", self.host.config.ports.registry),
                // The name that Docker's DNS has for it, by way of the cluster's own.
                pull: format!("{}:{}", registry::NAME, registry::PORT),
            }
        } else {
            Delivery::Direct
        };
        let parts = Parts::new(&self.host.config, true);
        Apps::new(&self.host, kind.context(), self.endpoints(), parts, delivery)
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
        self.mirror.must_suffice(&self.host, &present, &self.wanted(), service).await
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
                self.mirror.build(&self.host, Some(&ready.docker), &self.wanted()).await.map(drop)
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
            StepId::Argocd | StepId::Monitoring => {
                let stack = self.stack(&self.kind(&ready));
                for component in self.components().filter(|component| component.step() == step) {
                    stack.install(component, tell).await?;
                }
                Ok(())
            }
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

    fn context(&self) -> Option<String> {
        Some(Kind::context_of(&self.host.config.cluster.profile))
    }

    fn page(&self) -> Option<String> {
        let config = &self.host.config;
        config.components.page.then(|| format!("http://127.0.0.1:{}/", config.ports.node_ports[1]))
    }

    async fn prometheus(&self) -> Result<Option<String>> {
        stack::prometheus(&self.kind(&self.engine().await?).context()).await
    }

    async fn deploy(&self, what: &Deploy, tell: &Step) -> Result<Outcome> {
        let kind = self.kind(&self.engine().await?);
        self.apps(&kind).carry_out(what, &self.image, tell).await
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
