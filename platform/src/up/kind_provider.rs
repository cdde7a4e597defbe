//! Clusters that kind makes.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::docker_provider::DockerProvider;
use super::maker::{Maker, Site};
use crate::cluster::kind::{self, CreateSpec, Kind, NodeImage};
use crate::cluster::{ClusterState, Endpoint};
use crate::config::Config;
use crate::engine;
use crate::error::Result;
use crate::event::Step;
use crate::host::Host;
use crate::mirror::{self, Artifact, Supply, registry};

pub type KindProvider = DockerProvider<KindMaker>;

const NODES_READY_WITHIN: Duration = Duration::from_mins(3);
/// The Docker network that kind puts nodes into.
const NETWORK: &str = "kind";

pub struct KindMaker {
    site: Site,
    kind: Kind,
}

#[async_trait::async_trait]
impl Maker for KindMaker {
    const NAME: &'static str = "kind";

    fn new(site: Site) -> Self {
        let kind = Kind::new(&site.host, &site.engine, site.mirror.program("kind"));
        Self { site, kind }
    }

    fn context(config: &Config) -> String {
        Kind::context(&config.cluster.profile)
    }

    fn endpoints(config: &Config) -> Vec<Endpoint> {
        Kind::endpoints(config)
    }

    fn sources() -> &'static [Artifact] {
        mirror::CLUSTER
    }

    fn shares_folder(_: &Config) -> bool {
        true
    }

    fn was_begun(host: &Host) -> bool {
        kind::was_begun(host)
    }

    fn is_own(config: &Config, label: &str, value: &str) -> bool {
        kind::is_own(&config.cluster.profile, label, value)
    }

    fn network(_: &Config) -> String {
        NETWORK.into()
    }

    async fn observe(&self) -> Result<ClusterState> {
        self.kind.observe().await
    }

    async fn raise(&self, tell: &Step) -> Result<()> {
        let begun = Timestamp::now();
        match self.kind.observe().await? {
            ClusterState::Mismatched { why } if !self.site.recreate => {
                return Err(self.site.mismatched(&why));
            }
            ClusterState::Running { .. } => {}
            ClusterState::Stopped { .. } => self.kind.start(tell).await?,
            ClusterState::Mismatched { .. } => {
                tell.message("deleting the cluster that is there");
                self.kind.delete().await?;
                self.create(tell).await?;
            }
            ClusterState::Absent | ClusterState::Broken { .. } => self.create(tell).await?,
        }
        self.kind.wait_until_ready(NODES_READY_WITHIN, begun, tell).await
    }

    async fn connect_registry(&self) -> Result<()> {
        registry::connect(&self.site.engine.docker, NETWORK).await.map(drop)
    }

    async fn remains(&self) -> Result<Vec<String>> {
        let nodes = self.kind.containers().await?;
        Ok(nodes.into_iter().map(|node| format!("node {}", node.name)).collect())
    }

    async fn stop(&self) -> Result<()> {
        self.kind.stop().await
    }

    async fn delete(&self) -> Result<()> {
        self.kind.delete().await
    }
}

impl KindMaker {
    async fn create(&self, tell: &Step) -> Result<()> {
        let Site { host, engine, mirror, supply, .. } = &self.site;
        // Remains of a creation that was cut off hold our own ports; they are removed before the new one.
        if self.kind.containers().await?.is_empty() {
            self.site.ensure_ports_free()?;
        }
        engine::guard_addresses(host).await?;
        let image = match supply {
            Supply::Pull => NodeImage::Upstream,
            Supply::Source => NodeImage::Source(mirror.node_image()),
        };
        self.kind.create(&CreateSpec { image, traits: engine.traits }, tell).await?;
        self.connect_registry().await?;
        self.kind.wire_registry(&self.site.wiring()).await?;
        self.kind.mark_created()
    }
}
