//! The Secret by which nodes pull from a registry that wants a login: `regcred`, made from the credentials at hand.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::error::{Doing, Error, Result};
use crate::registry::Credentials;

/// As Kubernetes' own documentation calls it.
pub const NAME: &str = "regcred";
const TYPE: &str = "kubernetes.io/dockerconfigjson";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const MANAGER: &str = "platen";

/// Docker Hub's logins stand under this name in a Docker configuration.
fn server(credentials: &Credentials) -> &str {
    match credentials.server.as_str() {
        "docker.io" | "index.docker.io" => "https://index.docker.io/v1/",
        other => other,
    }
}

/// The Secret of these credentials.
pub fn secret(credentials: &Credentials, namespace: &str) -> Result<Secret> {
    let mut login = json!({"username": credentials.user, "password": credentials.password});
    if let Some(email) = &credentials.email {
        login["email"] = json!(email);
    }
    let config = serde_json::to_vec(&json!({"auths": {server(credentials): login}}))
        .map_err(|error| Error::malformed("the pull secret", error, ""))?;
    let mut secret = Secret { type_: Some(TYPE.into()), ..Secret::default() };
    secret.metadata.name = Some(NAME.into());
    secret.metadata.namespace = Some(namespace.into());
    secret.metadata.labels = Some(BTreeMap::from([(MANAGED_BY.into(), MANAGER.into())]));
    secret.data = Some(BTreeMap::from([(".dockerconfigjson".into(), ByteString(config))]));
    Ok(secret)
}

/// What [`apply`] found and did, by namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Given {
    pub made: Vec<String>,
    /// Where there is one of somebody else's, which is used as it is.
    pub left: Vec<String>,
}

/// Makes the Secret in each namespace, or brings it up to date; one of the same name that is not Platen's stays.
pub async fn apply(client: &kube::Client, credentials: &Credentials, namespaces: &[&str]) -> Result<Given> {
    let params = PatchParams::apply(MANAGER).force();
    let mut given = Given::default();
    for namespace in namespaces {
        let secret = secret(credentials, namespace)?;
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let found = api.get_metadata_opt(NAME).await.doing(looking(namespace))?;
        if found.as_ref().is_some_and(|found| !is_ours(&found.metadata)) {
            given.left.push((*namespace).to_owned());
            continue;
        }
        api.patch(NAME, &params, &Patch::Apply(&secret))
            .await
            .doing(format!("making the Secret {NAME} in {namespace}"))?;
        if found.is_none() {
            given.made.push((*namespace).to_owned());
        }
    }
    Ok(given)
}

/// The namespaces in which Platen's Secret is.
pub async fn namespaces(client: &kube::Client, among: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for namespace in among {
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        match api.get_metadata_opt(NAME).await {
            Ok(Some(secret)) if is_ours(&secret.metadata) => found.push((*namespace).to_owned()),
            Ok(_) => {}
            // Who may not read Secrets has made none.
            Err(kube::Error::Api(refused)) if refused.code == 403 => {}
            Err(error) => return Err(error).doing(looking(namespace)),
        }
    }
    Ok(found)
}

/// Removes Platen's Secret; one of somebody else's stays.
pub async fn remove(client: &kube::Client, among: &[&str]) -> Result<()> {
    for namespace in namespaces(client, among).await? {
        let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        match api.delete(NAME, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(gone)) if gone.code == 404 => {}
            Err(error) => return Err(error).doing(format!("removing the Secret {NAME} in {namespace}")),
        }
    }
    Ok(())
}

fn is_ours(metadata: &ObjectMeta) -> bool {
    let labels = metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
}

fn looking(namespace: &str) -> String {
    format!("looking for the Secret {NAME} in {namespace}")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::Request;
    use axum::http::{Method, StatusCode};

    use super::*;

    #[test]
    fn the_secret_holds_the_login_in_dockers_form() {
        let credentials = Credentials {
            server: "docker.io".into(),
            user: "me".into(),
            password: "secret".into(),
            email: Some("me@example.org".into()),
        };
        let secret = secret(&credentials, "ocr").unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(&secret.data.unwrap()[".dockerconfigjson"].0).unwrap();
        let login = &config["auths"]["https://index.docker.io/v1/"];
        assert_eq!(
            (login["username"].as_str(), login["email"].as_str()),
            (Some("me"), Some("me@example.org"))
        );
        assert_eq!(secret.type_.as_deref(), Some(TYPE));
    }

    /// An API server in whose namespace `theirs` is somebody else's Secret, in `ours` one of Platen's; it writes down
    /// what it is asked to change.
    fn cluster() -> (kube::Client, Arc<Mutex<Vec<String>>>) {
        let changes = Arc::<Mutex<Vec<String>>>::default();
        let seen = changes.clone();
        let answer = move |request: Request| {
            let namespace = request.uri().path().split('/').nth(4).unwrap_or_default().to_owned();
            if request.method() != Method::GET {
                seen.lock().unwrap().push(format!("{} {namespace}", request.method()));
            }
            let manager = match namespace.as_str() {
                "theirs" => Some("them"),
                "ours" => Some(MANAGER),
                _ => None,
            };
            let meta = json!({"name": NAME, "namespace": namespace, "labels": {MANAGED_BY: manager.unwrap_or(MANAGER)}});
            let code = if manager.is_none() && request.method() == Method::GET { 404 } else { 200 };
            let body = if code == 404 {
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
                       "message": "there is none"})
            } else {
                json!({"kind": "Secret", "apiVersion": "v1", "metadata": meta})
            };
            async move { (StatusCode::from_u16(code).unwrap(), axum::Json(body)) }
        };
        (kube::Client::new(Router::new().fallback(answer), "default"), changes)
    }

    #[tokio::test]
    async fn a_secret_of_somebody_else_is_neither_written_over_nor_removed() {
        let credentials = Credentials {
            server: "r.example".into(),
            user: "me".into(),
            password: "secret".into(),
            email: None,
        };
        let (client, changes) = cluster();
        let given = apply(&client, &credentials, &["theirs", "ours", "none"]).await.unwrap();
        assert_eq!(given, Given { made: vec!["none".into()], left: vec!["theirs".into()] });
        assert_eq!(*changes.lock().unwrap(), ["PATCH ours", "PATCH none"]);

        changes.lock().unwrap().clear();
        remove(&client, &["theirs", "ours", "none"]).await.unwrap();
        assert_eq!(*changes.lock().unwrap(), ["DELETE ours"]);
    }
}
