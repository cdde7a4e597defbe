//! A control run: the gateways of the cluster try each request once, for as long as it lasts.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
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
const ROLLED_OUT_WITHIN: Duration = Duration::from_mins(3);

/// What puts it back, in the order in which that is done.
pub async fn undo(client: &kube::Client) -> Result<Vec<UndoStep>> {
    let args = args(&deployment(client, NAMESPACE, GATEWAY).await?, CONTAINER);
    if args.iter().any(|arg| arg == FLAG) {
        return Ok(Vec::new());
    }
    let mut steps = vec![UndoStep::RestoreArguments {
        namespace: NAMESPACE.into(),
        deployment: GATEWAY.into(),
        container: CONTAINER.into(),
    }];
    for application in gitops::looked_after(client).await? {
        steps.push(UndoStep::Reconcile { application });
    }
    Ok(steps)
}

/// Returns when every gateway tries once.
pub async fn begin(client: &kube::Client, tell: &Step) -> Result<()> {
    for application in gitops::looked_after(client).await? {
        gitops::set_aside(client, &application, true).await?;
    }
    let mut args = args(&deployment(client, NAMESPACE, GATEWAY).await?, CONTAINER);
    if args.iter().any(|arg| arg == FLAG) {
        return Ok(());
    }
    args.push(FLAG.into());
    set_args(client, &(NAMESPACE, GATEWAY, CONTAINER), &args).await?;
    rolled_out(client, NAMESPACE, GATEWAY, tell).await
}

async fn deployment(client: &kube::Client, namespace: &str, name: &str) -> Result<Deployment> {
    let api = Api::<Deployment>::namespaced(client.clone(), namespace);
    api.get(name).await.doing(format!("reading the Deployment {name}"))
}

fn args(deployment: &Deployment, container: &str) -> Vec<String> {
    let spec = deployment.spec.template.spec.as_ref();
    let container = spec.and_then(|spec| spec.containers.iter().find(|it| it.name == container));
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

/// Takes from a Deployment's arguments what [`begin`] added to them: whatever else was deployed meanwhile stays. One that is
/// gone needs nothing. `tell` is asked for where there is something to do.
pub async fn restore_args(
    client: &kube::Client,
    place: &(&str, &str, &str),
    tell: impl FnOnce() -> Step,
) -> Result<()> {
    let (namespace, name, container) = *place;
    let now = match deployment(client, namespace, name).await {
        Err(Error::Kube { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.code == 404) =>
        {
            return Ok(());
        }
        now => args(&now?, container),
    };
    let own: Vec<String> = now.iter().filter(|arg| *arg != FLAG).cloned().collect();
    if own == now {
        return Ok(());
    }
    let tell = tell();
    set_args(client, place, &own).await?;
    rolled_out(client, namespace, name, &tell).await?;
    tell.done();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use kube::client::Body;

    use super::*;
    use crate::event::Events;

    /// An API server with a gateway of these arguments, rolled out at once; none where there is no gateway. What is written
    /// to it is kept.
    fn api_server(args: Option<&'static [&'static str]>) -> (kube::Client, Arc<Mutex<Vec<String>>>) {
        let (service, mut handle) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
        let written = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&written);
        tokio::spawn(async move {
            while let Some((request, respond)) = handle.next_request().await {
                if request.method() == http::Method::PATCH {
                    let body = request.into_body().collect_bytes().await.unwrap();
                    taken.lock().unwrap().push(String::from_utf8_lossy(&body).into_owned());
                }
                let whole = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3});
                let mut found = serde_json::to_value(gateway(&whole)).unwrap();
                let (code, body) = match args {
                    Some(args) => {
                        found["spec"]["template"]["spec"]["containers"][0]["args"] = json!(args);
                        (200, found)
                    }
                    None => {
                        (404, json!({"kind": "Status", "status": "Failure", "code": 404, "message": "no"}))
                    }
                };
                let body = Body::from(body.to_string().into_bytes());
                respond.send_response(http::Response::builder().status(code).body(body).unwrap());
            }
        });
        (kube::Client::new(service, "default"), written)
    }

    async fn restored(args: Option<&'static [&'static str]>) -> Vec<String> {
        let (client, written) = api_server(args);
        let tell = || Events::silent().step("gateways", "", None);
        restore_args(&client, &(NAMESPACE, GATEWAY, CONTAINER), tell).await.unwrap();
        written.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn what_was_deployed_since_stays_and_only_the_flag_goes() {
        let written = restored(Some(&["gateway", "--new", FLAG])).await;
        assert_eq!(written.len(), 1);
        assert!(written[0].contains(r#"["gateway","--new"]"#), "{written:?}");
    }

    #[tokio::test]
    async fn a_gateway_without_the_flag_and_one_that_is_gone_are_left_alone() {
        assert!(restored(Some(&["gateway", "--new"])).await.is_empty());
        assert!(restored(None).await.is_empty());
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
        assert_eq!(args(&gateway(&json!({})), CONTAINER), ["gateway", "--port", "8001"]);
    }
}
