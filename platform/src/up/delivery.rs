//! Who brings the chart into the cluster and owns its objects there: Helm from this machine, or Argo CD.

use std::time::Duration;

use serde_json::Value;

use super::apps::NAMESPACES;
use crate::diagnose::Scope;
use crate::error::Result;
use crate::event::Step;
use crate::gitops::{self, GitOps, Owned, Repository, State};
use crate::helm::{Helm, Upgrade};
use crate::host::Host;
use crate::registry::Registries;

/// Argo CD looks at an Application at once; pods start within seconds once their image is there.
const SYNCED_WITHIN: Duration = Duration::from_mins(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    Direct,
    /// The chart is pushed to one address of a registry and read by the pods from another.
    Argocd {
        push: String,
        pull: String,
    },
}

/// The chart with its values, and with what it is brought.
pub struct Brought<'a> {
    pub host: &'a Host,
    pub helm: &'a Helm,
    pub client: &'a kube::Client,
    pub upgrade: &'a Upgrade,
    /// Those of the values that `deploy --set` gave: Argo CD's Application remembers them.
    pub set: Option<Value>,
}

impl Delivery {
    /// Why the chart has to be brought there; `None` where it is there as it would be brought now.
    pub async fn lacks(&self, chart: &Brought<'_>) -> Result<Option<String>> {
        let Brought { host, helm, client, upgrade, set } = chart;
        let Self::Argocd { pull, .. } = self else {
            if matches!(gitops::application(client).await?, Owned::There(_)) {
                return Ok(Some("it is Argo CD's, and is to be Helm's".into()));
            }
            let why = "the release is not there, or not as it would be made now";
            return Ok((!helm.is_current(upgrade).await?).then(|| why.into()));
        };
        let repository = Repository::registry(pull, &gitops::version(host)?);
        let gitops = GitOps::new((*client).clone(), repository, upgrade.values.clone(), set.clone());
        if let Some(why) = gitops.lacks().await? {
            return Ok(Some(why));
        }
        Ok(match gitops.state().await? {
            State::Done => None,
            State::Awaiting(what) => Some(format!("Argo CD is not done: waiting for {what}")),
            State::Stuck(trouble) => Some(trouble.sentence),
        })
    }

    /// Brings it there, and for Argo CD waits until all of its conditions say so.
    pub async fn deliver(&self, chart: &Brought<'_>, tell: &Step) -> Result<()> {
        let Brought { host, helm, client, upgrade, set } = chart;
        let Self::Argocd { push, pull } = self else {
            let adopt = GitOps::release(client).await?;
            tell.message("applying the chart");
            let upgrade = Upgrade { adopt, ..(*upgrade).clone() };
            return helm.upgrade_install(&upgrade).await.map(drop);
        };
        tell.message("pushing the chart");
        let pushed = gitops::push(host, &Registries::new(host)?, push).await?;
        let repository = Repository::registry(pull, &pushed.version);
        let gitops = GitOps::new((*client).clone(), repository, upgrade.values.clone(), set.clone());
        gitops.apply().await?;
        gitops.wait(&Scope::ours(&NAMESPACES), SYNCED_WITHIN, tell).await
    }
}
