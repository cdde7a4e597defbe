//! Secrets that Platen puts into a cluster. One of the same name that is somebody else's is used as it is: never written
//! over, never removed.

use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams};

use crate::error::{Doing, Result, if_allowed};

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const MANAGER: &str = "platen";

/// Where a Secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub namespace: &'static str,
    pub name: &'static str,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Secret {} in {}", self.name, self.namespace)
    }
}

/// What [`apply`] found and did, by namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Given {
    pub made: Vec<&'static str>,
    /// Where there is one of somebody else's.
    pub left: Vec<&'static str>,
}

/// Makes the Secret in each place, or brings it up to date.
pub async fn apply(client: &kube::Client, secret: &Secret, places: &[Place]) -> Result<Given> {
    let params = PatchParams::apply(MANAGER).force();
    let mut given = Given::default();
    for place in places {
        let found = found(client, place).await?;
        if found.as_ref().is_some_and(|found| !is_ours(found)) {
            given.left.push(place.namespace);
            continue;
        }
        let mut secret = secret.clone();
        secret.metadata.name = Some(place.name.into());
        secret.metadata.namespace = Some(place.namespace.into());
        secret.metadata.labels.get_or_insert_default().insert(MANAGED_BY.into(), MANAGER.into());
        let doing = format!("making {place}");
        api(client, place).patch(place.name, &params, &Patch::Apply(&secret)).await.doing(doing)?;
        if found.is_none() {
            given.made.push(place.namespace);
        }
    }
    Ok(given)
}

/// A Secret with its content, whosever it is; none where this account may not read it.
pub async fn read(client: &kube::Client, namespace: &str, name: &str) -> Result<Option<Secret>> {
    let found = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await;
    Ok(if_allowed(found.doing(format!("looking for the Secret {name} in {namespace}")))?.flatten())
}

/// Whether there is one of somebody else's.
pub async fn is_others(client: &kube::Client, place: &Place) -> Result<bool> {
    Ok(found(client, place).await?.is_some_and(|found| !is_ours(&found)))
}

/// Those of the places in which there is one of Platen's.
pub async fn ours(client: &kube::Client, among: &[Place]) -> Result<Vec<Place>> {
    let mut list = Vec::new();
    for place in among {
        // Who may not read Secrets has made none.
        let found = if_allowed(found(client, place).await)?.flatten();
        list.extend(found.filter(is_ours).map(|_| *place));
    }
    Ok(list)
}

/// Removes Platen's, and tells which.
pub async fn remove(client: &kube::Client, among: &[Place]) -> Result<Vec<Place>> {
    let removed = ours(client, among).await?;
    for place in &removed {
        match api(client, place).delete(place.name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(gone)) if gone.code == 404 => {}
            Err(error) => {
                return Err(error).doing(format!("removing {place}"));
            }
        }
    }
    Ok(removed)
}

fn api(client: &kube::Client, place: &Place) -> Api<Secret> {
    Api::namespaced(client.clone(), place.namespace)
}

async fn found(client: &kube::Client, place: &Place) -> Result<Option<ObjectMeta>> {
    let doing = format!("looking for {place}");
    Ok(api(client, place).get_metadata_opt(place.name).await.doing(doing)?.map(|found| found.metadata))
}

/// Whether Platen made it.
pub fn is_ours(metadata: &ObjectMeta) -> bool {
    let labels = metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::Request;
    use axum::http::{Method, StatusCode};
    use serde_json::json;

    use super::*;

    const NAME: &str = "regcred";

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
        let places = ["theirs", "ours", "none"].map(|namespace| Place { namespace, name: NAME });
        let (client, changes) = cluster();
        let given = apply(&client, &Secret::default(), &places).await.unwrap();
        assert_eq!(given, Given { made: vec!["none"], left: vec!["theirs"] });
        assert_eq!(*changes.lock().unwrap(), ["PATCH ours", "PATCH none"]);

        changes.lock().unwrap().clear();
        remove(&client, &places).await.unwrap();
        assert_eq!(*changes.lock().unwrap(), ["DELETE ours"]);
    }
}
