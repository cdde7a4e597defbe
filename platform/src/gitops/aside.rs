//! Applications that Argo CD is told to leave alone for a while.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::GitOps;
use super::state::api;
use super::summary::listed;
use crate::error::{Doing, Result};

/// Argo CD leaves an Application alone that has it.
const SKIP: &str = "argocd.argoproj.io/skip-reconcile";

/// Names of Platen's own that Argo CD looks after; none where there is no Argo CD. One that somebody set aside is not
/// among them.
pub async fn looked_after(client: &kube::Client) -> Result<Vec<String>> {
    let watched = listed(client).await?.into_iter().filter(|it| {
        !it.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(SKIP))
    });
    Ok(watched.filter_map(|it| it.metadata.name).collect())
}

/// Sets one aside, or gives it back; giving back one that is gone is no error.
pub async fn set_aside(client: &kube::Client, name: &str, aside: bool) -> Result<()> {
    // Null removes it.
    let value = if aside { json!("true") } else { serde_json::Value::Null };
    let patch = json!({"metadata": {"annotations": {SKIP: value}}});
    match api(client, "Application").patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(gone)) if gone.code == 404 && !aside => Ok(()),
        patched => patched.map(drop).doing(format!("telling Argo CD of {name}")),
    }
}

/// Asks Argo CD to look at these Applications now.
pub async fn look_at_all(client: &kube::Client, names: &[String]) -> Result<()> {
    for name in names {
        GitOps::look_again(client, name).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use kube::client::Body;

    use super::*;

    /// An Argo CD that keeps what is asked for by Platen's label in its own namespace, and knows nothing of other questions.
    async fn asked(answer: (u16, serde_json::Value)) -> (Result<()>, Vec<String>) {
        let (service, mut handle) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Some((request, respond)) = handle.next_request().await {
                let uri = request.uri();
                taken.lock().unwrap().push(format!("{} {}", request.method(), uri.path()));
                let ours = uri.query().is_some_and(|query| query.contains("part-of%3Dplaten"));
                let (code, body) = match uri.path() {
                    "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications" if ours => answer.clone(),
                    path if path.ends_with("/applications/ocr-app") => {
                        (200, json!({"metadata": {"name": "ocr-app", "namespace": "argocd"}}))
                    }
                    "/apis" => (200, json!({"kind": "APIGroupList", "groups": []})),
                    _ => (500, json!({"kind": "Status", "status": "Failure", "code": 500, "message": "no"})),
                };
                let body = Body::from(body.to_string().into_bytes());
                respond.send_response(http::Response::builder().status(code).body(body).unwrap());
            }
        });
        let client = kube::Client::new(service, "default");
        let refreshed = async { look_at_all(&client, &looked_after(&client).await?).await }.await;
        let requests = requests.lock().unwrap().clone();
        (refreshed, requests)
    }

    #[tokio::test]
    async fn only_platens_own_applications_are_touched_and_none_that_somebody_set_aside() {
        let application = |name: &str, annotations: serde_json::Value| json!({"metadata": {"name": name, "namespace": "argocd", "annotations": annotations}});
        let items = [application("ocr-app", json!({})), application("aside", json!({SKIP: "true"}))];
        let (refreshed, requests) = asked((200, json!({"metadata": {}, "items": items}))).await;
        refreshed.unwrap();
        let list = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications";
        assert_eq!(requests, [format!("GET {list}"), format!("PATCH {list}/ocr-app")]);
    }

    #[tokio::test]
    async fn an_account_with_few_rights_is_told_of_no_argo_cd_where_there_is_none() {
        let refused = json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"});
        let (refreshed, _) = asked((403, refused)).await;
        refreshed.unwrap();
    }
}
