//! What a rollout still waits for, while it waits.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;

use crate::error::{Doing, Result};
use crate::event::Step;

const EVERY: Duration = Duration::from_secs(2);

/// The deployments of a namespace that are not as wanted yet, as `model-server 1/2 ready`.
pub async fn unready(client: &kube::Client, namespace: &str) -> Result<Vec<String>> {
    let list = Api::<Deployment>::namespaced(client.clone(), namespace).list(&super::ours()).await;
    let list = list.doing(format!("listing the deployments of namespace {namespace}"))?;
    Ok(list.items.iter().filter_map(waiting).collect())
}

/// Tells on `step`, every two seconds and for ever, what is not ready in these namespaces: to be raced against
/// whatever waits for it in silence.
pub async fn heartbeat(client: &kube::Client, namespaces: &[&str], step: &Step) -> std::convert::Infallible {
    loop {
        let mut waiting = Vec::new();
        for namespace in namespaces {
            // A cluster that is busy or restarting is no reason to end the wait that this only accompanies.
            waiting.extend(unready(client, namespace).await.unwrap_or_default());
        }
        if !waiting.is_empty() {
            step.message(format!("waiting for {}", waiting.join(", ")));
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn waiting(deployment: &Deployment) -> Option<String> {
    let name = deployment.metadata.name.as_deref()?;
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let status = deployment.status.as_ref();
    let ready = status.and_then(|it| it.ready_replicas).unwrap_or(0);
    let updated = status.and_then(|it| it.updated_replicas).unwrap_or(0);
    let seen = status.and_then(|it| it.observed_generation) >= deployment.metadata.generation;
    if seen && ready >= wanted && updated >= wanted {
        return None;
    }
    if ready >= wanted {
        Some(format!("{name} {updated}/{wanted} updated"))
    } else {
        Some(format!("{name} {ready}/{wanted} ready"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(ready: i32, updated: i32) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "model-server", "generation": 3},
            "spec": {"replicas": 2, "selector": {}, "template": {}},
            "status": {"observedGeneration": 3, "readyReplicas": ready, "updatedReplicas": updated},
        }))
        .unwrap()
    }

    #[test]
    fn a_deployment_says_what_it_waits_for() {
        assert_eq!(waiting(&deployment(1, 1)).unwrap(), "model-server 1/2 ready");
        assert_eq!(waiting(&deployment(2, 1)).unwrap(), "model-server 1/2 updated");
        assert_eq!(waiting(&deployment(2, 2)), None);
    }
}
