//! What this machine has of logins and settings, as Secrets of a cluster: what nodes pull with, and what roles read.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;

use super::apps::NAMESPACES;
use super::env_secrets::{self, EnvSecrets};
use crate::cluster::secrets::{self, Given, Place};
use crate::error::Result;
use crate::host::Host;
use crate::images::preflight::Workload;
use crate::images::pull_secret;
use crate::registry::{Credentials, Reference, Registries, is_loopback};
use crate::variables::variables;

/// The Secrets of one cluster.
pub struct ClusterSecrets<'a> {
    pub host: &'a Host,
    pub context: &'a str,
}

impl ClusterSecrets<'_> {
    /// Copies what this machine has of logins and settings into the cluster, and says so: whoever may read Secrets there
    /// can read it.
    pub async fn give(&self, client: &kube::Client, image: &Reference) -> Result<()> {
        if let Some(login) = self.login(image)? {
            let what = format!("this machine's login of {} at {}", login.user, login.server);
            let secret = pull_secret::secret(&login)?;
            let given = secrets::apply(client, &secret, &pull_secrets()).await?;
            self.tell_given(&given, &what, pull_secret::NAME);
        }
        let of_env = self.of_env()?;
        for place in secrets::remove(client, &of_env.unset).await? {
            self.host.events.note(format!(
                "neither .env nor the environment says anything for {place} any more: it is removed",
            ));
        }
        for (place, secret) in of_env.secrets {
            let names: Vec<&str> = secret.data.iter().flat_map(BTreeMap::keys).map(String::as_str).collect();
            let what = format!("what .env or the environment says of {}", names.join(", "));
            let given = secrets::apply(client, &secret, &[place]).await?;
            self.tell_given(&given, &what, place.name);
        }
        Ok(())
    }

    fn tell_given(&self, given: &Given, what: &str, name: &str) {
        let context = self.context;
        if !given.made.is_empty() {
            self.host.events.note(format!(
                "{what} is now in {context}, as the Secret {name} in {}; `cargo xtask down` removes it",
                given.made.join(" and "),
            ));
        }
        if !given.left.is_empty() {
            self.host.events.note(format!(
                "the Secret {name} in {} of {context} is not Platen's: it is used as it is",
                given.left.join(" and "),
            ));
        }
    }

    /// What `.env` and the environment say to the roles.
    pub fn of_env(&self) -> Result<EnvSecrets> {
        Ok(EnvSecrets::of(variables(self.host)?))
    }

    /// The Secret that nodes pull with, where there is one or is to be one: a login given once stays, and one of somebody
    /// else's is used as it is.
    pub async fn to_pull(&self, image: &Reference, client: &kube::Client) -> Result<Option<&'static str>> {
        if is_loopback(image.registry()) {
            return Ok(None);
        }
        let is_there = self.login(image)?.is_some() || is_there(client).await?;
        Ok(is_there.then_some(pull_secret::NAME))
    }

    /// The logins that nodes have by the Secrets that these pods name, as far as this account may read them. `given`: this
    /// machine's own, where [`ClusterSecrets::give`] is to follow.
    pub async fn of_nodes(
        &self,
        workloads: &[Workload],
        given: Option<&Credentials>,
        client: &kube::Client,
    ) -> Result<Vec<Credentials>> {
        let mut logins = Vec::new();
        for (namespace, name) in named(workloads) {
            let there = secrets::read(client, namespace, name).await?;
            let is_ours = pull_secrets().iter().any(|it| (it.namespace, it.name) == (namespace, name));
            for login in held(there.as_ref(), given.filter(|_| is_ours)) {
                if !logins.contains(&login) {
                    logins.push(login);
                }
            }
        }
        Ok(logins)
    }

    /// What nodes need to pull the image; registries on loopback want nothing.
    pub fn login(&self, image: &Reference) -> Result<Option<Credentials>> {
        if is_loopback(image.registry()) {
            return Ok(None);
        }
        Registries::new(self.host)?.keyring().find(image.registry())
    }

    /// Those that are there and Platen's.
    pub async fn there(client: &kube::Client) -> Result<Vec<Place>> {
        secrets::ours(client, &all()).await
    }

    pub async fn remove(client: &kube::Client) -> Result<()> {
        secrets::remove(client, &all()).await.map(drop)
    }
}

/// Whether nodes have a Secret to pull with, whosever it is.
async fn is_there(client: &kube::Client) -> Result<bool> {
    for place in pull_secrets() {
        if secrets::read(client, place.namespace, place.name).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The Secrets that pods name, by namespace and name.
fn named(workloads: &[Workload]) -> BTreeSet<(&str, &str)> {
    let mut named = BTreeSet::new();
    for workload in workloads {
        let namespace = workload.namespace.as_deref().unwrap_or(NAMESPACES[0]);
        named.extend(workload.pull_secrets.iter().map(|name| (namespace, name.as_str())));
    }
    named
}

/// The logins in a place: of what is there, unless that is Platen's and written anew.
fn held(there: Option<&Secret>, own: Option<&Credentials>) -> Vec<Credentials> {
    match (there, own) {
        (Some(there), None) => pull_secret::logins(there),
        (Some(there), Some(_)) if !secrets::is_ours(&there.metadata) => pull_secret::logins(there),
        (_, own) => own.cloned().into_iter().collect(),
    }
}

/// Where nodes look for a login.
fn pull_secrets() -> [Place; 2] {
    NAMESPACES.map(|namespace| Place { namespace, name: pull_secret::NAME })
}

/// Every Secret that may be Platen's.
fn all() -> Vec<Place> {
    [&pull_secrets()[..], &env_secrets::places()].concat()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Request;
    use axum::http::StatusCode;
    use serde_json::json;

    use super::*;

    fn login(user: &str) -> Credentials {
        Credentials::new("r.example", user.into(), "secret".into(), None)
    }

    #[test]
    fn nodes_have_what_is_in_the_secret_and_this_machines_login_only_where_it_is_written_there() {
        let (own, before) = (login("own"), login("before"));
        let theirs = pull_secret::secret(&before).unwrap();
        let mut ours = theirs.clone();
        let labels = [("app.kubernetes.io/managed-by".to_owned(), "platen".to_owned())];
        ours.metadata.labels = Some(labels.into());
        assert_eq!(held(None, None), []);
        let only = std::slice::from_ref;
        assert_eq!(held(None, Some(&own)), only(&own));
        assert_eq!(held(Some(&ours), Some(&own)), only(&own));
        assert_eq!(held(Some(&ours), None), only(&before), "a login given once stays");
        assert_eq!(held(Some(&theirs), Some(&own)), only(&before), "it is not written over");
    }

    /// An API server with this Secret under these names, each a namespace and a name; in `closed` none may be read.
    fn cluster(there: &'static [(&'static str, &'static str)], secret: &Secret) -> kube::Client {
        let secret = serde_json::to_value(secret).unwrap();
        let answer = move |request: Request| {
            let path: Vec<&str> = request.uri().path().split('/').collect();
            let (code, reason) = match (path[4], path[6]) {
                ("closed", _) => (403, "Forbidden"),
                found if there.contains(&found) => (200, ""),
                _ => (404, "NotFound"),
            };
            let failure = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
                                 "code": code, "message": reason});
            let body = if code == 200 { secret.clone() } else { failure };
            async move { (StatusCode::from_u16(code).unwrap(), axum::Json(body)) }
        };
        kube::Client::new(Router::new().fallback(answer), "default")
    }

    #[tokio::test]
    async fn nodes_have_the_logins_of_the_secrets_that_their_pods_name() {
        let (own, theirs) = (login("own"), login("theirs"));
        let client = cluster(&[("ocr", "theirs")], &pull_secret::secret(&theirs).unwrap());
        let host = Host::bare("/nowhere");
        let secrets = ClusterSecrets { host: &host, context: "mine" };
        let pods = |namespace: Option<&str>, name: &str| Workload {
            namespace: namespace.map(ToOwned::to_owned),
            pull_secrets: vec![name.to_owned()],
            ..Workload::default()
        };
        let of = async |pods: &[Workload]| secrets.of_nodes(pods, Some(&own), &client).await.unwrap();
        assert_eq!(of(&[]).await, []);
        let given = [pods(Some("ocr"), "regcred"), pods(Some("backend"), "regcred")];
        assert_eq!(of(&given).await, std::slice::from_ref(&own), "once");
        assert_eq!(
            of(&[pods(None, "theirs")]).await,
            std::slice::from_ref(&theirs),
            "in the release's namespace"
        );
        assert_eq!(of(&[pods(Some("closed"), "regcred"), pods(Some("ocr"), "none")]).await, []);
        let without = secrets.of_nodes(&given, None, &client).await.unwrap();
        assert_eq!(without, [], "nothing is given to them");
    }

    #[tokio::test]
    async fn pods_are_told_of_a_secret_that_is_there_in_either_namespace() {
        let secret = pull_secret::secret(&login("theirs")).unwrap();
        assert!(is_there(&cluster(&[("ocr", "regcred")], &secret)).await.unwrap());
        assert!(is_there(&cluster(&[("backend", "regcred")], &secret)).await.unwrap());
        assert!(!is_there(&cluster(&[("ocr", "other")], &secret)).await.unwrap());
    }
}
