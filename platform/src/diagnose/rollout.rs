//! What a rollout still waits for, while it waits.

use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::Resource;
use kube::api::Api;
use serde::de::DeserializeOwned;

use super::Scope;
use crate::error::{Doing, Result};
use crate::event::Step;

const EVERY: Duration = Duration::from_secs(2);

/// A Deployment, StatefulSet or DaemonSet, as far as its pods are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub name: String,
    wanted: i32,
    ready: i32,
    updated: i32,
    /// Whether the counts are of what it is meant to be now.
    seen: bool,
}

impl Workload {
    /// What it waits for, as `model-server 1/2 ready`; `None` where it is as wanted.
    pub fn waiting(&self) -> Option<String> {
        let Self { name, wanted, ready, updated, seen } = self;
        if *seen && ready >= wanted && updated >= wanted {
            return None;
        }
        if ready >= wanted {
            Some(format!("{name} {updated}/{wanted} updated"))
        } else {
            Some(format!("{name} {ready}/{wanted} ready"))
        }
    }
}

impl From<Deployment> for Workload {
    fn from(it: Deployment) -> Self {
        let status = it.status.unwrap_or_default();
        Self {
            name: it.metadata.name.unwrap_or_default(),
            wanted: it.spec.replicas.unwrap_or(1),
            ready: status.ready_replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            seen: status.observed_generation >= it.metadata.generation,
        }
    }
}

impl From<StatefulSet> for Workload {
    fn from(it: StatefulSet) -> Self {
        let status = it.status.unwrap_or_default();
        let wanted = it.spec.replicas.unwrap_or(1);
        // Once all pods are of the newest revision the API server no longer counts them as updated.
        let settled = status.current_revision == status.update_revision;
        Self {
            name: it.metadata.name.unwrap_or_default(),
            wanted,
            ready: status.ready_replicas.unwrap_or(0),
            updated: if settled { wanted } else { status.updated_replicas.unwrap_or(0) },
            seen: status.observed_generation >= it.metadata.generation,
        }
    }
}

impl From<DaemonSet> for Workload {
    fn from(it: DaemonSet) -> Self {
        let status = it.status.unwrap_or_default();
        Self {
            name: it.metadata.name.unwrap_or_default(),
            wanted: status.desired_number_scheduled,
            ready: status.number_ready,
            updated: status.updated_number_scheduled.unwrap_or(0),
            seen: status.observed_generation >= it.metadata.generation,
        }
    }
}

/// What runs pods in this scope.
pub async fn workloads(client: &kube::Client, scope: &Scope<'_>) -> Result<Vec<Workload>> {
    let mut found = Vec::new();
    for namespace in scope.namespaces {
        found.extend(of_kind::<Deployment>(client, scope, namespace).await?);
        found.extend(of_kind::<StatefulSet>(client, scope, namespace).await?);
        found.extend(of_kind::<DaemonSet>(client, scope, namespace).await?);
    }
    Ok(found)
}

async fn of_kind<K>(client: &kube::Client, scope: &Scope<'_>, namespace: &str) -> Result<Vec<Workload>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + k8s_openapi::Resource,
    K: Clone + std::fmt::Debug + DeserializeOwned + Into<Workload>,
{
    let list = Api::<K>::namespaced(client.clone(), namespace).list(&scope.objects).await;
    let list = list.doing(format!("listing the {}s of namespace {namespace}", K::kind(&())))?;
    Ok(list.items.into_iter().map(Into::into).collect())
}

/// What is not as wanted yet in this scope, as `model-server 1/2 ready`.
pub async fn unready(client: &kube::Client, scope: &Scope<'_>) -> Result<Vec<String>> {
    Ok(workloads(client, scope).await?.iter().filter_map(Workload::waiting).collect())
}

/// Tells on `step`, every two seconds and for ever, what is not ready in this scope: to be raced against whatever waits
/// for it in silence.
pub async fn heartbeat(client: &kube::Client, scope: &Scope<'_>, step: &Step) -> std::convert::Infallible {
    loop {
        // A cluster that is busy or restarting is no reason to end the wait that this only accompanies.
        let waiting = unready(client, scope).await.unwrap_or_default();
        if !waiting.is_empty() {
            step.message(format!("waiting for {}", waiting.join(", ")));
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(ready: i32, updated: i32) -> Workload {
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"name": "model-server", "generation": 3},
            "spec": {"replicas": 2, "selector": {}, "template": {}},
            "status": {"observedGeneration": 3, "readyReplicas": ready, "updatedReplicas": updated},
        }))
        .unwrap();
        deployment.into()
    }

    #[test]
    fn a_deployment_says_what_it_waits_for() {
        assert_eq!(deployment(1, 1).waiting().unwrap(), "model-server 1/2 ready");
        assert_eq!(deployment(2, 1).waiting().unwrap(), "model-server 1/2 updated");
        assert_eq!(deployment(2, 2).waiting(), None);
    }

    #[test]
    fn a_stateful_set_whose_pods_are_all_of_one_revision_is_updated() {
        let of = |update: &str| -> Workload {
            let set: StatefulSet = serde_json::from_value(json!({
                "metadata": {"name": "prometheus", "generation": 1},
                "spec": {"replicas": 1, "selector": {}, "template": {}},
                "status": {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "currentRevision": "a",
                           "updateRevision": update},
            }))
            .unwrap();
            set.into()
        };
        assert_eq!(of("a").waiting(), None);
        assert_eq!(of("b").waiting().unwrap(), "prometheus 0/1 updated");
    }
}
