//! Clusters that minikube makes.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::docker_provider::DockerProvider;
use super::maker::{Maker, Site};
use crate::cluster::minikube::{self, Minikube};
use crate::cluster::{ClusterState, Endpoint};
use crate::config::Config;
use crate::engine;
use crate::error::Result;
use crate::event::{Events, Step};
use crate::host::Host;
use crate::mirror::{Artifact, registry};
use crate::registry::Reference;

pub type MinikubeProvider = DockerProvider<MinikubeMaker>;

const NODES_READY_WITHIN: Duration = Duration::from_mins(4);

pub struct MinikubeMaker {
    site: Site,
    minikube: Minikube,
}

#[async_trait::async_trait]
impl Maker for MinikubeMaker {
    const NAME: &'static str = "minikube";

    fn new(site: Site) -> Self {
        let minikube = Minikube::new(&site.host, &site.engine);
        Self { site, minikube }
    }

    /// minikube names the context as the profile.
    fn context(config: &Config) -> String {
        config.cluster.profile.to_string()
    }

    fn endpoints(config: &Config) -> Vec<Endpoint> {
        minikube::endpoints(config)
    }

    /// Its nodes' image, and what it starts in them, come from where `[minikube]` says.
    fn sources() -> &'static [Artifact] {
        &[Artifact::RegistryImage]
    }

    fn shares_folder(config: &Config) -> bool {
        config.minikube.mount
    }

    fn was_begun(host: &Host) -> bool {
        minikube::was_begun(host)
    }

    fn is_own(config: &Config, label: &str, value: &str) -> bool {
        minikube::is_own(&config.cluster.profile, label, value)
    }

    fn network(config: &Config) -> String {
        minikube::network_name(config)
    }

    async fn ensure_obtainable(host: &Host) -> Result<()> {
        minikube::ensure_obtainable(host).await
    }

    async fn observe(&self) -> Result<ClusterState> {
        self.minikube.observe().await
    }

    async fn lacks(&self) -> Result<Option<String>> {
        let open = self.minikube.doors_are_open()?;
        Ok((!open).then(|| "the doors on loopback to its nodes are closed".into()))
    }

    async fn raise(&self, tell: &Step) -> Result<()> {
        let begun = Timestamp::now();
        match self.minikube.observe().await? {
            ClusterState::Mismatched { why } if !self.site.recreate => {
                return Err(self.site.mismatched(&why));
            }
            ClusterState::Running { .. } => {}
            ClusterState::Stopped { .. } => {
                // It may have been given a stopped node's address since.
                self.settle_registry().await?;
                self.minikube.start(tell).await?;
                self.connect(tell).await?;
            }
            ClusterState::Absent => {
                self.minikube.close_doors().await?;
                self.site.ensure_ports_free()?;
                self.create(tell).await?;
            }
            ClusterState::Mismatched { .. } | ClusterState::Broken { .. } => {
                tell.message("deleting what is there of the cluster");
                self.minikube.delete(tell).await?;
                self.create(tell).await?;
            }
        }
        self.minikube.open_doors().await?;
        self.minikube.wait_until_ready(NODES_READY_WITHIN, begun, tell).await
    }

    async fn connect_registry(&self) -> Result<()> {
        self.minikube.connect_registry().await
    }

    async fn ensure_image(&self, image: &Reference, tell: &Step) -> Result<()> {
        self.minikube.ensure_image(image, tell).await
    }

    async fn remains(&self) -> Result<Vec<String>> {
        self.minikube.remains().await
    }

    async fn stop(&self) -> Result<()> {
        self.minikube.stop(&unseen()).await
    }

    async fn delete(&self) -> Result<()> {
        self.minikube.delete(&unseen()).await
    }
}

impl MinikubeMaker {
    async fn create(&self, tell: &Step) -> Result<()> {
        engine::guard_addresses(&self.site.host).await?;
        self.minikube.mark_creating()?;
        self.minikube.start(tell).await?;
        self.connect(tell).await?;
        self.minikube.mark_created()
    }

    async fn settle_registry(&self) -> Result<()> {
        let docker = &self.site.engine.docker;
        let network = minikube::network_name(&self.site.host.config);
        if engine::has_network(docker, &network).await? && registry::exists(docker).await? {
            self.connect_registry().await?;
        }
        Ok(())
    }

    /// What a start of minikube does not do, or writes over.
    async fn connect(&self, tell: &Step) -> Result<()> {
        tell.message("telling the nodes of the local registry");
        self.connect_registry().await?;
        self.minikube.wire_registry(&self.site.wiring()).await
    }
}

/// `down` shows a step of its own around it.
fn unseen() -> Step {
    Events::silent().step("minikube", "", None)
}
