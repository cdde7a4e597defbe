//! What every provider answers: what is missing, how each step is done, what runs, and how it is removed.

use super::choose::Target;
use super::deploy::{Deploy, Outcome};
use super::embedded_provider::EmbeddedProvider;
use super::existing_provider::ExistingProvider;
use super::kind_provider::KindProvider;
use super::plan::{Action, StepId};
use crate::cluster::Endpoint;
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

    /// Deploys the service anew, or as it was before.
    async fn deploy(&self, _what: &Deploy, _tell: &Step) -> Result<Outcome> {
        Err(Error::machine(
            "what runs here is no cluster: a chart is deployed to Kubernetes only",
            "make one beside it: cargo xtask --profile NAME up --provider kind",
        ))
    }

    async fn status(&self) -> Result<StatusReport>;

    /// What is there of it, a phrase each; empty where nothing is.
    async fn remains(&self) -> Result<Vec<String>>;

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
        Target::Minikube => Err(Error::usage(
            "the provider minikube is not there yet",
            "use --provider kind, or start minikube yourself and use --provider existing --context NAME",
        )),
    }
}
