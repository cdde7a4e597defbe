//! Who brings the chart into the cluster and owns its objects there: Helm from this machine, or Argo CD.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;
use serde_json::Value;

use super::apps::NAMESPACES;
use super::parts::{Wanted, deployments};
use super::source::{self, Chosen, Compared, FromGit};
use crate::diagnose::Scope;
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::gitops::{self, GitOps, Login, Owned, Repository, State};
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
                 --from-literal=root-password=WORD; then deploy with --set mariadb.existingSecret=ocr-mariadb-login --set experiments.sqlite=false too"
            ),
        ))
    }

    /// Why the chart has to be brought there; `None` where it is there as it would be brought now.
    pub async fn lacks(&self, chart: &Brought<'_>) -> Result<Option<String>> {
        let Brought { host, helm, client, upgrade, set } = chart;
        gitops::refuse_sets(client).await?;
        let Self::Argocd { pull, foreign, .. } = self else {
            if matches!(gitops::application(client).await?, Owned::There(_)) {
                return Ok(Some("it is Argo CD's, and is to be Helm's".into()));
            }
            let why = "the release is not there, or not as it would be made now";
            return Ok((!helm.is_current(upgrade).await?).then(|| why.into()));
        };
        let gitops = |repository: Repository| {
            GitOps::new((*client).clone(), repository, upgrade.values.clone(), set.clone())
        };
        let (gitops, git) = match source::choose(host, there(client).await?.as_ref()).await? {
            Chosen::Git(git) => (gitops(git.repository.clone()), Some(git)),
            Chosen::Registry(_) => (gitops(registry(host, pull, &gitops::version(host)?, *foreign)?), None),
        };
        if let Some(why) = gitops.lacks().await? {
            return Ok(Some(why));
        }
        Ok(match (gitops.state().await?, git) {
            (State::Awaiting(what), _) => Some(format!("Argo CD is not done: waiting for {what}")),
            (State::Stuck(trouble), _) => Some(trouble.sentence),
            (State::Done, None) => None,
            (State::Done, Some(git)) => match git.compare(host, &gitops.synced().await?).await? {
                Compared::Other(error) => Some(error.to_string()),
                Compared::Same | Compared::Unknown(_) => None,
            },
        })
    }

    /// Where Argo CD reads charts that go by the registry; `None` where Helm delivers.
    pub fn registry(&self, host: &Host) -> Result<Option<Repository>> {
        let Self::Argocd { pull, foreign, .. } = self else { return Ok(None) };
        registry(host, pull, "", *foreign).map(Some)
    }

    /// Brings it there, and for Argo CD waits until all of its conditions say so. Returns the version that serves.
    pub async fn deliver(&self, chart: &Brought<'_>, tell: &Step) -> Result<String> {
        let Brought { host, helm, client, upgrade, set } = chart;
        if let Some(unseen) = gitops::refuse_sets(client).await? {
            host.events.warn(unseen);
        }
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
            helm.upgrade_install(&upgrade).await?;
            return gitops::version(host);
        };
        let why = match source::choose(host, there(client).await?.as_ref()).await? {
            Chosen::Registry(why) => why,
            Chosen::Git(git) => match from_git(chart, &git, tell).await {
                Ok(version) => return Ok(version),
                Err(FromGitFailed { error, before_any_change: true }) if !git.asked_for => {
                    Some(error.to_string())
                }
                Err(FromGitFailed { error, .. }) => return Err(error),
            },
        };
        if let Some(why) = why {
            host.events.note(format!("the chart goes by the registry, and not by Git: {}", one_line(&why)));
        }
        tell.message("pushing the chart");
        let pushed = gitops::push(host, &Registries::new(host)?, push).await?;
        let repository = registry(host, pull, &pushed.version, *foreign)?;
        let gitops = GitOps::new((*client).clone(), repository, upgrade.values.clone(), set.clone());
        gitops.apply().await?;
        gitops.wait(&Scope::ours(&NAMESPACES), SYNCED_WITHIN, tell).await?;
        Ok(pushed.version)
    }
}

/// What went wrong, and whether the cluster is as before.
struct FromGitFailed {
    error: Error,
    before_any_change: bool,
}

/// Points Argo CD at the checkout's remote, where it reaches that, and waits. Returns the version that serves.
async fn from_git(
    chart: &Brought<'_>,
    git: &FromGit,
    tell: &Step,
) -> std::result::Result<String, FromGitFailed> {
    let Brought { host, client, upgrade, set, .. } = chart;
    let gitops = GitOps::new((*client).clone(), git.repository.clone(), upgrade.values.clone(), set.clone());
    git.warn(&host.events);
    tell.message(format!("asking Argo CD whether it reaches {}", git.repository.source.repo_url));
    let reached = git.ensure_reached(host, &gitops).await;
    reached.map_err(|error| FromGitFailed { error, before_any_change: true })?;
    git.tell(&host.events);
    let synced = async {
        gitops.apply().await?;
        gitops.wait(&Scope::ours(&NAMESPACES), SYNCED_WITHIN, tell).await?;
        let synced = gitops.synced().await?;
        match git.compare(host, &synced).await? {
            Compared::Same => {}
            Compared::Unknown(what) => host.events.warn(what),
            Compared::Other(error) => return Err(error),
        }
        Ok(git.version(&synced))
    };
    synced.await.map_err(|error| FromGitFailed { error, before_any_change: false })
}

/// What the Application that is there reads the chart from.
async fn there(client: &kube::Client) -> Result<Option<Value>> {
    Ok(match gitops::application(client).await? {
        Owned::Absent => None,
        Owned::There(found) => Some(found.data["spec"]["source"].clone()),
    })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where Argo CD reads the chart. A registry that is not Platen's own is reached as this machine reaches it.
fn registry(host: &Host, pull: &str, version: &str, foreign: bool) -> Result<Repository> {
    let repository = Repository::registry(pull, version);
    if !foreign {
        return Ok(repository);
    }
    let server = pull.split('/').next().unwrap_or(pull);
    let login = Registries::new(host)?.keyring().find(server)?;
    Ok(Repository {
        login: login.map(|it| Login { user: it.user, token: it.password }),
        plain_http: is_loopback(server) || host.config.images.insecure.iter().any(|it| it == server),
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
