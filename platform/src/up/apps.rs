//! The last steps of every Kubernetes provider: the service's image in the registry, the chart installed and ready.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim};
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::Value;

use super::delivery::{Brought, Delivery};
use super::deploy::{Deploy, Outcome};
use super::parts::{Entry, Parts, Wanted, deployments};
use super::plan::{Action, StepId};
use super::secrets::ClusterSecrets;
use super::spread;
use crate::cluster::Endpoint;
use crate::cluster::client::client;
use crate::cluster::doors;
use crate::config::ChartSource;
use crate::diagnose::{self, Scope};
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::gitops::{self, GitOps, Owned};
use crate::helm::{Chart, Helm, Release, Upgrade};
use crate::host::Host;
use crate::images::{Asking, preflight};
use crate::manifests;
use crate::observe::operator;
use crate::registry::Reference;
use crate::tools::{self, Tool};

/// Pods start within seconds once their image is there; three nodes on two cores take their time.
pub(super) const READY_WITHIN: Duration = Duration::from_mins(4);
/// Where the gateway and the models run, and where the OCR backend does.
pub const NAMESPACES: [&str; 2] = ["ocr", "backend"];

/// The Jobs that the experiments' service makes.
const EXPERIMENTS: &str = "app.kubernetes.io/part-of=platen,app.kubernetes.io/component=experiment";
/// What the chart keeps beyond its release: claims, volumes, and the database's password.
const KEPT: &str = "app.kubernetes.io/part-of=platen,app.kubernetes.io/component in (experiments,mariadb)";
/// Kubernetes 1.35 is the first in which `PreferSameNode` needs no feature gate.
const KNOWS_SAME_NODE: u32 = 35;
/// Argo CD's Application remembers what was set; a Helm release does not.
const UNTIL_NEXT: &str =
    "what was set lasts until the next `cargo xtask up` or `deploy`: without Argo CD nothing remembers it";

pub(super) fn release() -> Release {
    Release::new("ocr", NAMESPACES[0])
}

/// The chart in one cluster.
pub struct Apps {
    pub(super) host: Host,
    pub(super) context: String,
    /// Doors behind which the gateway must answer.
    doors: Vec<Endpoint>,
    parts: Parts,
    pub(super) delivery: Delivery,
    /// The registry that the nodes ask for images of every host, as this machine reaches it.
    pub(super) mirror: Option<String>,
}

impl Apps {
    pub fn new(host: &Host, context: String, doors: Vec<Endpoint>, parts: Parts, delivery: Delivery) -> Self {
        Self { host: host.clone(), context, doors, parts, delivery, mirror: None }
    }

    /// Where the nodes find images of every host in this registry.
    #[must_use]
    pub fn behind(self, mirror: String) -> Self {
        Self { mirror: Some(mirror), ..self }
    }

    pub fn to_install(why: impl Into<String>) -> Action {
        Action::new(StepId::Apps, "install the OCR service by its chart", why, 30)
    }

    /// The chart's objects as they would be installed.
    pub async fn rendered(&self, image: &Reference, client: &kube::Client) -> Result<String> {
        let helm = self.helm(tools::ensure(&self.host, Tool::Helm).await?);
        let pull_secret = self.secrets().to_pull(image, client).await?;
        // How a request comes in decides nothing of what the objects are.
        let values = operator::watched(client, self.parts.values(image, pull_secret, Entry::AnyNode)).await?;
        helm.template(&release(), &Chart::Path(self.host.root.join(gitops::CHART)), &values).await
    }

    /// What is missing; `None` where the cluster cannot be asked yet.
    pub async fn missing(&self, image: &Reference) -> Result<Option<Action>> {
        let install = |why: String| Some(Self::to_install(why));
        let Some(program) = tools::find(&self.host, Tool::Helm).await? else {
            return Ok(install("it is not installed".into()));
        };
        let helm = self.helm(program);
        let client = client(&self.context).await?;
        let set = GitOps::set_before(&client).await?;
        let upgrade = self.upgrade(image, &client, set.as_ref()).await?;
        if let Some(why) = self.differs(&self.brought(&helm, &client, &upgrade, set)).await? {
            return Ok(install(why));
        }
        let unready = self.unready(&client).await?;
        Ok(if unready.is_empty() { None } else { install(format!("not ready: {}", unready.join(", "))) })
    }

    /// What does not serve: deployments by the API server's word, doors by asking.
    async fn unready(&self, client: &kube::Client) -> Result<Vec<String>> {
        let mut unready = diagnose::unready(client, &Scope::ours(&NAMESPACES)).await?;
        for door in doors::unready(&self.doors).await? {
            unready.push(format!("the gateway through {}", door.node));
        }
        Ok(unready)
    }

    /// Makes the cluster serve this image; values that an earlier deploy set stay.
    pub async fn install(&self, image: &Reference, tell: &Step) -> Result<()> {
        self.check_source()?;
        let set = GitOps::set_before(&client(&self.context).await?).await?;
        self.deploy(image, set, tell).await.map(drop)
    }

    /// As [`Apps::install`], with values laid over the configuration's. Returns the version that serves.
    pub async fn deploy(&self, image: &Reference, set: Option<Value>, tell: &Step) -> Result<String> {
        let helm = self.helm(tools::ensure(&self.host, Tool::Helm).await?);
        let client = client(&self.context).await?;
        tell.message("comparing the images with the nodes");
        let upgrade = self.upgrade(image, &client, set.as_ref()).await?;
        self.delivery.check(&upgrade.values)?;
        let (asking, manifests) = self.preflight(&helm, &client, image, &upgrade).await?;
        manifests::apply_namespaces(&client, &manifests::Params::default()).await?;
        self.secrets().give(&client, image).await?;
        let scope = Scope::ours(&NAMESPACES);
        let work = async {
            let restore = !changed(&client, &upgrade.values).await?.is_empty();
            let upgrade = Upgrade { restore, ..upgrade };
            let version = self.delivery.deliver(&self.brought(&helm, &client, &upgrade, set), tell).await?;
            self.wait(&client, &upgrade.values).await.map(|()| version)
        };
        let result = match self.delivery {
            // It tells more of what it waits for by itself.
            Delivery::Argocd { .. } => work.await,
            Delivery::Direct => tokio::select! {
                result = work => result,
                never = diagnose::heartbeat(&client, &scope, tell) => match never {},
            },
        };
        let version = diagnose::explained(&client, &scope, result).await?;
        for stale in preflight::running_others(&client, &asking, &manifests, &NAMESPACES).await? {
            self.host.events.warn(stale);
        }
        Ok(version)
    }

    /// Only Argo CD reads a Git repository.
    fn check_source(&self) -> Result<()> {
        if self.delivery != Delivery::Direct || self.host.config.gitops.source != ChartSource::Git {
            return Ok(());
        }
        Err(Error::usage(
            "Helm delivers here, and it takes the chart from this checkout, not from Git",
            "let Argo CD deliver: argocd = true under [components] in platen.toml; or leave out source = \"git\" and --source git",
        ))
    }

    /// What `deploy` asks for.
    pub async fn carry_out(mut self, what: &Deploy, image: &Reference, tell: &Step) -> Result<Outcome> {
        let context = self.context.clone();
        if what.is_direct() {
            self.delivery = Delivery::Direct;
        } else if !matches!(what, Deploy::Back) {
            self.check_source()?;
        }
        match what {
            Deploy::DryRun { set, .. } => {
                let done = match self.rehearse(image, set.as_ref()).await? {
                    Some(why) => format!("would deploy to {context}: {why}"),
                    None => format!("would do nothing: {context} has it already"),
                };
                Ok(Outcome { done, version: gitops::version(&self.host)? })
            }
            Deploy::Chart { set, .. } => {
                let version = self.deploy(image, set.clone(), tell).await?;
                let direct = self.delivery == Delivery::Direct;
                if direct && set.is_some() {
                    self.host.events.note(UNTIL_NEXT);
                }
                let by = if direct { "Helm" } else { "Argo CD" };
                Ok(Outcome { done: format!("{context} serves {image}, by {by}"), version })
            }
            Deploy::Back => {
                let done = format!("{context} serves again what it served before");
                Ok(Outcome { done, version: self.roll_back(image, tell).await? })
            }
        }
    }

    /// Stops before the cluster is touched where an image would not start on a node. Returns how images were asked for, and
    /// the rendered manifests.
    async fn preflight(
        &self,
        helm: &Helm,
        client: &kube::Client,
        image: &Reference,
        upgrade: &Upgrade,
    ) -> Result<(Asking, String)> {
        let manifests = helm.template(&upgrade.release, &upgrade.chart, &upgrade.values).await?;
        let given = self.secrets().login(image)?;
        Ok((self.compare(client, image, given.as_ref(), &manifests).await?, manifests))
    }

    /// Why a deploy would change something; `None` where it would not.
    async fn rehearse(&self, image: &Reference, set: Option<&Value>) -> Result<Option<String>> {
        let helm = self.helm(tools::ensure(&self.host, Tool::Helm).await?);
        let client = client(&self.context).await?;
        let upgrade = self.upgrade(image, &client, set).await?;
        self.delivery.check(&upgrade.values)?;
        self.preflight(&helm, &client, image, &upgrade).await?;
        self.differs(&self.brought(&helm, &client, &upgrade, set.cloned())).await
    }

    /// Why what is there is not what would be delivered.
    async fn differs(&self, chart: &Brought<'_>) -> Result<Option<String>> {
        if let Some(why) = self.delivery.lacks(chart).await? {
            return Ok(Some(why));
        }
        let changed = changed(chart.client, &chart.upgrade.values).await?;
        Ok((!changed.is_empty()).then(|| format!("changed since it was installed: {}", changed.join(", "))))
    }

    fn brought<'a>(
        &'a self,
        helm: &'a Helm,
        client: &'a kube::Client,
        upgrade: &'a Upgrade,
        set: Option<Value>,
    ) -> Brought<'a> {
        Brought { host: &self.host, helm, client, upgrade, set }
    }

    /// By the API server's word and through the doors: what helm has applied is still on its way.
    async fn wait(&self, client: &kube::Client, values: &Value) -> Result<()> {
        for door in doors::unready(&self.doors).await? {
            for pod in spread::onto(client, &door.node).await? {
                self.host.events.note(format!("{pod} makes room for one on {}", door.node));
            }
        }
        self.until_ready(client, Some(values)).await
    }

    /// `values`: what the chart was given, where that is known.
    pub(super) async fn until_ready(&self, client: &kube::Client, values: Option<&Value>) -> Result<()> {
        crate::wait::until(READY_WITHIN, "cargo xtask status", || async {
            let changed = match values {
                Some(values) => changed(client, values).await?,
                None => Vec::new(),
            };
            let unready = [changed, self.unready(client).await?].concat();
            if unready.is_empty() {
                return Ok(crate::wait::Seen::Ready(()));
            }
            Ok(crate::wait::Seen::Awaiting(unready.join(", ")))
        })
        .await
    }

    /// What [`Apps::uninstall`] would remove, a phrase each.
    pub async fn remains(&self) -> Result<Vec<String>> {
        let helm = self.helm(tools::ensure(&self.host, Tool::Helm).await?);
        let mut remains = Vec::new();
        let client = client(&self.context).await?;
        let by_argocd = matches!(gitops::application(&client).await?, Owned::There(_));
        if by_argocd || helm.status(&release()).await?.is_some() {
            remains.push(format!("the OCR service in {}", self.context));
        }
        remains.extend(GitOps::remains(&client).await?);
        remains.extend(ClusterSecrets::there(&client).await?.iter().map(ToString::to_string));
        Ok(remains)
    }

    /// Removes the release, the Jobs that it made, and the Secrets that it was given; the namespaces and what others
    /// put into them stay, and so do the experiments' claims, whose images and results are the users'.
    pub async fn uninstall(&self) -> Result<()> {
        let helm = self.helm(tools::ensure(&self.host, Tool::Helm).await?);
        let client = client(&self.context).await?;
        GitOps::uninstall(&client, READY_WITHIN).await?;
        helm.uninstall(&release(), READY_WITHIN).await?;
        ClusterSecrets::remove(&client).await?;
        let [namespace, _] = NAMESPACES;
        let experiments = ListParams::default().labels(EXPERIMENTS);
        let jobs = Api::<Job>::namespaced(client.clone(), namespace);
        let removed = jobs.delete_collection(&DeleteParams::background(), &experiments).await;
        removed.doing("removing the experiments' Jobs")?;
        let claims = Api::<PersistentVolumeClaim>::namespaced(client, namespace);
        let claims = claims.list(&ListParams::default().labels(KEPT)).await;
        let kept = claims.doing("listing the experiments' claims")?.items;
        let names: Vec<String> = kept.into_iter().filter_map(|claim| claim.metadata.name).collect();
        if !names.is_empty() {
            self.host.events.note(format!(
                "kept, with what is in them: {}; remove them, the database's password and the volumes: \
                 kubectl --context {} -n {namespace} delete pvc,secret,pv -l '{KEPT}'",
                names.join(", "),
                self.context,
            ));
        }
        Ok(())
    }

    pub(super) fn secrets(&self) -> ClusterSecrets<'_> {
        ClusterSecrets { host: &self.host, context: &self.context }
    }

    pub(super) fn helm(&self, program: PathBuf) -> Helm {
        Helm::of_cluster(&self.host, program, &self.context)
    }

    /// By own nodes where no node is without a gateway.
    async fn entry(&self, client: &kube::Client) -> Result<Entry> {
        let nodes = Api::<Node>::all(client.clone()).list_metadata(&ListParams::default()).await;
        if nodes.doing("counting the nodes")?.items.len() > usize::from(self.parts.entries()) {
            return Ok(Entry::AnyNode);
        }
        Ok(Entry::OwnNode { inside_too: prefers_same_node(client).await? })
    }

    async fn upgrade(
        &self,
        image: &Reference,
        client: &kube::Client,
        set: Option<&Value>,
    ) -> Result<Upgrade> {
        let pull_secret = self.secrets().to_pull(image, client).await?;
        let values = self.parts.values(image, pull_secret, self.entry(client).await?);
        let values = operator::watched(client, values).await?;
        let values = gitops::set::over(values, self.secrets().of_env()?.values);
        Ok(Upgrade {
            release: release(),
            chart: Chart::Path(self.host.root.join(gitops::CHART)),
            values: set.map_or(values.clone(), |set| gitops::set::over(values, set.clone())),
            restore: false,
            adopt: false,
            timeout: READY_WITHIN,
        })
    }
}

/// Deployments that are not there, or were scaled by somebody.
async fn changed(client: &kube::Client, values: &Value) -> Result<Vec<String>> {
    let mut changed = Vec::new();
    for Wanted { namespace, name, replicas: wanted } in deployments(values) {
        let api = Api::<Deployment>::namespaced(client.clone(), namespace);
        let found = api.get_opt(name).await.doing(format!("looking at the deployment {name}"))?;
        match found.map(|found| found.spec.replicas.unwrap_or(1)) {
            None => changed.push(format!("{name} is gone")),
            Some(replicas) => {
                let other = wanted.filter(|wanted| i32::from(*wanted) != replicas);
                changed.extend(
                    other.map(|wanted| format!("{name} has {replicas} replicas instead of {wanted}")),
                );
            }
        }
    }
    Ok(changed)
}

/// Whether the cluster knows `trafficDistribution: PreferSameNode`; an older API server refuses it.
async fn prefers_same_node(client: &kube::Client) -> Result<bool> {
    let version = client.apiserver_version().await.doing("asking for the cluster's version")?;
    // Some providers put a plus behind it.
    let minor = version.minor.trim_end_matches('+').parse::<u32>().unwrap_or_default();
    Ok(version.major != "1" || minor >= KNOWS_SAME_NODE)
}
