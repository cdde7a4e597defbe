//! Argo CD's objects on a cluster: what is wanted of them, what is there, and how one becomes the other.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::probe::forget_interrupted;
use super::repository::{Repository, is_from_git, places};
use super::state::{Seen, State, api, includes, is_absent, same_source};
use super::{APPLICATION, NAMESPACE};
use crate::cluster::secrets;
use crate::error::{Doing, Error, Result, if_allowed};
use crate::manifests::{self, FIELD_MANAGER, Params};
use crate::wait;

/// Written into the Application: values that `deploy --set` laid over the configuration's.
const SET: &str = "platen.dev/set";
/// Asks Argo CD to look at once, also for new commits of a branch; it takes the annotation away when it has. What had no valid
/// source it would else pass over for a while, also after it was corrected.
pub(super) const REFRESH: &str = "argocd.argoproj.io/refresh";
/// What a Helm release's records are found by.
const RELEASE: &str = "owner=helm,name=ocr";
const TRIES: usize = 6;

/// What is there of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Owned {
    /// No Argo CD, or no Application of ours.
    Absent,
    There(Box<DynamicObject>),
}

/// The service in one cluster, as Argo CD is to keep it.
pub struct GitOps {
    pub(super) client: kube::Client,
    pub(super) params: Params,
    pub(super) repository: Repository,
    set: Option<Value>,
}

impl GitOps {
    /// `set`: values laid over `values` already, to be remembered by the next run.
    pub fn new(client: kube::Client, repository: Repository, values: Value, set: Option<Value>) -> Self {
        let params = Params { source: repository.source.clone(), values, ..Params::default() };
        Self { client, params, repository, set }
    }

    /// What the Application's source is to be.
    pub(super) fn wanted(&self) -> Result<Value> {
        Ok(self.application()?["spec"]["source"].clone())
    }

    fn application(&self) -> Result<Value> {
        let mut application = only(manifests::applications(&self.params)?)?;
        if let Some(set) = &self.set {
            application["metadata"]["annotations"][SET] = json!(set.to_string());
        }
        Ok(application)
    }

    /// Why it has to be applied; `None` where it is there as wanted.
    pub async fn lacks(&self) -> Result<Option<String>> {
        let Owned::There(found) = application(&self.client).await? else {
            return Ok(Some("Argo CD has no Application of it".into()));
        };
        let wanted = self.application()?;
        let same = same_source(&found.data["spec"]["source"], &wanted["spec"]["source"])
            && includes(&found.data["spec"], &wanted["spec"]);
        Ok((!same).then(|| "the Application is not as it would be made now".into()))
    }

    /// What Argo CD says of it now.
    pub async fn state(&self) -> Result<State> {
        match application(&self.client).await? {
            Owned::Absent => Ok(State::Awaiting(format!("the Application {APPLICATION} to be made"))),
            Owned::There(found) => Ok(Seen::of(&found)?.judge(APPLICATION, &self.wanted()?)),
        }
    }

    /// What it synced last: a commit, or the digest of an artifact.
    pub async fn synced(&self) -> Result<String> {
        let Owned::There(found) = application(&self.client).await? else { return Err(not_there()) };
        Ok(Seen::of(&found)?.sync.revision)
    }

    /// Makes all objects what they are to be. A Helm release of the same objects ends as a record only: one owner.
    pub async fn apply(&self) -> Result<()> {
        self.permit().await?;
        self.put(&self.application()?).await?;
        self.repository.withdraw_others(&self.client).await?;
        forget_interrupted(&self.client).await?;
        Self::forget_release(&self.client, &self.params.namespace).await
    }

    /// Lets Argo CD into the repository, and its Applications read that one and no other.
    pub(super) async fn permit(&self) -> Result<()> {
        self.repository.give(&self.client).await.map_err(without_argocd)?;
        let project = only(manifests::projects(&self.params)?)?;
        let force = PatchParams::apply(FIELD_MANAGER).force();
        let projects = api(&self.client, "AppProject");
        let applied = projects.patch(&self.params.project, &force, &Patch::Apply(&project)).await;
        applied.map(drop).doing("making the AppProject").map_err(without_argocd)
    }

    /// Ends the Helm release as a record only: its objects stay as they are, for another owner.
    pub async fn forget_release(client: &kube::Client, namespace: &str) -> Result<()> {
        let release = ListParams::default().labels(RELEASE);
        let records = Api::<Secret>::namespaced(client.clone(), namespace);
        let removed = records.delete_collection(&DeleteParams::default(), &release).await;
        removed.map(drop).doing("taking the service over from its Helm release")
    }

    async fn put(&self, wanted: &Value) -> Result<()> {
        let changed = replace(&self.client, |found| {
            found.data["spec"] = wanted["spec"].clone();
            let annotations = found.metadata.annotations.get_or_insert_default();
            annotations.remove(SET);
            annotations.extend(self.set.iter().map(|set| (SET.to_owned(), set.to_string())));
            found.metadata.labels = serde_json::from_value(wanted["metadata"]["labels"].clone()).ok();
            let failed = Seen::of(found)?.operation_state.is_some_and(|it| it.phase != "Succeeded");
            if failed && found.data.get("operation").is_none() {
                // Argo CD does not try what has failed once again by itself.
                found.data["operation"] = json!({"initiatedBy": {"username": FIELD_MANAGER},
                    "sync": {"revision": self.params.source.revision, "prune": true}});
            }
            Ok(())
        });
        if changed.await? {
            return Ok(());
        }
        let object: DynamicObject = serde_json::from_value(wanted.clone())
            .map_err(|error| Error::malformed("the Application", error, "run: cargo xtask render"))?;
        let created = api(&self.client, "Application").create(&PostParams::default(), &object).await;
        created.map(drop).doing("making the Application")
    }

    /// Has Argo CD compare an Application at once, whatever it says of it now.
    pub async fn look_again(client: &kube::Client, name: &str) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {REFRESH: "normal"}}});
        let patched =
            api(client, "Application").patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        patched.map(drop).doing("having Argo CD look once more")
    }

    /// Has Argo CD sync once, by which it takes over what another Application made.
    pub(super) async fn take_over(client: &kube::Client) -> Result<()> {
        let operation =
            json!({"operation": {"initiatedBy": {"username": FIELD_MANAGER}, "sync": {"prune": true}}});
        let applications = api(client, "Application");
        let patched =
            applications.patch(APPLICATION, &PatchParams::default(), &Patch::Merge(&operation)).await;
        patched.map(drop).doing("having Argo CD take the service over")
    }

    /// The source of what was there before the newest deploy. Of a branch the commit: the branch is elsewhere now.
    pub async fn before(client: &kube::Client) -> Result<Value> {
        let Owned::There(found) = application(client).await? else { return Err(not_there()) };
        let seen = Seen::of(&found)?;
        let now = pinned(&found.data["spec"]["source"], &seen.sync.revision);
        let mut before = seen.history.iter().rev().map(|it| pinned(&it.source, &it.revision));
        before.find(|source| !same_source(source, &now)).ok_or_else(|| {
            Error::unhealthy(
                "nothing else was deployed before what is deployed now",
                "deploy what you want instead: cargo xtask deploy",
            )
        })
    }

    /// Points at a source that was there before, in this one's repository.
    pub async fn point(&self, source: &Value) -> Result<()> {
        self.permit().await?;
        let changed = replace(&self.client, |found| {
            found.data["spec"]["source"] = source.clone();
            // What was set is in that source, or was not set then.
            found.metadata.annotations.get_or_insert_default().remove(SET);
            Ok(())
        });
        if !changed.await? {
            return Err(not_there());
        }
        self.repository.withdraw_others(&self.client).await
    }

    /// Values that an earlier deploy laid over the configuration's.
    pub async fn set_before(client: &kube::Client) -> Result<Option<Value>> {
        let Owned::There(found) = application(client).await? else { return Ok(None) };
        let text = found.metadata.annotations.as_ref().and_then(|all| all.get(SET));
        Ok(text.and_then(|text| serde_json::from_str(text).ok()))
    }

    /// Lets the objects be, for another owner: the Application goes alone. False where there was none.
    pub async fn release(client: &kube::Client) -> Result<bool> {
        forget_interrupted(client).await?;
        if matches!(application(client).await?, Owned::Absent) {
            return Ok(false);
        }
        let patch = json!({"metadata": {"finalizers": null}});
        let patched = api(client, "Application")
            .patch(APPLICATION, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.doing("taking the service over from Argo CD")?;
        Self::delete(client).await?;
        remove_project(client).await?;
        secrets::remove(client, &places()).await?;
        Ok(true)
    }

    /// Removes the Application with all that it made, and waits until that is gone; there may be none.
    pub async fn uninstall(client: &kube::Client, within: Duration) -> Result<()> {
        forget_interrupted(client).await?;
        Self::delete(client).await?;
        let hint = format!("kubectl -n {NAMESPACE} describe application {APPLICATION}");
        wait::until(within, &hint, || async {
            Ok(match application(client).await? {
                Owned::Absent => wait::Seen::Ready(()),
                Owned::There(_) => wait::Seen::Awaiting(format!("Argo CD to remove what {APPLICATION} made")),
            })
        })
        .await?;
        remove_project(client).await?;
        secrets::remove(client, &places()).await.map(drop)
    }

    /// What [`GitOps::uninstall`] would remove beside the Application, a phrase each.
    pub async fn remains(client: &kube::Client) -> Result<Vec<String>> {
        let project = own_project(client).await?;
        let mut remains: Vec<String> =
            project.into_iter().map(|name| format!("the AppProject {name} in {NAMESPACE}")).collect();
        remains.extend(secrets::ours(client, &places()).await?.iter().map(ToString::to_string));
        Ok(remains)
    }

    async fn delete(client: &kube::Client) -> Result<()> {
        match api(client, "Application").delete(APPLICATION, &DeleteParams::default()).await {
            Err(kube::Error::Api(gone)) if is_absent(client, gone.code).await? => Ok(()),
            deleted => deleted.map(drop).doing("removing the Application"),
        }
    }
}

/// Changes our Application, as a whole: what a patch leaves out would stay. False where there is none.
async fn replace(client: &kube::Client, change: impl Fn(&mut DynamicObject) -> Result<()>) -> Result<bool> {
    for _ in 0..TRIES {
        let Owned::There(mut found) = application(client).await? else { return Ok(false) };
        change(&mut found)?;
        found.metadata.annotations.get_or_insert_default().insert(REFRESH.into(), "normal".into());
        match api(client, "Application").replace(APPLICATION, &PostParams::default(), &found).await {
            // Its controller writes the status in the meantime.
            Err(kube::Error::Api(refused)) if refused.code == 409 => {}
            replaced => return replaced.map(|_| true).doing("pointing Argo CD at the chart"),
        }
    }
    Err(Error::unhealthy(
        format!("the Application {APPLICATION} changes all the time: somebody else writes it too"),
        format!(
            "see who: kubectl -n {NAMESPACE} get application {APPLICATION} -o yaml --show-managed-fields"
        ),
    ))
}

/// The name of our AppProject, where it is there; somebody else's of that name is not.
async fn own_project(client: &kube::Client) -> Result<Option<String>> {
    let name = manifests::Params::default().project;
    // Who may not see one has made none.
    let found =
        if_allowed(api(client, "AppProject").get_opt(&name).await.doing("looking at the AppProject"))?;
    Ok(found.flatten().is_some_and(|found| secrets::is_ours(&found.metadata)).then_some(name))
}

async fn remove_project(client: &kube::Client) -> Result<()> {
    let Some(name) = own_project(client).await? else { return Ok(()) };
    let removed = api(client, "AppProject").delete(&name, &DeleteParams::default()).await;
    removed.map(drop).doing("removing the AppProject")
}

/// Our Application on this cluster.
pub async fn application(client: &kube::Client) -> Result<Owned> {
    match api(client, "Application").get(APPLICATION).await {
        Ok(found) => Ok(Owned::There(Box::new(found))),
        // So too where Argo CD's definitions are not there.
        Err(kube::Error::Api(gone)) if is_absent(client, gone.code).await? => Ok(Owned::Absent),
        Err(error) => Err(error).doing("looking at the Application"),
    }
}

pub(super) fn only<T: Serialize>(objects: Vec<T>) -> Result<Value> {
    let broken = |why: &str| Error::malformed("a template of argocd/", why, "restore it from git");
    let first = objects.into_iter().next().ok_or_else(|| broken("it makes nothing"))?;
    serde_json::to_value(first).map_err(|error| broken(&error.to_string()))
}

/// Of a branch, the commit itself.
fn pinned(source: &Value, revision: &str) -> Value {
    let mut source = source.clone();
    if is_from_git(&source) && !revision.is_empty() {
        source["targetRevision"] = json!(revision);
    }
    source
}

/// Its namespace or its definitions are missing: what is wanted then is Argo CD itself.
pub(super) fn without_argocd(error: Error) -> Error {
    match error {
        Error::Kube { source, doing } => match *source {
            kube::Error::Api(refused) if refused.code == 404 => Error::unhealthy(
                format!("the cluster has no Argo CD: {}", refused.message),
                "install it: cargo xtask up; or do without: argocd = false under [components] in platen.toml",
            ),
            source => Error::Kube { doing, source: Box::new(source) },
        },
        error => error,
    }
}

fn not_there() -> Error {
    Error::unhealthy("Argo CD has no Application of ours", "make it: cargo xtask deploy")
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
