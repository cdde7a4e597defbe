//! The last steps of every Kubernetes provider: the service's image in the registry, the chart installed and ready.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use serde_json::json;

use super::plan::{Action, StepId};
use crate::cluster::Endpoint;
use crate::cluster::client::client;
use crate::cluster::doors;
use crate::diagnose;
use crate::error::{Doing, Result};
use crate::event::Step;
use crate::helm::{Chart, Helm, Release, Target, Upgrade};
use crate::host::Host;
use crate::images::preflight::{self, NodeFacts};
use crate::images::pull_secret;
use crate::manifests;
use crate::registry::{Credentials, Reference, Registries, is_loopback};
use crate::tools::{self, Tool};

/// Pods start within seconds once their image is there; three nodes on two cores take their time.
const READY_WITHIN: Duration = Duration::from_mins(4);
/// Where the gateway and the models run, and where the OCR backend does.
pub const NAMESPACES: [&str; 2] = ["ocr", "backend"];

fn release() -> Release {
    Release::new("ocr", NAMESPACES[0])
}

/// The chart in one cluster.
pub struct Apps {
    host: Host,
    context: String,
    /// Doors behind which the gateway must answer.
    doors: Vec<Endpoint>,
}

/// How a request comes from a node's port to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// Each node has a gateway of its own: what comes in at a live node never crosses to a dead one.
    OwnNode,
    /// There may be nodes without one.
    AnyNode,
}

impl Entry {
    /// The Service's `externalTrafficPolicy`.
    fn policy(self) -> &'static str {
        match self {
            Self::OwnNode => "Local",
            Self::AnyNode => "Cluster",
        }
    }
}

impl Apps {
    pub fn new(host: &Host, context: String, doors: Vec<Endpoint>) -> Self {
        Self { host: host.clone(), context, doors }
    }

    pub fn to_install(why: impl Into<String>) -> Action {
        Action::new(StepId::Apps, "install the OCR service by its chart", why, 30)
    }

    /// What is missing; `None` where the cluster cannot be asked yet.
    pub async fn missing(&self, image: &Reference) -> Result<Option<Action>> {
        let install =
            |why: String| Some(Action::new(StepId::Apps, "install the OCR service by its chart", why, 30));
        let Some(program) = tools::find(&self.host, Tool::Helm).await? else {
            return Ok(install("it is not installed".into()));
        };
        let helm = self.helm(program);
        let client = client(&self.context).await?;
        let entry = self.entry(&client).await?;
        if !helm.is_current(&self.upgrade(image, entry)?).await? {
            return Ok(install("the release is not there, or not as it would be made now".into()));
        }
        let changed = self.changed(&client).await?;
        if !changed.is_empty() {
            return Ok(install(format!("changed since it was installed: {}", changed.join(", "))));
        }
        let unready = self.unready(&client).await?;
        Ok(if unready.is_empty() { None } else { install(format!("not ready: {}", unready.join(", "))) })
    }

    /// Deployments that are not there, or were scaled by somebody.
    async fn changed(&self, client: &kube::Client) -> Result<Vec<String>> {
        let mut changed = Vec::new();
        for (namespace, name, wanted) in self.deployments() {
            let api = Api::<Deployment>::namespaced(client.clone(), namespace);
            let found = api.get_opt(name).await.doing(format!("looking at the deployment {name}"))?;
            match found.map(|found| found.spec.replicas.unwrap_or(1)) {
                None => changed.push(format!("{name} is gone")),
                Some(replicas) if replicas != i32::from(wanted) => {
                    changed.push(format!("{name} has {replicas} replicas instead of {wanted}"));
                }
                Some(_) => {}
            }
        }
        Ok(changed)
    }

    /// What the chart makes: namespace, name and replicas. A gateway on every node, so that each door leads to one
    /// beside it; models on the workers.
    fn deployments(&self) -> [(&'static str, &'static str, u16); 3] {
        let nodes = self.host.config.cluster.nodes.get();
        [
            (NAMESPACES[0], "ocr-gateway", nodes),
            (NAMESPACES[0], "ocr-model", (nodes - 1).max(1)),
            (NAMESPACES[1], "ocr-server-deployment", 1),
        ]
    }

    /// What does not serve: deployments by the API server's word, doors by asking.
    async fn unready(&self, client: &kube::Client) -> Result<Vec<String>> {
        let mut unready = Vec::new();
        for namespace in NAMESPACES {
            unready.extend(diagnose::unready(client, namespace).await?);
        }
        for door in doors::unready(&self.doors).await? {
            unready.push(format!("the gateway through {}", door.node));
        }
        Ok(unready)
    }

    pub async fn install(&self, image: &Reference, tell: &Step) -> Result<()> {
        let helm = self.helm(tools::ensure(&self.host, Tool::Helm).await?);
        let client = client(&self.context).await?;
        let registries = Registries::new(&self.host)?;
        tell.message("comparing the images with the nodes");
        let manifests = self.preflight(&helm, &client, &registries, image).await?;
        manifests::apply_namespaces(&client, &manifests::Params::default()).await?;
        if let Some(login) = self.login(image)? {
            pull_secret::apply(&client, &login, &NAMESPACES).await?;
        }
        let work = async {
            let restore = !self.changed(&client).await?.is_empty();
            let entry = self.entry(&client).await?;
            helm.upgrade_install(&Upgrade { restore, ..self.upgrade(image, entry)? }).await?;
            self.wait(&client).await
        };
        let result = tokio::select! {
            result = work => result,
            never = diagnose::heartbeat(&client, &NAMESPACES, tell) => match never {},
        };
        diagnose::explained(&client, &NAMESPACES, result).await?;
        for stale in preflight::running_others(&client, &registries, &manifests, &NAMESPACES).await? {
            self.host.events.warn(stale);
        }
        Ok(())
    }

    /// Stops before the cluster is touched where an image would not start on a node. Returns the rendered manifests.
    async fn preflight(
        &self,
        helm: &Helm,
        client: &kube::Client,
        registries: &Registries,
        image: &Reference,
    ) -> Result<String> {
        let upgrade = self.upgrade(image, self.entry(client).await?)?;
        let manifests = helm.template(&upgrade.release, &upgrade.chart, &upgrade.values).await?;
        let nodes = match Api::<Node>::all(client.clone()).list(&ListParams::default()).await {
            Ok(nodes) => nodes.items.iter().map(NodeFacts::of).collect(),
            // Who may not list the nodes cannot compare; that the images are there is still asked.
            Err(kube::Error::Api(refused)) if refused.code == 403 => Vec::new(),
            Err(error) => return Err(error).doing("listing the nodes"),
        };
        preflight::check(registries, &manifests, &nodes).await?;
        Ok(manifests)
    }

    /// What nodes need to pull the image; registries on loopback want nothing.
    fn login(&self, image: &Reference) -> Result<Option<Credentials>> {
        if is_loopback(image.registry()) {
            return Ok(None);
        }
        Registries::new(&self.host)?.keyring().find(image.registry())
    }

    /// helm waits for the release that it changes; one that was current already may still be on its way.
    async fn wait(&self, client: &kube::Client) -> Result<()> {
        crate::wait::until(READY_WITHIN, "cargo xtask status", || async {
            let unready = self.unready(client).await?;
            if unready.is_empty() {
                return Ok(crate::wait::Seen::Ready(()));
            }
            Ok(crate::wait::Seen::Awaiting(unready.join(", ")))
        })
        .await
    }

    pub async fn is_installed(&self) -> Result<bool> {
        let helm = self.helm(tools::ensure(&self.host, Tool::Helm).await?);
        Ok(helm.status(&release()).await?.is_some())
    }

    /// Removes the release; the namespaces and what others put into them stay.
    pub async fn uninstall(&self) -> Result<()> {
        let helm = self.helm(tools::ensure(&self.host, Tool::Helm).await?);
        helm.uninstall(&release(), READY_WITHIN).await.map(drop)
    }

    fn helm(&self, program: PathBuf) -> Helm {
        let target = Target { kubeconfig: None, context: self.context.clone() };
        Helm::new(self.host.processes.clone(), program, target)
    }

    /// By own nodes where no node is without a gateway; who may not list the nodes cannot know.
    async fn entry(&self, client: &kube::Client) -> Result<Entry> {
        let [(_, _, gateways), ..] = self.deployments();
        match Api::<Node>::all(client.clone()).list_metadata(&ListParams::default()).await {
            Ok(nodes) if nodes.items.len() <= usize::from(gateways) => Ok(Entry::OwnNode),
            Ok(_) => Ok(Entry::AnyNode),
            Err(kube::Error::Api(refused)) if refused.code == 403 => Ok(Entry::AnyNode),
            Err(error) => Err(error).doing("counting the nodes"),
        }
    }

    fn upgrade(&self, image: &Reference, entry: Entry) -> Result<Upgrade> {
        let [(_, _, gateways), (_, _, models), (_, _, servers)] = self.deployments();
        let secrets: Vec<_> = self.login(image)?.iter().map(|_| json!({"name": pull_secret::NAME})).collect();
        Ok(Upgrade {
            release: release(),
            chart: Chart::Path(self.host.root.join("charts/ocr-app")),
            values: json!({
                "image": {
                    "repository": format!("{}/{}", image.registry(), image.repository()),
                    "tag": image.tag().unwrap_or("latest"),
                },
                "imagePullSecrets": secrets,
                "gateway": {
                    "replicas": gateways,
                    "service": {"externalTrafficPolicy": entry.policy()},
                },
                "model": {"replicas": models},
                "ocrServer": {"replicas": servers},
            }),
            restore: false,
            timeout: READY_WITHIN,
        })
    }
}
