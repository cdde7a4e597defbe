//! What every provider answers: what is missing, how each step is done, what runs, and how it is removed.

use super::choose::Target;
use super::deploy::{Deploy, Outcome};
use super::embedded_provider::EmbeddedProvider;
use super::existing_provider::ExistingProvider;
use super::kind_provider::KindProvider;
use super::minikube_provider::MinikubeProvider;
use super::plan::{Action, StepId};
use crate::cluster::Endpoint;
use crate::cluster::client::client;
use crate::cluster::consoles::{self, Console};
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::room::Needs;
use crate::status::StatusReport;

#[async_trait::async_trait]
pub trait Provider: Send + Sync {
    /// What is missing, from the world as it is now.
    async fn missing(&self) -> Result<Vec<Action>>;

    /// Does one step; what is there already is left alone.
    async fn apply(&self, step: StepId, tell: &Step) -> Result<()>;

    /// What the machine must have free before any of this is begun.
    fn needs(&self, plan: &[Action]) -> Option<Needs>;

    /// Doors to the gateway on this machine, by node.
    fn endpoints(&self) -> Vec<Endpoint>;

    /// The kubeconfig context of its cluster, where it is one.
    fn context(&self) -> Option<String> {
        None
    }

    /// Where the frontend's page is, if it runs.
    fn page(&self) -> Option<String> {
        None
    }

    /// Where Prometheus answers on this machine, if there is one.
    async fn prometheus(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// The pages of what runs beside the service, on ports that this process keeps open.
    async fn consoles(&self) -> Result<Vec<Console>> {
        let Some(context) = self.context() else {
            let prometheus = self.prometheus().await?;
            let console = |url| Console { name: "Prometheus", url, login: None };
            return Ok(prometheus.map(console).into_iter().collect());
        };
        consoles::open(&client(&context).await?).await
    }

    /// Deploys the service anew, or as it was before.
    async fn deploy(&self, _what: &Deploy, _tell: &Step) -> Result<Outcome> {
        Err(Error::machine(
            "what runs here is no cluster: a chart is deployed to Kubernetes only",
            "make one beside it: cargo xtask --profile NAME up --provider kind",
        ))
    }

    /// Lets a cluster that is not as asked for be deleted and made anew.
    fn recreate(&mut self) -> Result<()> {
        Err(Error::usage(
            "only a cluster of kind or minikube is made anew",
            "leave --recreate out, or name one: --provider kind",
        ))
    }

    async fn status(&self) -> Result<StatusReport>;

    /// What is there of it, a phrase each; empty where nothing is.
    async fn remains(&self) -> Result<Vec<String>>;

    /// Whether anything of it is there, or may be where that cannot be asked now.
    async fn may_remain(&self) -> Result<bool> {
        Ok(!self.remains().await?.is_empty())
    }

    /// Stops what runs; data and images stay.
    async fn stop(&self) -> Result<()>;

    /// Removes it; afterwards nothing remains.
    async fn remove(&self) -> Result<()>;
}

/// The provider for a choice.
pub fn provider(host: &Host, target: &Target) -> Result<Box<dyn Provider>> {
    match target {
        Target::Embedded => Ok(Box::new(EmbeddedProvider::new(host)?)),
        Target::Kind { images } => Ok(Box::new(KindProvider::new(host, *images)?)),
        Target::Existing { context } => Ok(Box::new(ExistingProvider::new(host, context))),
        Target::Minikube { images } => Ok(Box::new(MinikubeProvider::new(host, *images)?)),
    }
}
