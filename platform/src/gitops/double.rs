//! An API server for tests, with what is written to it and a double of Argo CD that answers each Application at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::objects::REFRESH;

/// What is there, by its path.
type Objects = Arc<Mutex<BTreeMap<String, Value>>>;

#[derive(Clone, Default)]
pub struct Double {
    objects: Objects,
    /// Methods and paths of all writes, in their order.
    writes: Arc<Mutex<Vec<String>>>,
}

impl Double {
    /// `status`: what Argo CD says of an Application whenever it was asked to look at it.
    pub fn new(status: impl Fn(&Value) -> Value + Send + Sync + 'static) -> (kube::Client, Self) {
        let double = Self::default();
        let (seen, status) = (double.clone(), Arc::new(status));
        let answer = move |request: Request| {
            let (seen, status) = (seen.clone(), status.clone());
            async move {
                let (method, path) = (request.method().clone(), request.uri().path().to_owned());
                let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let (code, body) = seen.answer(&method, &path, &body, &*status);
                (code, axum::Json(body))
            }
        };
        (kube::Client::new(Router::new().fallback(answer), "default"), double)
    }

    fn answer(
        &self,
        method: &Method,
        path: &str,
        body: &Value,
        status: &dyn Fn(&Value) -> Value,
    ) -> (StatusCode, Value) {
        let mut objects = self.objects.lock().unwrap();
        if method != Method::GET {
            self.writes.lock().unwrap().push(format!("{method} {path}"));
        }
        let absent = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
                            "code": 404, "message": "there is none"});
        let done = json!({"kind": "Status", "apiVersion": "v1", "status": "Success"});
        let place = match *method {
            // Of pods, events and nodes there are none.
            Method::GET if ["/pods", "/events", "/nodes"].iter().any(|kind| path.ends_with(kind)) => {
                return (StatusCode::OK, json!({"metadata": {}, "items": []}));
            }
            Method::GET => {
                return objects
                    .get(path)
                    .map_or((StatusCode::NOT_FOUND, absent), |it| (StatusCode::OK, it.clone()));
            }
            Method::DELETE => {
                let there = objects.remove(path).is_some() || path.ends_with("/secrets");
                return if there { (StatusCode::OK, done) } else { (StatusCode::NOT_FOUND, absent) };
            }
            Method::POST => format!("{path}/{}", body["metadata"]["name"].as_str().unwrap()),
            _ => path.to_owned(),
        };
        let mut object = objects.remove(&place).unwrap_or_else(|| json!({}));
        // An applied object is the whole of it here, for nobody else writes; a patch of annotations alone has no kind.
        if body["kind"].is_null() {
            merge(&mut object, body);
        } else {
            object = body.clone();
        }
        if object["kind"] == "Application" && object["metadata"]["annotations"][REFRESH].is_string() {
            object["metadata"]["annotations"].as_object_mut().unwrap().remove(REFRESH);
            object["status"] = status(&object);
        }
        objects.insert(place, object.clone());
        (StatusCode::OK, object)
    }

    /// An object of namespace `argocd`, by its plural and its name.
    pub fn get(&self, plural: &str, name: &str) -> Option<Value> {
        let base = if plural == "secrets" { "/api/v1" } else { "/apis/argoproj.io/v1alpha1" };
        self.objects.lock().unwrap().get(&format!("{base}/namespaces/argocd/{plural}/{name}")).cloned()
    }

    /// What is there, by names alone.
    pub fn names(&self) -> Vec<String> {
        let objects = self.objects.lock().unwrap();
        objects.keys().map(|path| path.rsplit('/').take(2).collect::<Vec<_>>().join(" of ")).collect()
    }

    /// What was written since the last time this was asked.
    pub fn writes(&self) -> Vec<String> {
        let taken = std::mem::take(&mut *self.writes.lock().unwrap());
        taken
            .into_iter()
            .map(|line| line.replace("/apis/argoproj.io/v1alpha1/namespaces/argocd/", ""))
            .collect()
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            if !into[key].is_object() && value.is_object() {
                into[key] = json!({});
            }
            merge(&mut into[key], value);
        }
    }
}
