//! What makes a cluster whose nodes are containers of this machine's Docker: kind or minikube.

use crate::cluster::wiring::RegistryWiring;
use crate::cluster::{ClusterState, Endpoint};
use crate::config::Config;
use crate::engine;
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::mirror::{Artifact, Mirror, Supply, registry};
use crate::ports;
use crate::registry::Reference;

/// What a maker works on.
#[derive(Clone)]
pub struct Site {
    pub host: Host,
    pub engine: engine::Ready,
    pub mirror: Mirror,
    pub supply: Supply,
    /// Whether a cluster that is not as asked for may be deleted and made anew.
    pub recreate: bool,
}

impl Site {
    pub fn wiring(&self) -> RegistryWiring {
        RegistryWiring {
            host_port: self.host.config.ports.registry,
            node_url: format!("http://{}:{}", registry::NAME, registry::PORT),
            mirrors_everything: self.supply == Supply::Source,
        }
    }

    /// An error where a port that a door of the cluster needs is somebody else's.
    pub fn ensure_ports_free(&self) -> Result<()> {
        let config = &self.host.config;
        let nodes = 0..config.cluster.nodes.get();
        let wanted =
            nodes.flat_map(|node| config.ports.node_ports.map(|base| config.ports.on_node(base, node)));
        ports::ensure_free(wanted.map(|port| (port, "a NodePort of the cluster".to_owned())))
    }

    /// The end of a run that must not delete what is there.
    pub fn mismatched(&self, why: &str) -> Error {
        mismatched(&self.host, why)
    }
}

pub fn mismatched(host: &Host, why: &str) -> Error {
    let profile = &host.config.cluster.profile;
    Error::usage(
        format!("there is a cluster {profile} that is not as asked for: {why}"),
        "ask for what it has, or use another one: --profile NAME; or delete it, with all that is in it, and make it anew: \
         cargo xtask up --recreate",
    )
}

#[async_trait::async_trait]
pub trait Maker: Sized + Send + Sync {
    const NAME: &'static str;

    fn new(site: Site) -> Self;

    /// The kubeconfig context that it writes.
    fn context(config: &Config) -> String;

    /// Doors to the gateway, by node.
    fn endpoints(config: &Config) -> Vec<Endpoint>;

    /// What its nodes are made of where nothing can be pulled, as far as Platen builds it.
    fn sources() -> &'static [Artifact];

    /// Whether every node sees the folder of the experiments.
    fn shares_folder(config: &Config) -> bool;

    /// Whether this checkout ever began to make a cluster in the profile, and did not remove it since.
    fn was_begun(host: &Host) -> bool;

    /// Whether a container is a node of the profile's cluster, by its label and the label's value.
    fn is_own(config: &Config, label: &str, value: &str) -> bool;

    /// The Docker network of the nodes.
    fn network(config: &Config) -> String;

    /// An error where the program is not on this machine and cannot be had.
    async fn ensure_obtainable(_host: &Host) -> Result<()> {
        Ok(())
    }

    async fn observe(&self) -> Result<ClusterState>;

    /// What of the cluster is missing although its nodes run.
    async fn lacks(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Makes, starts or waits for the cluster, whatever it needs.
    async fn raise(&self, tell: &Step) -> Result<()>;

    /// Puts the registry into the nodes' network.
    async fn connect_registry(&self) -> Result<()>;

    /// Proves that the nodes have the image that was deployed.
    async fn ensure_image(&self, _image: &Reference, _tell: &Step) -> Result<()> {
        Ok(())
    }

    /// What there is of the cluster on this machine, a phrase each.
    async fn remains(&self) -> Result<Vec<String>>;

    async fn stop(&self) -> Result<()>;

    async fn delete(&self) -> Result<()>;
}
