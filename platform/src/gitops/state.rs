//! What Argo CD says of an Application, and whether that is what was wanted.

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use serde::Deserialize;
use serde_json::Value;

use super::explain::{Trouble, explain};
use super::{GROUP, NAMESPACE};
use crate::error::{Doing, Error, Result};

/// An Application's status, as far as it is looked at (argoproj.io/v1alpha1; read leniently: its controller adds fields).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Seen {
    pub sync: Sync,
    pub health: Health,
    pub operation_state: Option<Operation>,
    pub conditions: Vec<Condition>,
    pub resources: Vec<Resource>,
    pub history: Vec<Deployed>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Health {
    pub status: String,
    pub message: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sync {
    pub status: String,
    pub revision: String,
    pub compared_to: ComparedTo,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ComparedTo {
    pub source: Value,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Operation {
    pub phase: String,
    pub message: String,
    pub sync_result: Option<SyncResult>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SyncResult {
    pub revision: String,
    /// What was synced.
    pub source: Value,
    pub resources: Vec<SyncedResource>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SyncedResource {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub status: String,
    pub message: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub message: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Resource {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    /// `Synced` or `OutOfSync`; nothing for what is only watched.
    pub status: String,
    pub health: Option<Health>,
}

/// An entry of what was deployed before, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Deployed {
    pub id: i64,
    pub revision: String,
    pub source: Value,
}

impl Operation {
    /// Whether it is the sync of `wanted` at this revision, or of what came before.
    fn synced(&self, wanted: &Value, revision: &str) -> bool {
        let result = self.sync_result.as_ref();
        result.is_some_and(|result| result.revision == revision && same_source(&result.source, wanted))
    }

    /// What an operation failed of: the objects' own words where there are any, which name the object.
    fn complaint(&self) -> String {
        let resources = self.sync_result.iter().flat_map(|result| &result.resources);
        let failed: Vec<String> = resources
            .filter(|it| it.status == "SyncFailed")
            .map(|it| format!("{} {}/{}: {}", it.kind, it.namespace, it.name, it.message))
            .collect();
        match failed.as_slice() {
            [] => self.message.clone(),
            [one] => one.clone(),
            [first, others @ ..] => format!("{first} (and {} more objects)", others.len()),
        }
    }
}

/// Whether it is what was wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Synced at what was wanted, its operation succeeded, and all of it is healthy.
    Done,
    /// On its way, a phrase.
    Awaiting(String),
    /// It will not get there by itself, or only by luck.
    Stuck(Trouble),
}

impl Seen {
    /// Reads the status of an Application; one that has none yet was not looked at by Argo CD.
    pub fn of(application: &DynamicObject) -> Result<Self> {
        let status = application.data.get("status").cloned().unwrap_or_else(|| serde_json::json!({}));
        serde_json::from_value(status).map_err(|error| {
            let name = application.metadata.name.clone().unwrap_or_default();
            let hint = format!("look at it: kubectl -n {NAMESPACE} get application {name} -o yaml");
            Error::malformed(format!("the status of the Application {name}"), error, hint)
        })
    }

    /// Whether all is there as `wanted`, and was never synced: another Application made it. Argo CD sees nothing to do then, and
    /// would neither prune it nor call it its own.
    pub fn is_another_owners(&self, wanted: &Value) -> bool {
        self.operation_state.is_none()
            && self.sync.status == "Synced"
            && same_source(&self.sync.compared_to.source, wanted)
    }

    /// Why Argo CD could not do what it is there for. By itself it tries that again only after minutes.
    pub(super) fn complaint(&self) -> Option<&str> {
        let condition = self.conditions.iter().find(|it| it.kind.ends_with("Error"))?;
        Some(&condition.message)
    }

    /// Judged against the source that it was pointed at.
    pub fn judge(&self, name: &str, wanted: &Value) -> State {
        if let Some(complaint) = self.complaint() {
            return State::Stuck(explain(name, wanted, complaint));
        }
        let operation = self.operation_state.clone().unwrap_or_default();
        let compared = same_source(&self.sync.compared_to.source, wanted);
        // While it tries again the phase is Running, and only the message tells of the failure.
        let retries = operation.phase == "Running" && operation.message.contains("Retrying attempt");
        if compared && (retries || matches!(operation.phase.as_str(), "Failed" | "Error")) {
            return State::Stuck(explain(name, wanted, &operation.complaint()));
        }
        if !compared {
            return State::Awaiting(format!("Argo CD to compare {name} with what is wanted"));
        }
        match (self.sync.status.as_str(), operation.phase.as_str(), self.health.status.as_str()) {
            ("Synced", "Succeeded", "Healthy") => State::Done,
            ("Synced", "Succeeded", "Degraded") => State::Stuck(Trouble::degraded(name, &self.unhealthy())),
            ("Synced", "Succeeded", health) => State::Awaiting(format!(
                "{name} to be Healthy, it is {}: {}",
                or_unknown(health),
                self.unhealthy()
            )),
            ("Synced", phase, _) => State::Awaiting(format!("{name}'s sync, which is {}", or_unknown(phase))),
            ("OutOfSync", "Succeeded", _) if operation.synced(wanted, &self.sync.revision) => {
                let first = self.resources.iter().find(|it| it.status == "OutOfSync");
                State::Stuck(Trouble::stays_out_of_sync(name, &self.out_of_sync(), first))
            }
            (sync, _, _) => State::Awaiting(format!(
                "{name} to be Synced, it is {}{}",
                or_unknown(sync),
                self.out_of_sync()
            )),
        }
    }

    /// Objects that are not healthy, with Argo CD's own words.
    fn unhealthy(&self) -> String {
        let list: Vec<String> = self
            .resources
            .iter()
            .filter_map(|it| {
                let health = it.health.as_ref().filter(|health| health.status != "Healthy")?;
                Some(format!("{} {} is {} ({})", it.kind, it.name, health.status, health.message))
            })
            .collect();
        if list.is_empty() { "Argo CD names no object".into() } else { list.join(", ") }
    }

    fn out_of_sync(&self) -> String {
        let list: Vec<String> = self
            .resources
            .iter()
            .filter(|it| it.status == "OutOfSync")
            .map(|it| format!("{} {}", it.kind, it.name))
            .collect();
        if list.is_empty() { String::new() } else { format!(" by {}", list.join(", ")) }
    }
}

pub(super) fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "not known yet" } else { text }
}

/// Whether all of `wanted` stands in `found`, which may hold more.
pub fn includes(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(key, value)| {
            // An empty map that was asked for is left out of what is stored.
            let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
            found.get(key).map_or(empty, |found| includes(found, value))
        }),
        (found, wanted) => found == wanted,
    }
}

/// Whether two sources are one: a value that only one of them has makes another.
pub(super) fn same_source(found: &Value, wanted: &Value) -> bool {
    includes(found, wanted) && includes(wanted, found)
}

/// Whether a refusal with this code means that the cluster has no Argo CD: an account with few rights is told 403 of kinds
/// that are not there.
pub(super) async fn is_absent(client: &kube::Client, code: u16) -> Result<bool> {
    if code != 403 {
        return Ok(code == 404);
    }
    Ok(!is_served(client).await?)
}

/// Whether the cluster has Argo CD's kinds.
pub async fn is_served(client: &kube::Client) -> Result<bool> {
    let groups = client.list_api_groups().await.doing("asking the cluster for its kinds")?.groups;
    Ok(groups.iter().any(|group| group.name == GROUP))
}

/// Argo CD's objects of a kind.
pub(super) fn api(client: &kube::Client, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(GROUP, "v1alpha1", kind);
    Api::namespaced_with(client.clone(), NAMESPACE, &ApiResource::from_gvk(&kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted() -> Value {
        json!({"repoURL": "oci://r:5000/charts/ocr-app", "path": ".", "targetRevision": "0.1.0-c1",
               "helm": {"releaseName": "ocr", "valuesObject": {}}})
    }

    /// As a real Argo CD 3.1 shows it, cut down.
    fn seen(sync: &str, phase: &str, health: &str) -> Value {
        json!({
            "sync": {"status": sync, "revision": "sha256:00",
                     "comparedTo": {"source": {"repoURL": "oci://r:5000/charts/ocr-app", "path": ".",
                                               "targetRevision": "0.1.0-c1", "helm": {"releaseName": "ocr"}}}},
            "health": {"status": health},
            "operationState": {"phase": phase, "message": "successfully synced (all tasks run)"},
            "resources": [{"kind": "Deployment", "namespace": "ocr", "name": "model-server", "status": sync,
                           "health": {"status": health, "message": "1 of 2 updated replicas are available"}}],
        })
    }

    fn judged(status: Value) -> State {
        serde_json::from_value::<Seen>(status).unwrap().judge("ocr-app", &wanted())
    }

    #[test]
    fn only_all_conditions_together_are_done() {
        assert_eq!(judged(seen("Synced", "Succeeded", "Healthy")), State::Done);
        for (sync, phase, health) in [
            ("OutOfSync", "Succeeded", "Healthy"),
            ("Synced", "Running", "Healthy"),
            ("Synced", "Succeeded", "Progressing"),
            ("Unknown", "Succeeded", "Healthy"),
        ] {
            assert!(
                matches!(judged(seen(sync, phase, health)), State::Awaiting(_)),
                "{sync} {phase} {health}"
            );
        }
        assert!(matches!(judged(json!({})), State::Awaiting(_)), "Argo CD has not looked at it yet");
    }

    #[test]
    fn what_another_application_made_is_known_by_the_sync_that_never_was() {
        let of = |status: Value| serde_json::from_value::<Seen>(status).unwrap().is_another_owners(&wanted());
        let mut made = seen("Synced", "", "Healthy");
        made["operationState"] = Value::Null;
        assert!(of(made.clone()));
        made["sync"]["status"] = json!("OutOfSync");
        assert!(!of(made) && !of(seen("Synced", "Succeeded", "Healthy")), "it is synced by itself, or was");
    }

    #[test]
    fn what_was_synced_before_is_not_taken_for_what_is_wanted_now() {
        let mut before = seen("Synced", "Succeeded", "Healthy");
        before["sync"]["comparedTo"]["source"]["targetRevision"] = json!("0.1.0-c0");
        assert!(matches!(judged(before), State::Awaiting(_)));
    }

    #[test]
    fn a_value_that_is_not_set_any_more_is_awaited_too() {
        let mut before = seen("Synced", "Succeeded", "Healthy");
        before["sync"]["comparedTo"]["source"]["helm"]["valuesObject"] = json!({"log": {"filter": "debug"}});
        assert!(matches!(judged(before), State::Awaiting(_)));
    }

    #[test]
    fn what_is_awaited_names_the_objects() {
        let State::Awaiting(out) = judged(seen("OutOfSync", "Succeeded", "Healthy")) else { panic!() };
        assert!(out.contains("OutOfSync by Deployment model-server"), "{out}");
        let State::Awaiting(late) = judged(seen("Synced", "Succeeded", "Progressing")) else { panic!() };
        assert!(late.contains("1 of 2 updated replicas"), "{late}");
    }

    #[test]
    fn what_is_out_of_sync_after_its_own_sync_is_written_by_another() {
        let mut synced = seen("OutOfSync", "Succeeded", "Healthy");
        synced["operationState"]["syncResult"] = json!({"revision": "sha256:00", "source": wanted()});
        let State::Stuck(trouble) = judged(synced.clone()) else { panic!() };
        assert!(trouble.to_string().contains("OutOfSync by Deployment model-server"), "{trouble}");
        assert!(trouble.hint.contains("kubectl -n ocr get Deployment model-server"), "{}", trouble.hint);
        let mut commit = synced.clone();
        commit["sync"]["revision"] = json!("sha256:01");
        assert!(matches!(judged(commit), State::Awaiting(_)), "the branch went on");
        synced["operationState"]["syncResult"]["source"]["targetRevision"] = json!("0.1.0-c0");
        assert!(matches!(judged(synced), State::Awaiting(_)), "the sync before");
    }

    #[test]
    fn a_sync_that_is_tried_again_has_failed_and_names_the_object() {
        let mut retried = seen("OutOfSync", "Running", "Healthy");
        retried["operationState"]["message"] =
            json!("one or more objects failed to apply. Retrying attempt #1 at 4:00AM.");
        retried["operationState"]["syncResult"] = json!({"revision": "sha256:00", "resources": [
            {"kind": "Role", "namespace": "ocr", "name": "ocr-gateway-endpoints", "status": "SyncFailed",
             "message": "roles.rbac.authorization.k8s.io is forbidden: User \"x\" cannot create resource"},
        ]});
        let State::Stuck(trouble) = judged(retried) else { panic!() };
        assert!(trouble.to_string().contains("Role ocr/ocr-gateway-endpoints"), "{trouble}");
    }

    #[test]
    fn a_condition_of_an_error_is_told() {
        let mut broken = seen("Unknown", "Succeeded", "Healthy");
        broken["conditions"] =
            json!([{"type": "ComparisonError", "message": "dial tcp: connection refused"}]);
        assert!(matches!(judged(broken), State::Stuck(_)));
    }

    #[test]
    fn an_argocd_that_is_not_whole_is_its_own_trouble_in_a_comparison_and_in_a_sync() {
        let said = "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unavailable desc = \
                    connection error: desc = \"transport: Error while dialing: dial tcp 10.96.30.9:8081: connect: connection refused\"";
        let mut early = seen("Unknown", "Succeeded", "Healthy");
        early["conditions"] = json!([{"type": "ComparisonError", "message": said}]);
        let mut retried = seen("OutOfSync", "Running", "Healthy");
        retried["operationState"]["message"] = json!(format!("{said}. Retrying attempt #1 at 4:00AM."));
        for status in [early, retried] {
            let State::Stuck(trouble) = judged(status) else { panic!() };
            assert!(
                trouble.is_argocds_own && trouble.sentence.contains("own repository server"),
                "{trouble}"
            );
        }
    }

    #[test]
    fn a_value_that_is_missing_or_other_is_not_included() {
        assert!(includes(&json!({"a": {"b": 1, "c": 2}}), &json!({"a": {"b": 1}})));
        assert!(!includes(&json!({"a": {"b": 1}}), &json!({"a": {"b": 2}})));
        assert!(!includes(&json!({}), &json!({"a": 1})));
        assert!(includes(&json!({}), &json!({"a": {}})));
    }
}
