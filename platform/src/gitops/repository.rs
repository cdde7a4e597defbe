//! Where Argo CD reads the chart from, and the Secrets by which it knows that and is let in.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use serde_json::Value;

use super::NAMESPACE;
use super::remote::Login;
use crate::cluster::secrets::{self, Place};
use crate::error::{Doing, Result};
use crate::manifests::Source;

/// The Secret of the registry.
const REGISTRY: Place = Place { namespace: NAMESPACE, name: "platen-charts" };
/// The Secret of a Git repository that wants a login. Apart from the registry's: while one source takes the other's place
/// Argo CD needs both.
const GIT: Place = Place { namespace: NAMESPACE, name: "platen-git" };
/// The Secret of a probe: what is refused must not take the place of the login that is in use.
const PROBE: Place = Place { namespace: NAMESPACE, name: "platen-git-probe" };

/// Where Argo CD reads the chart from, and how it is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub source: Source,
    /// For what is private.
    pub login: Option<Login>,
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

    /// The Secret that Argo CD needs for it; a public Git repository needs none.
    fn secret(&self) -> Option<(Place, Secret)> {
        let url = &self.source.repo_url;
        let mut data = BTreeMap::from([("url", url.as_str())]);
        let place = if is_git(url) {
            self.login.as_ref()?;
            data.insert("type", "git");
            GIT
        } else {
            data.insert("type", "oci");
            if self.plain_http {
                data.insert("insecureOCIForceHttp", "true");
            }
            REGISTRY
        };
        if let Some(Login { user, token }) = &self.login {
            data.extend([("username", user.as_str()), ("password", token.as_str())]);
        }
        let bytes = |(key, value): (&str, &str)| (key.to_owned(), ByteString(value.as_bytes().to_vec()));
        // Not as `stringData`: what is applied no more would stay in the data.
        let mut secret = Secret { data: Some(data.into_iter().map(bytes).collect()), ..Secret::default() };
        secret.metadata.labels =
            Some([("argocd.argoproj.io/secret-type".into(), "repository".into())].into());
        Some((place, secret))
    }

    /// Gives Argo CD what it needs for it. One of the same name that is somebody else's is used as it is.
    pub(super) async fn give(&self, client: &kube::Client) -> Result<()> {
        match self.secret() {
            Some((place, secret)) => secrets::apply(client, &secret, &[place]).await.map(drop),
            None => Ok(()),
        }
    }

    /// Gives Argo CD the login for Applications of this AppProject alone. A Secret of the user's own is used as it is there.
    pub(super) async fn give_to_probe(&self, client: &kube::Client, project: &str) -> Result<()> {
        let Some((place, mut secret)) = self.secret() else { return Ok(()) };
        if secrets::is_others(client, &place).await? {
            return Ok(());
        }
        // Argo CD takes an AppProject's own Secret of an address before the one of all.
        let project = ByteString(project.as_bytes().to_vec());
        secret.data.get_or_insert_default().insert("project".into(), project);
        secrets::apply(client, &secret, &[PROBE]).await.map(drop)
    }

    /// Removes what Argo CD has for others, a login among them. This machine may not have the login that it was given for
    /// this repository.
    pub(super) async fn withdraw_others(&self, client: &kube::Client) -> Result<()> {
        let url = &self.source.repo_url;
        let own = if is_git(url) { GIT } else { REGISTRY };
        let keep = self.secret().is_some() || is_for(client, &own, url).await?;
        let others: Vec<Place> = places().into_iter().filter(|place| !keep || *place != own).collect();
        secrets::remove(client, &others).await.map(drop)
    }
}

/// Removes the login that a probe was given.
pub(super) async fn withdraw_from_probe(client: &kube::Client) -> Result<()> {
    secrets::remove(client, &[PROBE]).await.map(drop)
}

/// Whether the Secret there is for this address.
async fn is_for(client: &kube::Client, place: &Place, url: &str) -> Result<bool> {
    let secrets = Api::<Secret>::namespaced(client.clone(), place.namespace);
    let found = secrets.get_opt(place.name).await.doing(format!("looking at the Secret {}", place.name))?;
    let data = found.and_then(|secret| secret.data).unwrap_or_default();
    Ok(data.get("url").is_some_and(|it| it.0 == url.as_bytes()))
}

/// Every Secret of Argo CD's that may be Platen's.
pub fn places() -> [Place; 3] {
    [REGISTRY, GIT, PROBE]
}

/// Whether the address of a source is a Git repository's.
pub(super) fn is_git(url: &str) -> bool {
    !url.starts_with("oci://")
}

/// Whether an Application's source is a Git repository.
pub fn is_from_git(source: &Value) -> bool {
    source["repoURL"].as_str().is_some_and(is_git)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(repository: &Repository) -> (&'static str, BTreeMap<String, String>) {
        let (place, secret) = repository.secret().unwrap();
        let labels = secret.metadata.labels.unwrap();
        assert_eq!(labels["argocd.argoproj.io/secret-type"], "repository");
        let text = |(key, value): (String, ByteString)| (key, String::from_utf8(value.0).unwrap());
        (place.name, secret.data.unwrap().into_iter().map(text).collect())
    }

    fn git(login: Option<Login>) -> Repository {
        let source = Source {
            repo_url: "https://git.example/me/ocr.git".into(),
            path: super::super::CHART.into(),
            revision: "main".into(),
        };
        Repository { source, login, plain_http: false }
    }

    #[test]
    fn a_registry_is_told_as_oci_over_plain_http_where_it_speaks_that() {
        let repository = Repository::registry("platen-registry:5000", "0.1.0-c1");
        let (name, data) = texts(&repository);
        assert_eq!((name, data["type"].as_str()), ("platen-charts", "oci"));
        assert_eq!(data["url"], "oci://platen-registry:5000/charts/ocr-app");
        assert_eq!(data["insecureOCIForceHttp"], "true");
        let (_, secure) = texts(&Repository { plain_http: false, ..repository });
        assert_eq!(secure.get("insecureOCIForceHttp"), None);
    }

    #[test]
    fn a_git_repository_has_a_secret_only_for_its_login() {
        assert!(git(None).secret().is_none());
        let private = git(Some(Login { user: "me".into(), token: "hunter2".into() }));
        let (name, data) = texts(&private);
        assert_eq!((name, data["type"].as_str()), ("platen-git", "git"));
        assert_eq!((data["username"].as_str(), data["password"].as_str()), ("me", "hunter2"));
        assert_eq!(data.get("insecureOCIForceHttp"), None);
        assert!(!format!("{private:?}").contains("hunter2"));
    }
}
