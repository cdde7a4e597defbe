//! Volumes that are claimed and have not come.

use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams};

use super::pods::list;
use super::report::{Finding, Severity, Verdict};
use super::world::World;
use crate::error::Result;

pub async fn check(world: &World) -> Result<Verdict> {
    let (client, context) = match world.cluster() {
        Ok(cluster) => cluster,
        Err(verdict) => return Ok(verdict),
    };
    let all = ListParams::default();
    let claims = list::<PersistentVolumeClaim>(world, client, &all).await?;
    if claims.is_empty() {
        return Ok(Verdict::Passed("none is claimed".into()));
    }
    let events = list::<Event>(world, client, &all).await?;
    let classes = Api::<StorageClass>::all(client.clone()).list(&all).await;
    let classes: Option<Vec<String>> =
        classes.ok().map(|list| list.items.into_iter().filter_map(|class| class.metadata.name).collect());
    let findings = claims.iter().filter_map(|claim| explain(claim, &events, classes.as_deref(), context));
    Ok(Verdict::of(findings.collect(), format!("{} claims, each bound or not asked for yet", claims.len())))
}

/// `classes` are the storage classes, where they may be seen.
fn explain(
    claim: &PersistentVolumeClaim,
    events: &[Event],
    classes: Option<&[String]>,
    context: &str,
) -> Option<Finding> {
    let phase = claim.status.as_ref()?.phase.as_deref()?;
    let name = claim.metadata.name.as_deref()?;
    let namespace = claim.metadata.namespace.as_deref().unwrap_or("default");
    let spec = claim.spec.as_ref();
    let describe = format!("kubectl --context {context} --namespace {namespace} describe pvc {name}");
    let found = |sentence: String, command: String| {
        Some(Finding::new(Severity::Error, format!("pvc {namespace}/{name}"), sentence, command))
    };
    if phase == "Lost" {
        return found("the volume that it was bound to is gone".into(), describe);
    }
    if phase != "Pending" {
        return None;
    }
    let class = spec.and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default();
    if let Some(known) = classes.filter(|known| !class.is_empty() && !known.iter().any(|it| it == class)) {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let sentence = format!("there is no storage class {class}; there is: {known}");
        return found(sentence, format!("kubectl --context {context} get storageclass"));
    }
    let of_it = |event: &&Event| {
        let object = &event.involved_object;
        object.kind.as_deref() == Some("PersistentVolumeClaim")
            && object.name.as_deref() == Some(name)
            && object.namespace.as_deref() == Some(namespace)
    };
    let newest =
        events.iter().filter(of_it).max_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
    let reason = newest.and_then(|event| event.reason.as_deref());
    // It waits for a pod that uses it, which is how it is meant to be.
    if reason == Some("WaitForFirstConsumer") {
        return None;
    }
    let said = newest.and_then(|event| event.message.as_deref()).unwrap_or_default();
    if reason == Some("ExternalProvisioning") {
        let sentence =
            format!("nobody makes volumes for its storage class {class}: its provisioner is not running");
        return found(sentence, describe);
    }
    let class = if class.is_empty() {
        "it names no storage class".to_owned()
    } else {
        format!("storage class {class}")
    };
    let said = said.trim_end_matches('.');
    let sentence = if said.is_empty() {
        format!("it has no volume ({class})")
    } else {
        format!("it has no volume ({class}): {said}")
    };
    found(sentence, describe)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(phase: &str) -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": {"name": "data", "namespace": "ocr"},
            "spec": {"storageClassName": "standard"},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    fn event(reason: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {"name": "e"}, "reason": reason, "message": "waiting for a volume.",
            "involvedObject": {"kind": "PersistentVolumeClaim", "name": "data", "namespace": "ocr"},
        }))
        .unwrap()
    }

    #[test]
    fn a_claim_that_nobody_fulfils_says_whose_work_that_is() {
        let classes = ["standard".to_owned()];
        let found =
            explain(&claim("Pending"), &[event("ExternalProvisioning")], Some(&classes), "c").unwrap();
        assert_eq!(
            found.sentence,
            "nobody makes volumes for its storage class standard: its provisioner is not running"
        );
        let found = explain(&claim("Pending"), &[], Some(&["other".to_owned()]), "c").unwrap();
        assert_eq!(found.sentence, "there is no storage class standard; there is: other");
        let found = explain(&claim("Pending"), &[event("ProvisioningFailed")], Some(&classes), "c").unwrap();
        assert_eq!(found.sentence, "it has no volume (storage class standard): waiting for a volume");
    }

    #[test]
    fn one_that_is_bound_or_waits_for_its_pod_is_well() {
        assert_eq!(explain(&claim("Bound"), &[], None, "c"), None);
        assert_eq!(explain(&claim("Pending"), &[event("WaitForFirstConsumer")], None, "c"), None);
        assert!(explain(&claim("Lost"), &[], None, "c").unwrap().sentence.contains("is gone"));
    }
}
