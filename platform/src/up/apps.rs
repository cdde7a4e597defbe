//! The last steps of every Kubernetes provider: the service's image in the registry, the chart installed and ready.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim};
use kube::api::{Api, DeleteParams, ListParams};

use super::parts::{Entry, Parts, Wanted};
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

/// The Jobs that the experiments' service makes.
const EXPERIMENTS: &str = "app.kubernetes.io/part-of=platen,app.kubernetes.io/component=experiment";
/// The chart's claims.
const CLAIMS: &str = "app.kubernetes.io/part-of=platen,app.kubernetes.io/component=experiments";
/// Kubernetes 1.35 is the first in which `PreferSameNode` needs no feature gate.
const KNOWS_SAME_NODE: u32 = 35;

fn release() -> Release {
    Release::new("ocr", NAMESPACES[0])
}

/// The chart in one cluster.
pub struct Apps {
    host: Host,
    context: String,
    /// Doors behind which the gateway must answer.
    doors: Vec<Endpoint>,
    parts: Parts,
}

impl Apps {
    pub fn new(host: &Host, context: String, doors: Vec<Endpoint>, parts: Parts) -> Self {
        Self { host: host.clone(), context, doors, parts }
    }

    pub fn to_install(why: impl Into<String>) -> Action {
        Action::new(StepId::Apps, "install the OCR service by its chart", why, 30)
    }

    /// What is missing; `None` where the cluster cannot be asked yet.
    pub async fn missing(&self, image: &Reference) -> Result<Option<Action>> {
        let install = |why: String| Some(Self::to_install(why));
        let Some(program) = tools::find(&self.host, Tool::Helm).await? else {
            return Ok(install("it is not installed".into()));
        };
        let helm = self.helm(program);
        let client = client(&self.context).await?;
        let entry = self.entry(&client).await?;
        let login = self.login(image)?;
        if !helm.is_current(&self.upgrade(image, login.as_ref(), entry)).await? {
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
        for Wanted { namespace, name, replicas: wanted } in self.parts.deployments() {
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
        let login = self.login(image)?;
        let upgrade = self.upgrade(image, login.as_ref(), self.entry(&client).await?);
        let manifests = preflight(&helm, &client, &registries, &upgrade).await?;
        manifests::apply_namespaces(&client, &manifests::Params::default()).await?;
        if let Some(login) = &login {
            self.give(&client, login).await?;
        }
        let work = async {
            let restore = !self.changed(&client).await?.is_empty();
            helm.upgrade_install(&Upgrade { restore, ..upgrade }).await?;
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

    /// Copies the login into the cluster, and says so: whoever may read Secrets there can read it.
    async fn give(&self, client: &kube::Client, login: &Credentials) -> Result<()> {
        let given = pull_secret::apply(client, login, &NAMESPACES).await?;
        let (name, context) = (pull_secret::NAME, &self.context);
        if !given.made.is_empty() {
            self.host.events.note(format!(
                "this machine's login of {} at {} is now in {context}, as the Secret {name} in {}: its nodes pull with \
                 it, and `cargo xtask down` removes it",
                login.user,
                login.server,
                given.made.join(" and "),
            ));
        }
        if !given.left.is_empty() {
            self.host.events.note(format!(
                "the Secret {name} in {} of {context} is not Platen's: it is used as it is",
                given.left.join(" and "),
            ));
        }
        Ok(())
    }

    /// What nodes need to pull the image; registries on loopback want nothing.
    fn login(&self, image: &Reference) -> Result<Option<Credentials>> {
        if is_loopback(image.registry()) {
            return Ok(None);
        }
        Registries::new(&self.host)?.keyring().find(image.registry())
    }

    /// By the API server's word and through the doors: what helm has applied is still on its way.
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

    /// What [`Apps::uninstall`] would remove, a phrase each.
    pub async fn remains(&self) -> Result<Vec<String>> {
        let helm = self.helm(tools::ensure(&self.host, Tool::Helm).await?);
        let mut remains = Vec::new();
        if helm.status(&release()).await?.is_some() {
            remains.push(format!("the OCR service in {}", self.context));
        }
        for namespace in pull_secret::namespaces(&client(&self.context).await?, &NAMESPACES).await? {
            remains.push(format!("the Secret {} in {namespace}", pull_secret::NAME));
        }
        Ok(remains)
    }

    /// Removes the release, the Jobs that it made, and the login that nodes pulled with; the namespaces and what others
    /// put into them stay, and so do the experiments' claims, whose images and results are the users'.
    pub async fn uninstall(&self) -> Result<()> {
        let helm = self.helm(tools::ensure(&self.host, Tool::Helm).await?);
        helm.uninstall(&release(), READY_WITHIN).await?;
        let client = client(&self.context).await?;
        pull_secret::remove(&client, &NAMESPACES).await?;
        let [namespace, _] = NAMESPACES;
        let experiments = ListParams::default().labels(EXPERIMENTS);
        let jobs = Api::<Job>::namespaced(client.clone(), namespace);
        let removed = jobs.delete_collection(&DeleteParams::background(), &experiments).await;
        removed.doing("removing the experiments' Jobs")?;
        let claims = Api::<PersistentVolumeClaim>::namespaced(client, namespace);
        let claims = claims.list(&ListParams::default().labels(CLAIMS)).await;
        let kept = claims.doing("listing the experiments' claims")?.items;
        let names: Vec<String> = kept.into_iter().filter_map(|claim| claim.metadata.name).collect();
        if !names.is_empty() {
            self.host.events.note(format!(
                "kept, with the images and results in them: {}; remove them: kubectl --context {} -n {namespace} delete pvc -l {CLAIMS}",
                names.join(", "),
                self.context,
            ));
        }
        Ok(())
    }

    fn helm(&self, program: PathBuf) -> Helm {
        let target = Target { kubeconfig: None, context: self.context.clone() };
        let lock = format!("{}.helm", self.host.config.cluster.profile);
        let lock = self.host.state_dir().join("locks").join(lock);
        Helm::new(self.host.processes.clone(), program, target, lock, self.host.events.clone())
    }

    /// By own nodes where no node is without a gateway.
    async fn entry(&self, client: &kube::Client) -> Result<Entry> {
        let nodes = Api::<Node>::all(client.clone()).list_metadata(&ListParams::default()).await;
        if nodes.doing("counting the nodes")?.items.len() > usize::from(self.parts.entries()) {
            return Ok(Entry::AnyNode);
        }
        Ok(Entry::OwnNode { inside_too: prefers_same_node(client).await? })
    }

    fn upgrade(&self, image: &Reference, login: Option<&Credentials>, entry: Entry) -> Upgrade {
        let pull_secret = login.map(|_| pull_secret::NAME);
        Upgrade {
            release: release(),
            chart: Chart::Path(self.host.root.join("charts/ocr-app")),
            values: self.parts.values(image, pull_secret, entry),
            restore: false,
            timeout: READY_WITHIN,
        }
    }
}

/// Whether the cluster knows `trafficDistribution: PreferSameNode`; an older API server refuses it.
async fn prefers_same_node(client: &kube::Client) -> Result<bool> {
    let version = client.apiserver_version().await.doing("asking for the cluster's version")?;
    // Some providers put a plus behind it.
    let minor = version.minor.trim_end_matches('+').parse::<u32>().unwrap_or_default();
    Ok(version.major != "1" || minor >= KNOWS_SAME_NODE)
}

/// Stops before the cluster is touched where an image would not start on a node. Returns the rendered manifests.
async fn preflight(
    helm: &Helm,
    client: &kube::Client,
    registries: &Registries,
    upgrade: &Upgrade,
) -> Result<String> {
    let manifests = helm.template(&upgrade.release, &upgrade.chart, &upgrade.values).await?;
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let nodes: Vec<NodeFacts> = nodes.doing("listing the nodes")?.items.iter().map(NodeFacts::of).collect();
    preflight::check(registries, &manifests, &nodes).await?;
    Ok(manifests)
}
