//! CoreDNS: without it no pod finds another by its name, though every pod is ready.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};

use super::report::{Finding, Severity, Verdict};
use super::world::World;
use crate::cluster::objects::serves;
use crate::error::{Doing, Result};

const NAMESPACE: &str = "kube-system";
/// On CoreDNS wherever it comes from, for the sake of what was there before it.
const LABEL: &str = "k8s-app=kube-dns";

pub async fn check(world: &World) -> Result<Verdict> {
    let (client, context) = match world.cluster() {
        Ok(cluster) => cluster,
        Err(verdict) => return Ok(verdict),
    };
    let ours = ListParams::default().labels(LABEL);
    let deployments = Api::<Deployment>::namespaced(client.clone(), NAMESPACE).list(&ours).await;
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE).list(&ours).await;
    let deployments = deployments.doing("looking for CoreDNS")?.items;
    let pods = pods.doing("looking for the pods of CoreDNS")?.items;
    Ok(judge(&deployments, &pods, context))
}

fn judge(deployments: &[Deployment], pods: &[Pod], context: &str) -> Verdict {
    let kubectl = format!("kubectl --context {context} --namespace {NAMESPACE}");
    let ready: Vec<&Pod> = pods.iter().filter(|pod| serves(pod)).collect();
    if !ready.is_empty() {
        return Verdict::Passed(format!("{} of {} pods of CoreDNS are ready", ready.len(), pods.len()));
    }
    let found = |sentence: String, command: String| {
        Verdict::Found(vec![Finding::new(Severity::Error, "CoreDNS", sentence, command)])
    };
    let effect = "no pod finds another by its name";
    match deployments.first() {
        None => found(format!("it is not there, so {effect}"), format!("{kubectl} get deployments")),
        Some(it) if it.spec.replicas == Some(0) => {
            let name = it.metadata.name.as_deref().unwrap_or("coredns");
            let sentence = format!("it is scaled to 0, so {effect}");
            found(sentence, format!("{kubectl} scale deployment {name} --replicas 2"))
        }
        Some(_) => {
            let sentence = format!("none of its {} pods is ready, so {effect}", pods.len());
            found(sentence, format!("{kubectl} describe pods --selector {LABEL}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: i32) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "coredns"},
            "spec": {"replicas": replicas, "selector": {}, "template": {}},
        }))
        .unwrap()
    }

    fn pod(ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "coredns-1"},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    fn command(verdict: Verdict) -> String {
        match verdict {
            Verdict::Found(found) => found[0].command.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn scaled_to_nothing_it_is_scaled_up_again() {
        assert_eq!(
            command(judge(&[deployment(0)], &[], "kind-platen")),
            "kubectl --context kind-platen --namespace kube-system scale deployment coredns --replicas 2"
        );
    }

    #[test]
    fn one_ready_pod_suffices_and_none_does_not() {
        assert!(matches!(judge(&[deployment(2)], &[pod("True"), pod("False")], "c"), Verdict::Passed(_)));
        assert!(command(judge(&[deployment(2)], &[pod("False")], "c")).contains("describe pods"));
        assert!(command(judge(&[], &[], "c")).contains("get deployments"));
    }
}
