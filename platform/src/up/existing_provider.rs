//! A cluster that somebody else runs: only the service's image and its chart are ours.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::apps::{Apps, NAMESPACES};
use super::choose::supply;
use super::delivery::Delivery;
use super::deploy::{Deploy, Outcome};
use super::existing_found::{self, Classes};
use super::existing_rights::{self, Argocd, Right};
use super::parts::Parts;
use super::plan::{Action, StepId};
use super::provider::Provider;
use super::stack;
use crate::cluster::client::client;
use crate::cluster::objects::{node_platforms, nodes};
use crate::cluster::{ClusterState, Endpoint};
use crate::error::{Error, Result};
use crate::event::Step;
use crate::gitops;
use crate::host::{Host, write_atomically};
use crate::images::{self, BuildOptions};
use crate::registry::{Platform, Reference, Registries};
use crate::room::Needs;
use crate::service;
use crate::status::{StatusReport, kubernetes_status};
use crate::tools::{self, Tool};

pub struct ExistingProvider {
    host: Host,
    context: String,
    /// Whether the whole of the cluster was looked at: rights and classes do not change within one run.
    looked: AtomicBool,
}

impl ExistingProvider {
    pub fn new(host: &Host, context: &str) -> Self {
        Self { host: host.clone(), context: context.into(), looked: AtomicBool::new(false) }
    }

    /// Its nodes pull from a registry that the user names: there is no other way for an image to get there.
    fn image(&self) -> Result<Reference> {
        let registry = self.host.config.images.registry.as_deref().ok_or_else(|| {
            Error::usage(
                "an existing cluster needs a registry that its nodes can pull from",
                "name one that you can push to, in platen.toml: [images] registry = \"HOST:PORT/PATH\"",
            )
        })?;
        Ok(images::service_image(registry, &service::inputs_hash(&self.host.root)?))
    }

    /// What the image must be built for: the platforms of the nodes, as far as the Dockerfile knows them. What it does
    /// not know is told before the deploy.
    async fn platforms(&self) -> Result<Vec<Platform>> {
        let nodes = node_platforms(&client(&self.context).await?).await?;
        Ok(nodes
            .into_iter()
            .filter(|platform| images::check_platforms(std::slice::from_ref(platform)).is_ok())
            .collect())
    }

    fn apps(&self) -> Apps {
        let parts = Parts::new(&self.host.config, false);
        Apps::new(&self.host, self.context.clone(), self.endpoints(), parts, self.delivery())
    }

    /// Through the cluster's own Argo CD where that is asked for; its pods read the chart where nodes pull the image.
    fn delivery(&self) -> Delivery {
        match (self.host.config.components.argocd, &self.host.config.images.registry) {
            (Some(true), Some(registry)) => {
                Delivery::Argocd { push: registry.clone(), pull: registry.clone(), foreign: true }
            }
            _ => Delivery::Direct,
        }
    }

    /// What of the cluster decides whether anything may begin: rights first, for without them nothing else can be asked.
    /// While only a plan is made Helm is not obtained; without it the rights that its chart needs are asked for later.
    async fn look(&self, image: &Reference, planning: bool) -> Result<()> {
        if self.looked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let client = client(&self.context).await?;
        let has_helm = !planning || tools::find(&self.host, Tool::Helm).await?.is_some();
        let manifests = if has_helm { self.apps().rendered(image, &client).await? } else { String::new() };
        let argocd = match (self.delivery(), gitops::is_served(&client).await?) {
            (Delivery::Argocd { .. }, _) => Argocd::Delivers,
            (Delivery::Direct, true) => Argocd::IsThere,
            (Delivery::Direct, false) => Argocd::Absent,
        };
        let rights = existing_rights::needed(&manifests, argocd)?;
        let missing = existing_rights::missing(&client, rights.clone()).await?;
        if !missing.is_empty() {
            return Err(self.refused(&client, &rights, &missing).await?);
        }
        // What an earlier run wrote is given.
        let _ = std::fs::remove_file(self.rights_file());
        let used = existing_found::components(&client, self.host.config.components).await?;
        if has_helm {
            self.looked.store(true, Ordering::Relaxed);
            for used in used {
                self.host.events.note(used);
            }
            self.host.events.note(Classes::of(&client).await?.told());
        }
        Ok(())
    }

    /// Beside the profile's folder, which nothing is in before the cluster is touched.
    fn rights_file(&self) -> PathBuf {
        self.host.state_dir().join(format!("{}-rights.yaml", self.host.config.cluster.profile))
    }

    /// Lists what this account may not do, and writes what an administrator applies to change that: all that is `needed`,
    /// for a role that is applied again loses what it does not name.
    async fn refused(&self, client: &kube::Client, needed: &[Right], missing: &[Right]) -> Result<Error> {
        let user = existing_rights::user(client).await;
        let list = existing_rights::lines(missing).join("\n    ");
        let who = user.as_deref().map_or_else(String::new, |user| format!(" ({user})"));
        let what = format!("the account of {}{who} lacks rights:\n    {list}", self.context);
        let file = self.rights_file();
        let user = user.unwrap_or_else(|| "NAME".into());
        write_atomically(&file, existing_rights::manifest(needed, &user)?.as_bytes())?;
        Ok(Error::unhealthy(
            what,
            format!("have an administrator give them: kubectl apply -f {}", file.display()),
        ))
    }
}

#[async_trait::async_trait]
impl Provider for ExistingProvider {
    async fn missing(&self) -> Result<Vec<Action>> {
        let image = self.image()?;
        // Names an unknown context, and finds out whether the cluster answers at all.
        self.look(&image, true).await?;
        let platforms = self.platforms().await?;
        let mut missing = Vec::new();
        let there = Registries::new(&self.host)?.platforms(&image).await?;
        let lacks = |platform: &Platform| {
            !there.iter().flatten().any(|found| found.platform.runs_on(&platform.os, &platform.architecture))
        };
        if there.is_none() || platforms.iter().any(lacks) {
            let why = format!("{} has no image of these sources for every node", image.registry());
            missing.push(Action::new(StepId::Image, "build and push the OCR service's image", why, 240));
        }
        missing.extend(self.apps().missing(&image).await?);
        Ok(missing)
    }

    async fn apply(&self, step: StepId, tell: &Step) -> Result<()> {
        self.look(&self.image()?, false).await?;
        match step {
            StepId::Image => {
                tell.message("preparing the builder");
                let push = Some(self.image()?);
                let options =
                    BuildOptions { platforms: self.platforms().await?, push, ..BuildOptions::default() };
                images::build(&self.host, supply(&self.host).await?, &options).await.map(drop)
            }
            StepId::Apps => self.apps().install(&self.image()?, tell).await,
            _ => Ok(()),
        }
    }

    fn needs(&self, _plan: &[Action]) -> Option<Needs> {
        None
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let gateway = self.host.config.cluster.gateway;
        gateway.map(|address| Endpoint { node: self.context.clone(), address }).into_iter().collect()
    }

    fn context(&self) -> Option<String> {
        Some(self.context.clone())
    }

    async fn prometheus(&self) -> Result<Option<String>> {
        stack::prometheus(&self.context).await
    }

    async fn deploy(&self, what: &Deploy, tell: &Step) -> Result<Outcome> {
        self.apps().carry_out(what, &self.image()?, tell).await
    }

    async fn status(&self) -> Result<StatusReport> {
        let cluster = ClusterState::Running { nodes: nodes(&client(&self.context).await?).await? };
        // What else runs there is not Platen's.
        kubernetes_status("existing", &self.context, cluster, self.endpoints(), &[]).await
    }

    async fn remains(&self) -> Result<Vec<String>> {
        self.apps().remains().await
    }

    /// What such a cluster holds cannot be asked so early, and is never lost sight of.
    async fn may_remain(&self) -> Result<bool> {
        Ok(true)
    }

    async fn stop(&self) -> Result<()> {
        Err(Error::usage(
            "a cluster that somebody else runs is not stopped from here",
            format!(
                "scale the service down: kubectl --context {} -n {} scale deployment --all --replicas 0",
                self.context, NAMESPACES[0]
            ),
        ))
    }

    async fn remove(&self) -> Result<()> {
        if self.remains().await?.is_empty() {
            return Ok(());
        }
        self.apps().uninstall().await
    }
}
