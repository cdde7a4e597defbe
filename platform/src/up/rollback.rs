//! Back to what was deployed before what is deployed now, by whoever delivers it.

use serde_json::Value;

use super::apps::{Apps, NAMESPACES, READY_WITHIN, release};
use super::source::repository_of;
use crate::cluster::client::client;
use crate::diagnose::{self, Scope};
use crate::error::{Error, Result};
use crate::event::Step;
use crate::gitops::{self, GitOps, Owned};
use crate::helm::{Chart, Revision, before};
use crate::registry::Reference;
use crate::tools::{self, Tool};

impl Apps {
    /// Returns the version that serves again. What its images lack is told before anything changes; `image`: what is built
    /// of this checkout.
    pub async fn roll_back(&self, image: &Reference, tell: &Step) -> Result<String> {
        let client = client(&self.context).await?;
        let scope = Scope::ours(&NAMESPACES);
        if let Some(unseen) = gitops::refuse_sets(&client).await? {
            self.host.events.warn(unseen);
        }
        let rolled_back = match gitops::application(&client).await? {
            Owned::There(_) => self.by_argocd(&client, image, &scope, tell).await,
            Owned::Absent => tokio::select! {
                rolled_back = self.by_helm(&client, image, tell) => rolled_back,
                never = diagnose::heartbeat(&client, &scope, tell) => match never {},
            },
        };
        diagnose::explained(&client, &scope, rolled_back).await
    }

    async fn by_argocd(
        &self,
        client: &kube::Client,
        image: &Reference,
        scope: &Scope<'_>,
        tell: &Step,
    ) -> Result<String> {
        let Some(registry) = self.delivery.registry(&self.host)? else {
            return Err(Error::usage(
                format!("Argo CD delivers the service to {}, and is not to: argocd = false", self.context),
                "let Helm take it over: cargo xtask deploy; or set argocd = true under [components] in platen.toml",
            ));
        };
        let source = GitOps::before(client).await?;
        self.compare_if_possible(client, image, self.rendered_of(&source).await).await?;
        let repository = repository_of(&self.host, &source, registry).await?;
        GitOps::new(client.clone(), repository, Value::Null, None).point(&source).await?;
        GitOps::wait_for(client, &source, scope, READY_WITHIN, tell).await?;
        let revision = source["targetRevision"].as_str().unwrap_or_default();
        Ok(gitops::revision(&source, revision))
    }

    /// The chart of that source lies elsewhere; which images it takes is in its values, and this checkout's chart tells them.
    async fn rendered_of(&self, source: &Value) -> Result<String> {
        let helm = self.helm(tools::ensure(&self.host, Tool::Helm).await?);
        let chart = Chart::Path(self.host.root.join(gitops::CHART));
        helm.template(&release(), &chart, &source["helm"]["valuesObject"]).await
    }

    async fn by_helm(&self, client: &kube::Client, image: &Reference, tell: &Step) -> Result<String> {
        let helm = self.helm(tools::ensure(&self.host, Tool::Helm).await?);
        let release = release();
        let history = helm.settled_history(&release, READY_WITHIN).await?;
        let Some(Revision { revision, chart, .. }) = before(&history) else {
            return Err(Error::unhealthy(
                format!("Helm remembers nothing else of the service in {}", self.context),
                "deploy what you want instead: cargo xtask deploy",
            ));
        };
        tell.message("comparing the images with the nodes");
        self.compare_if_possible(client, image, helm.manifest(&release, *revision).await).await?;
        tell.message(format!("going back to revision {revision} of the {release}"));
        helm.roll_back(&release, *revision, READY_WITHIN).await?;
        self.host
            .events
            .note("by Helm, the next `cargo xtask up` or `deploy` brings this checkout's chart again");
        // Its values are helm's: what they want of the replicas is not known here.
        self.until_ready(client, None).await?;
        // Helm tells the chart's name and version in one word.
        let version = chart.trim_start_matches(|c: char| !c.is_ascii_digit());
        Ok(format!("{version}, revision {revision}"))
    }
}
