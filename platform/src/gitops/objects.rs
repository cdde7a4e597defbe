//! Argo CD's objects on a cluster: what is wanted of them, what is there, and how one becomes the other.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::state::{Seen, State, api, includes, is_absent, same_source};
use super::{APPLICATION, NAMESPACE};
use crate::error::{Doing, Error, Result};
use crate::manifests::{self, FIELD_MANAGER, Params, Source};
use crate::wait;

const PROJECT: &str = "platen";
/// The Secret by which Argo CD knows the repository.
const REPOSITORY: &str = "platen-charts";
/// Written into the Application: values that `deploy --set` laid over the configuration's.
const SET: &str = "platen.dev/set";
/// Asks Argo CD to look at once; it takes the annotation away. What had no valid source it would else pass over for a while,
/// also after it was corrected.
const REFRESH: &str = "argocd.argoproj.io/refresh";
/// What a Helm release's records are found by.
const RELEASE: &str = "owner=helm,name=ocr";
const TRIES: usize = 6;

/// Where Argo CD reads the chart from, and how it is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub source: Source,
    /// A user and a token, for what is private.
    pub login: Option<(String, String)>,
    /// Whether a registry speaks plain HTTP, as Platen's does inside a cluster's network.
    pub plain_http: bool,
}

impl Repository {
    /// The chart at this version in a registry, as pods reach it.
    pub fn registry(registry: &str, version: &str) -> Self {
        let source = Source {
            repo_url: format!("oci://{registry}/{}", super::CHART),
            path: ".".into(),
            revision: version.into(),
        };
        Self { source, login: None, plain_http: true }
    }

    fn is_oci(&self) -> bool {
        self.source.repo_url.starts_with("oci://")
    }

    fn secret(&self) -> Value {
        let mut data = json!({"url": self.source.repo_url});
        if self.is_oci() {
            data["type"] = json!("oci");
            if self.plain_http {
                data["insecureOCIForceHttp"] = json!("true");
            }
        } else {
            data["type"] = json!("git");
        }
        if let Some((user, token)) = &self.login {
            data["username"] = json!(user);
            data["password"] = json!(token);
        }
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": REPOSITORY,
                "namespace": NAMESPACE,
                "labels": {
                    "argocd.argoproj.io/secret-type": "repository",
                    "app.kubernetes.io/managed-by": "platen",
                },
            },
            "stringData": data,
        })
    }
}

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
    params: Params,
    repository: Repository,
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

    /// Makes all objects what they are to be. A Helm release of the same objects ends as a record only: one owner.
    pub async fn apply(&self) -> Result<()> {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), NAMESPACE);
        let force = PatchParams::apply(FIELD_MANAGER).force();
        let applied = secrets.patch(REPOSITORY, &force, &Patch::Apply(self.repository.secret())).await;
        applied.map_err(|error| without_argocd(error, "telling Argo CD of the chart's repository"))?;
        let project = only(manifests::projects(&self.params)?)?;
        let applied = api(&self.client, "AppProject").patch(PROJECT, &force, &Patch::Apply(&project)).await;
        applied.map_err(|error| without_argocd(error, "making the AppProject"))?;
        self.put(&self.application()?).await?;
        Self::forget_release(&self.client, &self.params.namespace).await
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

    /// What was there before the newest deploy, made the wanted one again. Returns its revision.
    pub async fn back(client: &kube::Client) -> Result<Value> {
        let Owned::There(found) = application(client).await? else { return Err(not_there()) };
        let seen = Seen::of(&found)?;
        let now = &found.data["spec"]["source"];
        let before = seen.history.iter().rev().find(|it| !same_source(&it.source, now));
        before.map(|it| it.source.clone()).ok_or_else(|| {
            Error::unhealthy(
                "nothing else was deployed before what is deployed now",
                "deploy what you want instead: cargo xtask deploy",
            )
        })
    }

    /// Points at a source that was there before.
    pub async fn point(client: &kube::Client, source: &Value) -> Result<()> {
        let changed = replace(client, |found| {
            found.data["spec"]["source"] = source.clone();
            // What was set is in that source, or was not set then.
            found.metadata.annotations.get_or_insert_default().remove(SET);
            Ok(())
        });
        if changed.await? { Ok(()) } else { Err(not_there()) }
    }

    /// Values that an earlier deploy laid over the configuration's.
    pub async fn set_before(client: &kube::Client) -> Result<Option<Value>> {
        let Owned::There(found) = application(client).await? else { return Ok(None) };
        let text = found.metadata.annotations.as_ref().and_then(|all| all.get(SET));
        Ok(text.and_then(|text| serde_json::from_str(text).ok()))
    }

    /// Lets the objects be, for another owner: the Application goes alone. False where there was none.
    pub async fn release(client: &kube::Client) -> Result<bool> {
        if matches!(application(client).await?, Owned::Absent) {
            return Ok(false);
        }
        let patch = json!({"metadata": {"finalizers": null}});
        let patched = api(client, "Application")
            .patch(APPLICATION, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.doing("taking the service over from Argo CD")?;
        Self::delete(client).await?;
        Ok(true)
    }

    /// Removes the Application with all that it made, and waits until that is gone; there may be none.
    pub async fn uninstall(client: &kube::Client, within: Duration) -> Result<()> {
        Self::delete(client).await?;
        let hint = format!("kubectl -n {NAMESPACE} describe application {APPLICATION}");
        wait::until(within, &hint, || async {
            Ok(match application(client).await? {
                Owned::Absent => wait::Seen::Ready(()),
                Owned::There(_) => wait::Seen::Awaiting(format!("Argo CD to remove what {APPLICATION} made")),
            })
        })
        .await
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

/// Our Application on this cluster.
pub async fn application(client: &kube::Client) -> Result<Owned> {
    match api(client, "Application").get(APPLICATION).await {
        Ok(found) => Ok(Owned::There(Box::new(found))),
        // So too where Argo CD's definitions are not there.
        Err(kube::Error::Api(gone)) if is_absent(client, gone.code).await? => Ok(Owned::Absent),
        Err(error) => Err(error).doing("looking at the Application"),
    }
}

fn only<T: Serialize>(objects: Vec<T>) -> Result<Value> {
    let broken = |why: &str| Error::malformed("a template of argocd/", why, "restore it from git");
    let first = objects.into_iter().next().ok_or_else(|| broken("it makes nothing"))?;
    serde_json::to_value(first).map_err(|error| broken(&error.to_string()))
}

/// Its namespace or its definitions are missing, or something else failed in `doing`.
fn without_argocd(error: kube::Error, doing: &str) -> Error {
    match error {
        kube::Error::Api(refused) if refused.code == 404 => Error::unhealthy(
            format!("the cluster has no Argo CD: {}", refused.message),
            "install it: cargo xtask up; or do without: argocd = false under [components] in platen.toml",
        ),
        error => Error::Kube { doing: doing.into(), source: Box::new(error) },
    }
}

fn not_there() -> Error {
    Error::unhealthy("Argo CD has no Application of ours", "make it: cargo xtask deploy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_told_as_oci_over_plain_http_and_a_login_stays_in_the_secret() {
        let repository = Repository::registry("platen-registry:5000", "0.1.0-c1");
        let secret = repository.secret();
        let secure = Repository { plain_http: false, ..repository }.secret();
        assert_eq!(secure["stringData"].get("insecureOCIForceHttp"), None);
        assert_eq!(secret["stringData"]["url"], "oci://platen-registry:5000/charts/ocr-app");
        assert_eq!(secret["stringData"]["insecureOCIForceHttp"], "true");
        let source = Source {
            repo_url: "https://git.example/me/ocr.git".into(),
            path: super::super::CHART.into(),
            revision: "main".into(),
        };
        let private =
            Repository { source, login: Some(("me".into(), "secret".into())), plain_http: false }.secret();
        assert_eq!(private["stringData"]["type"], "git");
        assert_eq!(private["stringData"]["password"], "secret");
        assert_eq!(private["stringData"]["insecureOCIForceHttp"], Value::Null);
    }

    #[test]
    fn a_missing_namespace_or_definition_is_told_as_a_missing_argo_cd() {
        let answered = |code| {
            let status = kube::core::Status::failure("namespaces \"argocd\" not found", "NotFound");
            without_argocd(kube::Error::Api(status.with_code(code).boxed()), "telling it")
        };
        let missing = answered(404);
        assert!(missing.to_string().contains("has no Argo CD"), "{missing}");
        assert!(missing.hint().unwrap().contains("argocd = false"), "{missing:?}");
        assert!(answered(403).to_string().starts_with("telling it"));
    }

    #[test]
    fn a_value_that_was_added_behind_our_back_makes_another_source() {
        let wanted = json!({"targetRevision": "1", "helm": {"valuesObject": {"a": 1}}});
        assert!(same_source(&wanted, &wanted));
        let other = json!({"targetRevision": "1", "helm": {"valuesObject": {"a": 1, "b": 2}}});
        assert!(!same_source(&other, &wanted));
    }
}
