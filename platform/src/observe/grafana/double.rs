//! A stand-in for Grafana, which cannot be had where Platen is built: both APIs as grafana.com/docs describes them, and
//! stricter than the real one. What is not described is a failure of the test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Grafana, Login};

pub(super) const PASSWORD: &str = "s3cret";

/// How this Grafana is.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    /// Versions of `dashboard.grafana.app`; none: it is older than that.
    pub versions: &'static [&'static str],
    pub organisation: u64,
    pub datasources: Value,
    /// A dashboard that is provisioned.
    pub provisioned: Option<&'static str>,
    /// It keeps another title than it was sent.
    pub forgetful: bool,
}

impl Default for Kind {
    fn default() -> Self {
        let datasources = json!([
            {"id": 1, "uid": "loki", "name": "Loki", "type": "loki", "isDefault": false},
            {"id": 2, "uid": "prometheus", "name": "Prometheus", "type": "prometheus", "isDefault": true},
        ]);
        Self { versions: &[], organisation: 1, datasources, provisioned: None, forgetful: false }
    }
}

#[derive(Default)]
struct Store {
    folders: BTreeMap<String, String>,
    /// Document, folder and version by uid.
    dashboards: BTreeMap<String, (Value, String, u64)>,
    writes: Vec<String>,
}

pub(super) struct Double {
    pub address: String,
    store: Arc<Mutex<Store>>,
}

#[derive(Clone)]
struct Shared {
    kind: Kind,
    store: Arc<Mutex<Store>>,
}

impl Double {
    pub async fn start(kind: Kind) -> Self {
        let store = Arc::<Mutex<Store>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = Shared { kind, store: store.clone() };
        let router = Router::new().fallback(answer).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, store }
    }

    pub fn client(&self, password: &str) -> Grafana {
        let login = Login::Password { user: "admin".into(), password: password.into() };
        Grafana::new(&self.address, login).unwrap()
    }

    /// What was written, as method and path.
    pub fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.store.lock().unwrap().writes)
    }

    pub fn dashboard(&self, uid: &str) -> (Value, String) {
        let (document, folder, _) = self.store.lock().unwrap().dashboards[uid].clone();
        (document, folder)
    }

    pub fn put(&self, uid: &str, document: Value, folder: &str) {
        self.store.lock().unwrap().dashboards.insert(uid.into(), (document, folder.into(), 1));
    }
}

type Reply = (StatusCode, String);

fn reply(status: StatusCode, body: &Value) -> Reply {
    (status, body.to_string())
}

fn message(status: StatusCode, text: &str) -> Reply {
    reply(status, &json!({"message": text}))
}

async fn answer(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let expected =
        reqwest::Client::new().get("http://x").basic_auth("admin", Some(PASSWORD)).build().unwrap();
    if headers.get("authorization") != expected.headers().get("authorization") {
        return message(StatusCode::UNAUTHORIZED, "Invalid username or password");
    }
    let body: Value = if method == Method::GET {
        Value::Null
    } else {
        assert_eq!(headers["content-type"], "application/json");
        serde_json::from_slice(&body).unwrap()
    };
    let path = uri.path().trim_start_matches('/').to_owned();
    let mut store = shared.store.lock().unwrap();
    if method != Method::GET {
        store.writes.push(format!("{method} {path}"));
    }
    let parts: Vec<&str> = path.split('/').collect();
    match (method.as_str(), &parts[..]) {
        ("GET", ["api", "org"]) => {
            reply(StatusCode::OK, &json!({"id": shared.kind.organisation, "name": "Main Org."}))
        }
        ("GET", ["api", "datasources"]) => reply(StatusCode::OK, &shared.kind.datasources),
        ("GET", ["api", "folders", uid]) => match store.folders.get(*uid) {
            Some(title) => reply(StatusCode::OK, &json!({"uid": uid, "title": title})),
            None => message(StatusCode::NOT_FOUND, "folder not found"),
        },
        ("POST", ["api", "folders"]) => {
            let text = |key: &str| body[key].as_str().unwrap().to_owned();
            store.folders.insert(text("uid"), text("title"));
            reply(StatusCode::OK, &body)
        }
        ("GET", ["api", "dashboards", "uid", uid]) => legacy_read(&shared.kind, &store, uid),
        ("POST", ["api", "dashboards", "db"]) => legacy_write(&shared.kind, &mut store, &body),
        ("GET", ["apis", "dashboard.grafana.app"]) if !shared.kind.versions.is_empty() => {
            let version =
                |it: &&str| json!({"groupVersion": format!("dashboard.grafana.app/{it}"), "version": it});
            let versions: Vec<Value> = shared.kind.versions.iter().map(version).collect();
            reply(
                StatusCode::OK,
                &json!({"kind": "APIGroup", "name": "dashboard.grafana.app", "versions": versions}),
            )
        }
        ("GET", ["apis", "dashboard.grafana.app"]) => message(StatusCode::NOT_FOUND, "Not found"),
        (
            method,
            ["apis", "dashboard.grafana.app", version, "namespaces", namespace, "dashboards", rest @ ..],
        ) => {
            assert!(shared.kind.versions.contains(version), "{version}");
            let expected = if shared.kind.organisation == 1 { "default" } else { "org-7" };
            assert_eq!(*namespace, expected);
            object(&shared.kind, &mut store, (method, rest), &body)
        }
        other => panic!("{other:?} is not in Grafana's documentation of what is used here"),
    }
}

fn legacy_read(kind: &Kind, store: &Store, uid: &str) -> Reply {
    let Some((document, folder, version)) = store.dashboards.get(uid) else {
        return message(StatusCode::NOT_FOUND, "Dashboard not found");
    };
    let mut document = document.clone();
    document["id"] = json!(42);
    document["version"] = json!(version);
    let meta = json!({"folderUid": folder, "provisioned": kind.provisioned == Some(uid)});
    reply(StatusCode::OK, &json!({"dashboard": document, "meta": meta}))
}

fn legacy_write(kind: &Kind, store: &mut Store, body: &Value) -> Reply {
    let document = &body["dashboard"];
    assert!(document["id"].is_null(), "an id of another Grafana");
    let uid = document["uid"].as_str().unwrap();
    if kind.provisioned == Some(uid) {
        return message(StatusCode::BAD_REQUEST, "Cannot save provisioned dashboard");
    }
    let folder = body["folderUid"].as_str().unwrap().to_owned();
    if !store.folders.contains_key(&folder) {
        return message(StatusCode::BAD_REQUEST, "folder not found");
    }
    let version = store.dashboards.get(uid).map_or(0, |it| it.2);
    if version > 0 && body["overwrite"] != true {
        return message(StatusCode::PRECONDITION_FAILED, "The dashboard has been changed by someone else");
    }
    keep(kind, store, (uid, document, &folder));
    reply(
        StatusCode::OK,
        &json!({"uid": uid, "status": "success", "version": version + 1, "url": format!("/d/{uid}/x")}),
    )
}

fn keep(kind: &Kind, store: &mut Store, (uid, document, folder): (&str, &Value, &str)) {
    let mut document = document.clone();
    if kind.forgetful {
        document["title"] = json!("another");
    }
    // What is empty is left out, and something is added.
    document.as_object_mut().unwrap().retain(|_, value| value.as_array().is_none_or(|it| !it.is_empty()));
    document["preload"] = json!(false);
    let version = store.dashboards.get(uid).map_or(0, |it| it.2) + 1;
    store.dashboards.insert(uid.to_owned(), (document, folder.to_owned(), version));
}

fn object(kind: &Kind, store: &mut Store, (method, rest): (&str, &[&str]), body: &Value) -> Reply {
    let shown = |store: &Store, uid: &str| {
        let (document, folder, version) = &store.dashboards[uid];
        let mut annotations = json!({"grafana.app/folder": folder});
        if kind.provisioned == Some(uid) {
            annotations["grafana.app/managedBy"] = json!("classic-file-provisioning");
        }
        let mut spec = document.clone();
        spec.as_object_mut().unwrap().remove("uid");
        json!({
            "kind": "Dashboard", "apiVersion": "dashboard.grafana.app/v1", "spec": spec,
            "metadata": {"name": uid, "resourceVersion": version.to_string(), "annotations": annotations},
        })
    };
    if let ("GET", [uid]) = (method, rest) {
        return if store.dashboards.contains_key(*uid) {
            reply(StatusCode::OK, &shown(store, uid))
        } else {
            message(StatusCode::NOT_FOUND, "dashboards.dashboard.grafana.app not found")
        };
    }
    let uid = body["metadata"]["name"].as_str().unwrap().to_owned();
    let folder = body["metadata"]["annotations"]["grafana.app/folder"].as_str().unwrap().to_owned();
    assert!(store.folders.contains_key(&folder), "the folder {folder} is not there");
    let present = store.dashboards.get(&uid).map(|it| it.2.to_string());
    match (method, rest) {
        ("POST", []) if present.is_some() => message(StatusCode::CONFLICT, "already exists"),
        ("POST", []) => {
            keep(kind, store, (&uid, &body["spec"], &folder));
            reply(StatusCode::CREATED, &shown(store, &uid))
        }
        ("PUT", [at]) => {
            assert_eq!(*at, uid);
            if body["metadata"]["resourceVersion"].as_str() != present.as_deref() {
                return message(StatusCode::CONFLICT, "the object has been modified");
            }
            keep(kind, store, (&uid, &body["spec"], &folder));
            reply(StatusCode::OK, &shown(store, &uid))
        }
        other => panic!("{other:?} on dashboards"),
    }
}
