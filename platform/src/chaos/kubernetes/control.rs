//! A control run: the gateways of the cluster try each request once, for as long as it lasts.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;

use crate::chaos::journal::UndoStep;
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::gitops;
use crate::wait::{Seen, until};

const NAMESPACE: &str = "ocr";
const GATEWAY: &str = "ocr-gateway";
const CONTAINER: &str = "gateway";
const FLAG: &str = "--no-retry";
/// Argo CD leaves an Application alone that has it.
const SKIP: &str = "argocd.argoproj.io/skip-reconcile";
/// Argo CD removes it once it has looked.
const REFRESH: &str = "argocd.argoproj.io/refresh";
const ROLLED_OUT_WITHIN: Duration = Duration::from_mins(3);

/// What puts it back, in the order in which that is done.
pub async fn undo(client: &kube::Client) -> Result<Vec<UndoStep>> {
    let args = args(&deployment(client).await?);
    if args.iter().any(|arg| arg == FLAG) {
        return Ok(Vec::new());
    }
    let mut steps = vec![UndoStep::RestoreArguments {
        namespace: NAMESPACE.into(),
        deployment: GATEWAY.into(),
        container: CONTAINER.into(),
        args,
    }];
    for (namespace, application) in applications(client).await? {
        steps.push(UndoStep::Reconcile { namespace, application });
    }
    Ok(steps)
}

/// Returns when every gateway tries once.
pub async fn begin(client: &kube::Client, tell: &Step) -> Result<()> {
    for (namespace, application) in applications(client).await? {
        skip_reconcile(client, &namespace, &application, true).await?;
    }
    let mut args = args(&deployment(client).await?);
    if args.iter().any(|arg| arg == FLAG) {
        return Ok(());
    }
    args.push(FLAG.into());
    set_args(client, &(NAMESPACE, GATEWAY, CONTAINER), &args).await?;
    rolled_out(client, NAMESPACE, GATEWAY, tell).await
}

async fn deployment(client: &kube::Client) -> Result<Deployment> {
    let api = Api::<Deployment>::namespaced(client.clone(), NAMESPACE);
    api.get(GATEWAY).await.doing("reading the gateway's Deployment")
}

fn args(deployment: &Deployment) -> Vec<String> {
    let spec = deployment.spec.template.spec.as_ref();
    let container = spec.and_then(|spec| spec.containers.iter().find(|it| it.name == CONTAINER));
    container.and_then(|container| container.args.clone()).unwrap_or_default()
}

/// `place`: namespace, Deployment, container.
pub async fn set_args(client: &kube::Client, place: &(&str, &str, &str), args: &[String]) -> Result<()> {
    let (namespace, deployment, container) = *place;
    let api = Api::<Deployment>::namespaced(client.clone(), namespace);
    let containers = json!([{"name": container, "args": args}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let patched = api.patch(deployment, &PatchParams::default(), &Patch::Strategic(patch)).await;
    patched.map(drop).doing(format!("changing the arguments of {deployment}"))
}

/// Waits until all of a Deployment's pods are of its newest revision, and ready.
pub async fn rolled_out(client: &kube::Client, namespace: &str, name: &str, tell: &Step) -> Result<()> {
    let api = Api::<Deployment>::namespaced(client.clone(), namespace);
    until(ROLLED_OUT_WITHIN, "cargo xtask status", || async {
        let deployment = api.get(name).await.doing(format!("reading {name}"))?;
        Ok(match behind(&deployment) {
            None => Seen::Ready(()),
            Some(behind) => {
                let awaited = format!("{name}: {behind}");
                tell.message(format!("waiting for {awaited}"));
                Seen::Awaiting(awaited)
            }
        })
    })
    .await
}

fn behind(deployment: &Deployment) -> Option<String> {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation < deployment.metadata.generation {
        return Some("its change to be noticed".into());
    }
    let (updated, all) = (status.updated_replicas.unwrap_or(0), status.replicas.unwrap_or(0));
    let ready = status.available_replicas.unwrap_or(0);
    let done = updated >= wanted && all <= updated && ready >= wanted;
    (!done).then(|| format!("{updated} of {wanted} pods changed, {ready} ready, {all} there"))
}

fn application_api(client: &kube::Client, namespace: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(gitops::GROUP, "v1alpha1", "Application"));
    Api::namespaced_with(client.clone(), namespace, &kind)
}

/// Namespaces and names of Platen's own that Argo CD keeps; none where there is no Argo CD.
pub async fn applications(client: &kube::Client) -> Result<Vec<(String, String)>> {
    // One that somebody set aside is not set to rights by us.
    let watched = gitops::listed(client).await?.into_iter().filter(|it| {
        !it.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(SKIP))
    });
    Ok(watched.filter_map(|it| Some((it.metadata.namespace?, it.metadata.name?))).collect())
}

pub async fn skip_reconcile(client: &kube::Client, namespace: &str, name: &str, skip: bool) -> Result<()> {
    // Null removes it.
    let value = if skip { json!("true") } else { serde_json::Value::Null };
    let patch = json!({"metadata": {"annotations": {SKIP: value}}});
    let api = application_api(client, namespace);
    match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 && !skip => Ok(()),
        Err(error) => Err(error).doing(format!("telling Argo CD of {name}")),
    }
}

/// Asks Argo CD to look at its Applications now.
pub async fn refresh(client: &kube::Client) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {REFRESH: "normal"}}});
    for (namespace, name) in applications(client).await? {
        let patched = application_api(client, &namespace)
            .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        patched.doing(format!("asking Argo CD to look at {name}"))?;
    }
    Ok(())
}

/// An error where a step cannot be undone since its object is gone is none.
pub async fn restore_args(
    client: &kube::Client,
    place: &(&str, &str, &str),
    args: &[String],
    tell: &Step,
) -> Result<()> {
    match set_args(client, place, args).await {
        Err(Error::Kube { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.code == 404) => {
            Ok(())
        }
        Err(error) => Err(error),
        Ok(()) => rolled_out(client, place.0, place.1, tell).await,
    }
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
        let refreshed = refresh(&kube::Client::new(service, "default")).await;
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

    fn gateway(status: &serde_json::Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": GATEWAY, "generation": 2},
            "spec": {
                "replicas": 3,
                "selector": {},
                "template": {"spec": {"containers": [{"name": CONTAINER, "args": ["gateway", "--port", "8001"]}]}},
            },
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_rollout_is_over_when_every_pod_is_new_and_ready_and_no_old_one_is_left() {
        let of = |status: serde_json::Value| behind(&gateway(&status));
        let status = |generation: i64, replicas: i32, updated: i32, available: i32| {
            json!({"observedGeneration": generation, "replicas": replicas,
                   "updatedReplicas": updated, "availableReplicas": available})
        };
        assert!(of(status(1, 3, 3, 3)).unwrap().contains("noticed"));
        assert!(of(status(2, 4, 3, 3)).is_some(), "an old one is left");
        assert!(of(status(2, 3, 3, 2)).is_some());
        assert_eq!(of(status(2, 3, 3, 3)), None);
        assert_eq!(args(&gateway(&json!({}))), ["gateway", "--port", "8001"]);
    }
}
