//! Who brings the chart into the cluster and owns its objects there: Helm from this machine, or Argo CD.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;
use serde_json::Value;

use super::apps::NAMESPACES;
use super::parts::{Wanted, deployments};
use crate::diagnose::Scope;
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::gitops::{self, GitOps, Owned, Repository, State};
use crate::helm::{Helm, Revision, Status, Upgrade};
use crate::host::Host;
use crate::registry::{Registries, is_loopback};

/// Argo CD looks at an Application at once; pods start within seconds once their image is there.
const SYNCED_WITHIN: Duration = Duration::from_mins(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    Direct,
    /// The chart is pushed to one address of a registry and read by the pods from another.
    Argocd {
        push: String,
        pull: String,
        /// Whether the registry is not Platen's own: then it may want HTTPS and a login.
        foreign: bool,
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
    /// Refuses values of which every render would make something else.
    pub fn check(&self, values: &Value) -> Result<()> {
        let mariadb = &values["mariadb"];
        let named = mariadb["existingSecret"].as_str().is_some_and(|name| !name.is_empty());
        if *self == Self::Direct || mariadb["enabled"] != true || named {
            return Ok(());
        }
        let [namespace, _] = NAMESPACES;
        Err(Error::usage(
            "Argo CD renders the chart without looking into the cluster, so that MariaDB would get new passwords each \
             time: its Secret must be there before",
            format!(
                "make it: kubectl -n {namespace} create secret generic ocr-mariadb-login --from-literal=password=WORD \
                 --from-literal=root-password=WORD; then deploy with --set mariadb.existingSecret=ocr-mariadb-login too"
            ),
        ))
    }

    /// Why the chart has to be brought there; `None` where it is there as it would be brought now.
    pub async fn lacks(&self, chart: &Brought<'_>) -> Result<Option<String>> {
        let Brought { host, helm, client, upgrade, set } = chart;
        let Self::Argocd { pull, foreign, .. } = self else {
            if matches!(gitops::application(client).await?, Owned::There(_)) {
                return Ok(Some("it is Argo CD's, and is to be Helm's".into()));
            }
            let why = "the release is not there, or not as it would be made now";
            return Ok((!helm.is_current(upgrade).await?).then(|| why.into()));
        };
        let repository = repository(host, pull, &gitops::version(host)?, *foreign)?;
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
        let Self::Argocd { push, pull, foreign } = self else {
            let released = GitOps::release(client).await?;
            tell.message("applying the chart");
            let history = helm.settled_history(&upgrade.release, upgrade.timeout).await?;
            let claim = Claim::of(&history, released, are_ours(client, &upgrade.values).await?);
            if history.last().is_some_and(|it| it.status == Status::Deployed) {
                let before = helm.values(&upgrade.release).await?;
                if let Some(what) = ended(&before, &upgrade.values) {
                    host.events.note(what);
                }
            }
            if claim.forget {
                GitOps::forget_release(client, &upgrade.release.namespace).await?;
            }
            let upgrade = Upgrade { adopt: claim.adopt, ..(*upgrade).clone() };
            return helm.upgrade_install(&upgrade).await.map(drop);
        };
        tell.message("pushing the chart");
        let pushed = gitops::push(host, &Registries::new(host)?, push).await?;
        let repository = repository(host, pull, &pushed.version, *foreign)?;
        let gitops = GitOps::new((*client).clone(), repository, upgrade.values.clone(), set.clone());
        gitops.apply().await?;
        gitops.wait(&Scope::ours(&NAMESPACES), SYNCED_WITHIN, tell).await
    }
}

/// Where Argo CD reads the chart. A registry that is not Platen's own is reached as this machine reaches it.
fn repository(host: &Host, pull: &str, version: &str, foreign: bool) -> Result<Repository> {
    let repository = Repository::registry(pull, version);
    if !foreign {
        return Ok(repository);
    }
    let registry = pull.split('/').next().unwrap_or(pull);
    let login = Registries::new(host)?.keyring().find(registry)?;
    Ok(Repository {
        login: login.map(|it| (it.user.clone(), it.password.clone())),
        plain_http: is_loopback(registry) || host.config.images.insecure.iter().any(|it| it == registry),
        ..repository
    })
}

/// How Helm comes to own what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    /// The objects are another owner's, or nobody's.
    adopt: bool,
    /// The release's record tells of less than what serves: it goes, and they stay.
    forget: bool,
}

impl Claim {
    /// `released`: Argo CD had them until now. `ours`: they are there, and Platen's. An earlier run that was cut off after
    /// Argo CD let go of them leaves them so.
    fn of(history: &[Revision], released: bool, ours: bool) -> Self {
        let owned = history.iter().any(|it| matches!(it.status, Status::Deployed | Status::Uninstalling));
        let adopt = released || (ours && !owned);
        Self { adopt, forget: adopt && history.last().is_some_and(|it| it.status.half_there()) }
    }
}

/// Tells of values that a release had and is not to have any more: `deploy --set` by Helm is remembered nowhere. Each
/// image is another, and its change no surprise.
fn ended(before: &Value, now: &Value) -> Option<String> {
    let mut keys = gitops::set::lost(before, now);
    keys.retain(|key| !key.is_empty() && !key.starts_with("image."));
    (!keys.is_empty()).then(|| {
        let keys = keys.join(", ");
        format!(
            "by Helm, what an earlier `deploy` set is not remembered; not as in the release before: {keys}"
        )
    })
}

/// Whether there are deployments of the chart, and none by their names is somebody else's.
async fn are_ours(client: &kube::Client, values: &Value) -> Result<bool> {
    let mut ours = Vec::new();
    for Wanted { namespace, name, .. } in deployments(values) {
        let api = Api::<Deployment>::namespaced(client.clone(), namespace);
        let found = api.get_metadata_opt(name).await.doing(format!("looking at the deployment {name}"))?;
        let part_of = |labels: &std::collections::BTreeMap<String, String>| {
            labels.get("app.kubernetes.io/part-of").is_some_and(|whole| whole == "platen")
        };
        ours.extend(found.map(|found| found.metadata.labels.as_ref().is_some_and(part_of)));
    }
    Ok(!ours.is_empty() && ours.into_iter().all(|ours| ours))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn history(states: &[Status]) -> Vec<Revision> {
        let revision = |(at, status): (u32, &Status)| Revision {
            revision: at,
            status: *status,
            chart: "ocr-app-0.1.0".into(),
            app_version: String::new(),
            description: String::new(),
        };
        (1..).zip(states).map(revision).collect()
    }

    fn claim(states: &[Status], released: bool, ours: bool) -> (bool, bool) {
        let Claim { adopt, forget } = Claim::of(&history(states), released, ours);
        (adopt, forget)
    }

    #[test]
    fn what_argo_cd_let_go_of_is_adopted_also_by_the_next_run() {
        assert_eq!(claim(&[], true, true), (true, false));
        assert_eq!(claim(&[], false, true), (true, false), "cut off before helm began");
        assert_eq!(claim(&[Status::PendingInstall], false, true), (true, true), "helm was killed in it");
        assert_eq!(claim(&[Status::Failed], false, true), (true, false));
    }

    #[test]
    fn what_a_release_owns_or_somebody_else_is_not_adopted() {
        assert_eq!(claim(&[], false, false), (false, false));
        assert_eq!(claim(&[Status::Deployed, Status::PendingUpgrade], false, true), (false, false));
        assert_eq!(claim(&[Status::Uninstalling], false, true), (false, false), "its removal goes on");
        assert_eq!(claim(&[Status::PendingInstall], false, false), (false, false), "it serves nothing yet");
    }

    #[test]
    fn a_setting_that_ends_is_told_and_a_new_image_is_not() {
        let now = json!({"image": {"tag": "2"}, "model": {"replicas": 2}});
        let set = json!({"image": {"tag": "1"}, "model": {"replicas": 3}, "log": {"filter": "debug"}});
        let told = ended(&set, &now).unwrap();
        assert!(told.ends_with(": log.filter, model.replicas"), "{told}");
        assert_eq!(ended(&json!({"image": {"tag": "1"}, "model": {"replicas": 2}}), &now), None);
        assert_eq!(ended(&Value::Null, &now), None);
    }

    #[test]
    fn argo_cd_gets_no_database_whose_password_each_render_would_change() {
        let argocd =
            Delivery::Argocd { push: "127.0.0.1:5000".into(), pull: "r:5000".into(), foreign: false };
        let bare = json!({"mariadb": {"enabled": true}});
        let error = argocd.check(&bare).unwrap_err();
        assert!(error.hint().unwrap().contains("mariadb.existingSecret="), "{error:?}");
        assert!(argocd.check(&json!({"mariadb": {"enabled": true, "existingSecret": ""}})).is_err());
        argocd.check(&json!({"mariadb": {"enabled": true, "existingSecret": "login"}})).unwrap();
        argocd.check(&json!({})).unwrap();
        Delivery::Direct.check(&bare).unwrap();
    }
}
