//! The steps of every cluster whose nodes are containers of this machine's Docker: Docker, what is built from source, the
//! registry, the cluster, image and chart. Who makes the cluster is a [`Maker`].

use std::marker::PhantomData;

use serde_json::Value;

use super::apps::Apps;
use super::delivery::Delivery;
use super::deploy::{Deploy, Outcome};
use super::docker_plan::{World, engine_action, plan};
use super::maker::{Maker, Site, mismatched};
use super::parts::Parts;
use super::plan::{Action, StepId};
use super::provider::Provider;
use super::stack::{self, Component, Stack};
use crate::cluster::containers::others_exist;
use crate::cluster::{ClusterState, Endpoint, NodeState};
use crate::config::ImageSource;
use crate::engine;
use crate::error::Result;
use crate::event::Step;
use crate::host::Host;
use crate::images;
use crate::mirror::{self, Artifact, Mirror, Supply, registry};
use crate::registry::Reference;
use crate::room::Needs;
use crate::status::{StatusReport, kubernetes_status};

pub struct DockerProvider<M> {
    host: Host,
    mirror: Mirror,
    image: Reference,
    supply: Supply,
    recreate: bool,
    maker: PhantomData<fn() -> M>,
}

impl<M: Maker> DockerProvider<M> {
    pub fn new(host: &Host, supply: Supply) -> Result<Self> {
        let (image, mirror) = (images::own_image(host)?, Mirror::new(host)?);
        Ok(Self { host: host.clone(), mirror, image, supply, recreate: false, maker: PhantomData })
    }

    fn maker(&self, engine: &engine::Ready) -> M {
        M::new(Site {
            host: self.host.clone(),
            engine: engine.clone(),
            mirror: self.mirror.clone(),
            supply: self.supply,
            recreate: self.recreate,
        })
    }

    fn context_name(&self) -> String {
        M::context(&self.host.config)
    }

    /// What has to be built here.
    fn wanted(&self) -> Vec<Artifact> {
        match self.supply {
            Supply::Pull => Vec::new(),
            Supply::Source => {
                let stack = self.components().flat_map(Component::artifacts).copied();
                [M::sources(), mirror::BUILD].concat().into_iter().chain(stack).collect()
            }
        }
    }

    /// What the cluster gets beside the service.
    fn components(&self) -> impl Iterator<Item = Component> + use<M> {
        let config = self.host.config.components;
        Component::ALL.into_iter().filter(move |component| component.is_wanted(config))
    }

    fn stack(&self) -> Stack {
        Stack {
            host: self.host.clone(),
            context: self.context_name(),
            mirror: self.mirror.clone(),
            supply: self.supply,
        }
    }

    /// What is missing of what runs on the cluster, which serves already.
    async fn missing_on(&self) -> Result<Vec<Action>> {
        let stack = self.stack();
        let mut missing = Vec::new();
        for component in self.components() {
            missing.extend(stack.missing(component).await?);
        }
        missing.extend(self.apps().missing(&self.image).await?);
        Ok(missing)
    }

    fn to_install(&self, why: &str) -> Vec<Action> {
        let components = self.components().map(|component| component.to_install(why));
        components.chain([Apps::to_install(why)]).collect()
    }

    fn registry_image(&self) -> String {
        self.mirror.registry_image(self.supply)
    }

    async fn world(&self, ready: &engine::Ready) -> Result<World> {
        let present = self.mirror.observe(Some(&ready.docker)).await?;
        let registry =
            registry::observe(&ready.docker, &self.registry_image(), self.host.config.ports.registry).await?;
        let registry_runs = matches!(registry, registry::State::Running { .. });
        let maker = self.maker(ready);
        let cluster = maker.observe().await?;
        let runs = matches!(cluster, ClusterState::Running { .. });
        let serving = matches!(&cluster, ClusterState::Running { nodes } if nodes.iter().any(|n| n.state == NodeState::Ready));
        let installs = if serving {
            self.missing_on().await?
        } else {
            self.to_install("the cluster does not serve yet")
        };
        let client_missing = engine::client_missing(&self.host);
        Ok(World {
            engine_lacks: client_missing
                .then(|| format!("{} needs the docker command, which is not there", M::NAME)),
            missing: self.mirror.missing(&present, &self.wanted()),
            registry_runs,
            cluster_lacks: if runs { maker.lacks().await? } else { None },
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
            cluster_lacks: None,
            image_is_pushed: false,
            image_is_carried: self.mirror.holds_service(&self.image)?,
            installs: self.to_install("there is no cluster"),
        })
    }

    fn apps(&self) -> Apps {
        let delivery = if Component::Argocd.is_wanted(self.host.config.components) {
            Delivery::Argocd {
                push: self.host.config.ports.local_registry(),
                // The name that Docker's DNS has for it, by way of the cluster's own.
                pull: format!("{}:{}", registry::NAME, registry::PORT),
                foreign: false,
            }
        } else {
            Delivery::Direct
        };
        let parts = Parts::new(&self.host.config, M::shares_folder(&self.host.config));
        let apps = Apps::new(&self.host, self.context_name(), self.endpoints(), parts, delivery);
        match self.supply {
            Supply::Source => apps.behind(self.host.config.ports.local_registry()),
            Supply::Pull => apps,
        }
    }

    async fn engine(&self) -> Result<engine::Ready> {
        match engine::observe(&self.host).await? {
            engine::State::Ready(ready) => Ok(ready),
            engine::State::NotThere(lack) => Err(lack.into_error()),
        }
    }

    /// An error that names all that is missing where nothing may be fetched.
    async fn ensure_carried(&self, world: &World) -> Result<()> {
        let docker = engine::answering(&self.host).await?;
        let present = self.mirror.observe(docker.as_ref()).await?;
        let service = (!world.image_is_pushed).then_some(&self.image);
        self.mirror.must_suffice(&self.host, &present, &self.wanted(), service).await
    }

    /// Whether other clusters on this machine may ask the local registry.
    async fn others_exist(&self, ready: &engine::Ready) -> Result<bool> {
        others_exist(&ready.docker, |label, value| M::is_own(&self.host.config, label, value)).await
    }
}

#[async_trait::async_trait]
impl<M: Maker> Provider for DockerProvider<M> {
    async fn missing(&self) -> Result<Vec<Action>> {
        M::ensure_obtainable(&self.host).await?;
        let world = match engine::observe(&self.host).await? {
            engine::State::Ready(ready) => self.world(&ready).await?,
            // What is in a Docker that is stopped is seen when it runs again.
            engine::State::NotThere(lack) if M::was_begun(&self.host) => {
                return Ok(vec![engine_action(&lack.to_string())]);
            }
            engine::State::NotThere(lack) => self.world_without_docker(lack.to_string()).await?,
        };
        if let ClusterState::Mismatched { why } = &world.cluster
            && !self.recreate
        {
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
                if engine::has_network(&ready.docker, &M::network(&self.host.config)).await? {
                    self.maker(&ready).connect_registry().await?;
                }
                Ok(())
            }
            StepId::Cluster => self.maker(&ready).raise(tell).await,
            StepId::Image => images::provide(&self.host, &ready.docker, self.supply, tell).await,
            StepId::Argocd | StepId::Monitoring => {
                let stack = self.stack();
                for component in self.components().filter(|component| component.step() == step) {
                    stack.install(component, tell).await?;
                }
                Ok(())
            }
            StepId::Apps => {
                self.apps().install(&self.image, tell).await?;
                self.maker(&ready).ensure_image(&self.image, tell).await
            }
            StepId::Packages | StepId::Service | StepId::Metrics | StepId::Engine => Ok(()),
        }
    }

    fn needs(&self, plan: &[Action]) -> Option<Needs> {
        let planned = |step| plan.iter().any(|action| action.step == step);
        let builds = self.host.config.images.source != ImageSource::Mirror;
        let disk_gib = match (planned(StepId::Sources), planned(StepId::Image)) {
            // The Go build of Kubernetes with its cache, the images, and their layers in Docker.
            (true, _) if builds => 15,
            // The builder's cache and the layers.
            (_, true) if builds => 8,
            _ => 4,
        };
        planned(StepId::Cluster).then_some(Needs { disk_gib, memory_gib: 3 })
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        M::endpoints(&self.host.config)
    }

    fn context(&self) -> Option<String> {
        Some(self.context_name())
    }

    fn page(&self) -> Option<String> {
        let config = &self.host.config;
        config.components.page.then(|| format!("http://127.0.0.1:{}/", config.ports.node_ports[1]))
    }

    async fn prometheus(&self) -> Result<Option<String>> {
        stack::prometheus(&self.context_name()).await
    }

    async fn deploy(&self, what: &Deploy, tell: &Step) -> Result<Outcome> {
        let ready = self.engine().await?;
        let outcome = self.apps().carry_out(what, &self.image, tell).await?;
        // Who set another image knows where that comes from; how it is pulled makes it no other.
        if let Deploy::Chart { set, .. } = what
            && !set.as_ref().is_some_and(names_image)
        {
            self.maker(&ready).ensure_image(&self.image, tell).await?;
        }
        Ok(outcome)
    }

    fn recreate(&mut self) -> Result<()> {
        self.recreate = true;
        Ok(())
    }

    async fn status(&self) -> Result<StatusReport> {
        let ready = self.engine().await?;
        let cluster = self.maker(&ready).observe().await?;
        let beside: Vec<&str> = self.components().map(Component::namespace).collect();
        let report =
            kubernetes_status(M::NAME, &self.context_name(), cluster, self.endpoints(), &beside).await?;
        Ok(StatusReport { page: self.page(), ..report })
    }

    async fn remains(&self) -> Result<Vec<String>> {
        if !M::was_begun(&self.host) {
            return Ok(Vec::new());
        }
        let ready = self.engine().await?;
        let mut remains = self.maker(&ready).remains().await?;
        // The registry serves every cluster on this machine; it goes with the last of them.
        if !self.others_exist(&ready).await? && registry::exists(&ready.docker).await? {
            remains.push("the local registry".into());
        }
        Ok(remains)
    }

    async fn may_remain(&self) -> Result<bool> {
        // What is in a Docker that is stopped is there again when it is started.
        let asked = matches!(engine::observe(&self.host).await?, engine::State::Ready(_));
        if asked { Ok(!self.remains().await?.is_empty()) } else { Ok(M::was_begun(&self.host)) }
    }

    async fn stop(&self) -> Result<()> {
        self.maker(&self.engine().await?).stop().await
    }

    async fn remove(&self) -> Result<()> {
        if !M::was_begun(&self.host) {
            return Ok(());
        }
        let ready = self.engine().await?;
        self.maker(&ready).delete().await?;
        if !self.others_exist(&ready).await? {
            registry::remove(&ready.docker).await?;
            engine::remove_network(&ready.docker, &M::network(&self.host.config)).await?;
        }
        Ok(())
    }
}

/// Whether these values of the chart name another image.
fn names_image(set: &Value) -> bool {
    ["repository", "tag", "digest"].iter().any(|key| !set["image"][key].is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_repository_a_tag_or_a_digest_makes_another_image() {
        assert!(!names_image(&json!({"image": {"pullPolicy": "Always"}, "model": {"replicas": 3}})));
        for key in ["repository", "tag", "digest"] {
            assert!(names_image(&json!({"image": {key: "other"}})), "{key}");
        }
    }
}
