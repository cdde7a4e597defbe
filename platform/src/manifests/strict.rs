//! Kubernetes objects read strictly. The API's types pass over fields that they do not know, so that a typing error
//! would be lost in silence; here such a field is named.

use k8s_openapi::api::{
    apps::v1 as apps, autoscaling::v2 as autoscaling, batch::v1 as batch, core::v1 as core,
    networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::monitoring;
use crate::error::{Error, Result};

/// The typed object; a wrong type or an unknown field is an error that names its path.
pub fn object<T: DeserializeOwned + Serialize>(document: &Value) -> Result<T> {
    let name = name(document);
    let broken = |why: String| Error::malformed(name.clone(), why, "correct its template");
    let typed: T = serde_json::from_value(document.clone()).map_err(|error| broken(error.to_string()))?;
    let known = serde_json::to_value(&typed).map_err(|error| broken(error.to_string()))?;
    let mut unknown = Vec::new();
    lost(document, &known, "", &mut unknown);
    if unknown.is_empty() { Ok(typed) } else { Err(broken(format!("unknown fields {}", unknown.join(", ")))) }
}

/// Reads an object of a kind that Platen's charts use; another kind is refused, because nothing was checked.
pub fn verify(document: &Value) -> Result<()> {
    let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
    let it = document;
    match (text("apiVersion"), text("kind")) {
        ("apps/v1", "Deployment") => object::<apps::Deployment>(it).map(drop),
        ("apps/v1", "StatefulSet") => object::<apps::StatefulSet>(it).map(drop),
        ("apps/v1", "DaemonSet") => object::<apps::DaemonSet>(it).map(drop),
        ("batch/v1", "Job") => object::<batch::Job>(it).map(drop),
        ("v1", "Service") => object::<core::Service>(it).map(drop),
        ("v1", "ServiceAccount") => object::<core::ServiceAccount>(it).map(drop),
        ("v1", "ConfigMap") => object::<core::ConfigMap>(it).map(drop),
        ("v1", "Secret") => object::<core::Secret>(it).map(drop),
        ("v1", "PersistentVolume") => object::<core::PersistentVolume>(it).map(drop),
        ("v1", "PersistentVolumeClaim") => object::<core::PersistentVolumeClaim>(it).map(drop),
        ("v1", "Pod") => object::<core::Pod>(it).map(drop),
        ("v1", "Namespace") => object::<core::Namespace>(it).map(drop),
        ("policy/v1", "PodDisruptionBudget") => object::<policy::PodDisruptionBudget>(it).map(drop),
        ("rbac.authorization.k8s.io/v1", "Role") => object::<rbac::Role>(it).map(drop),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => object::<rbac::RoleBinding>(it).map(drop),
        ("networking.k8s.io/v1", "NetworkPolicy") => object::<networking::NetworkPolicy>(it).map(drop),
        ("autoscaling/v2", "HorizontalPodAutoscaler") => {
            object::<autoscaling::HorizontalPodAutoscaler>(it).map(drop)
        }
        (monitoring::VERSION, "PodMonitor") => object::<monitoring::PodMonitor>(it).map(drop),
        (monitoring::VERSION, "PrometheusRule") => object::<monitoring::PrometheusRule>(it).map(drop),
        (version, kind) => Err(Error::malformed(
            name(document),
            format!("{version} {kind} is a kind that is not checked yet"),
            "add it to platform/src/manifests/strict.rs",
        )),
    }
}

fn name(document: &Value) -> String {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
    format!("{} {}", text("/kind"), text("/metadata/name"))
}

/// Paths of `document` that are not in `known`. Nothing is lost where nothing was said: null, {} and [].
fn lost(document: &Value, known: &Value, path: &str, found: &mut Vec<String>) {
    let empty = |value: &Value| {
        value.is_null()
            || value.as_object().is_some_and(serde_json::Map::is_empty)
            || value.as_array().is_some_and(Vec::is_empty)
    };
    match (document, known) {
        (Value::Object(fields), Value::Object(known)) => {
            for (key, value) in fields {
                let path = format!("{path}.{key}");
                match known.get(key) {
                    Some(known) => lost(value, known, &path, found),
                    None if empty(value) => {}
                    None => found.push(path),
                }
            }
        }
        (Value::Array(items), Value::Array(known)) => {
            for (index, (value, known)) in items.iter().zip(known).enumerate() {
                lost(value, known, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(port: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "labels": {}},
               "spec": {"ports": [{"port": 80, port: 30001}]}})
    }

    #[test]
    fn an_unknown_field_is_named_with_its_path() {
        let error = verify(&service("nodeport")).unwrap_err();
        assert!(
            error.to_string().contains("Service s") && error.to_string().contains(".spec.ports[0].nodeport"),
            "{error}"
        );
        verify(&service("nodePort")).unwrap();
    }

    #[test]
    fn a_wrong_type_is_an_error() {
        let mut wrong = service("nodePort");
        wrong["spec"]["ports"][0]["port"] = json!("eighty");
        assert!(verify(&wrong).is_err());
    }

    #[test]
    fn a_kind_that_is_not_checked_is_refused() {
        assert!(verify(&json!({"apiVersion": "v1", "kind": "Widget"})).is_err());
    }
}
