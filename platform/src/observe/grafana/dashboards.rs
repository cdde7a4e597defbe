//! The two ways to read and write a dashboard, by what the Grafana offers.

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Grafana, Refusal};
use super::compare;
use crate::error::{Error, Result};

const GROUP: &str = "apis/dashboard.grafana.app";
/// Versions whose `spec` is a dashboard as this one has it, the newest first; those from v2 on have another form.
const KNOWN: [&str; 2] = ["v1", "v1beta1"];
const FOLDER: &str = "grafana.app/folder";
/// Who else keeps it: a provisioned file, or a repository.
const MANAGER: &str = "grafana.app/managedBy";
const MESSAGE: &str = "cargo xtask dashboards import";

/// How dashboards are spoken of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// `/api/dashboards/db`.
    Legacy,
    /// Objects under a version and a namespace.
    Objects { version: String, namespace: String },
}

/// A dashboard as Grafana has it.
#[derive(Debug)]
pub(super) struct Existing {
    pub document: Value,
    /// Its uid; empty at the top.
    pub folder: String,
    /// Of the object, where there are objects.
    resource_version: Option<String>,
    pub provisioned: bool,
}

impl Existing {
    pub fn is_as(&self, document: &Value, folder: &str) -> bool {
        self.folder == folder && compare::differences(document, &self.document).is_empty()
    }
}

#[derive(Deserialize)]
struct Object {
    metadata: Value,
    spec: Value,
}

impl Api {
    pub async fn discover(grafana: &Grafana) -> Result<Self> {
        #[derive(Deserialize)]
        struct Group {
            versions: Vec<Version>,
        }
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        #[derive(Deserialize)]
        struct Organisation {
            id: u64,
        }
        let offered = grafana.find::<Group>(GROUP).await?.map(|group| group.versions).unwrap_or_default();
        let known = KNOWN.into_iter().find(|known| offered.iter().any(|it| it.version == *known));
        let Some(version) = known else { return Ok(Self::Legacy) };
        // The first organisation's namespace has a name, the others' a number.
        let organisation: Organisation = grafana.get("api/org").await?;
        let namespace = match organisation.id {
            1 => "default".to_owned(),
            id => format!("org-{id}"),
        };
        Ok(Self::Objects { version: version.to_owned(), namespace })
    }

    pub fn name(&self) -> String {
        match self {
            Self::Legacy => "api/dashboards/db".into(),
            Self::Objects { version, .. } => format!("{GROUP}/{version}"),
        }
    }

    fn objects(version: &str, namespace: &str) -> String {
        format!("{GROUP}/{version}/namespaces/{namespace}/dashboards")
    }

    pub async fn read(&self, grafana: &Grafana, uid: &str) -> Result<Option<Existing>> {
        match self {
            Self::Legacy => {
                #[derive(Deserialize)]
                struct Found {
                    dashboard: Value,
                    meta: Value,
                }
                let found = grafana.find::<Found>(&format!("api/dashboards/uid/{uid}")).await?;
                Ok(found.map(|it| Existing {
                    folder: it.meta["folderUid"].as_str().unwrap_or_default().to_owned(),
                    provisioned: it.meta["provisioned"] == true,
                    document: it.dashboard,
                    resource_version: None,
                }))
            }
            Self::Objects { version, namespace } => {
                let path = format!("{}/{uid}", Self::objects(version, namespace));
                let found = grafana.find::<Object>(&path).await?;
                Ok(found.map(|it| {
                    let annotation = |name: &str| it.metadata["annotations"][name].as_str();
                    let mut document = it.spec.clone();
                    // The object's name is the dashboard's uid.
                    document["uid"] = it.metadata["name"].clone();
                    Existing {
                        folder: annotation(FOLDER).unwrap_or_default().to_owned(),
                        provisioned: annotation(MANAGER).is_some(),
                        resource_version: it.metadata["resourceVersion"].as_str().map(str::to_owned),
                        document,
                    }
                }))
            }
        }
    }

    /// Makes it, or writes over the existing one.
    pub async fn write(
        &self,
        grafana: &Grafana,
        document: &Value,
        existing: Option<&Existing>,
        folder: &str,
    ) -> Result<()> {
        let uid = document["uid"].as_str().unwrap_or_default();
        let (method, path, body) = match self {
            Self::Legacy => {
                let mut dashboard = document.clone();
                dashboard["id"] = Value::Null;
                let body = json!({
                    "dashboard": dashboard, "folderUid": folder, "message": MESSAGE, "overwrite": existing.is_some(),
                });
                (Method::POST, "api/dashboards/db".to_owned(), body)
            }
            Self::Objects { version, namespace } => {
                let mut metadata =
                    json!({"name": uid, "annotations": {FOLDER: folder, "grafana.app/message": MESSAGE}});
                let path = Self::objects(version, namespace);
                let version = existing.and_then(|it| it.resource_version.clone());
                if let Some(version) = &version {
                    metadata["resourceVersion"] = json!(version);
                }
                let body = json!({"metadata": metadata, "spec": document});
                match existing {
                    Some(_) => (Method::PUT, format!("{path}/{uid}"), body),
                    None => (Method::POST, path, body),
                }
            }
        };
        match grafana.send::<Value>(method, &path, Some(&body)).await? {
            Ok(_) => Ok(()),
            Err(refusal) => Err(why(grafana, &path, uid, &refusal)),
        }
    }
}

fn why(grafana: &Grafana, path: &str, uid: &str, refusal: &Refusal) -> Error {
    match refusal.status {
        StatusCode::BAD_REQUEST if refusal.message.contains("provisioned") => provisioned(uid),
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Error::unhealthy(
            format!("Grafana did not write the dashboard {uid}: {}", refusal.message),
            "somebody changed it at the same time; run the same command again",
        ),
        _ => grafana.refused(path, refusal),
    }
}

pub fn provisioned(uid: &str) -> Error {
    Error::unhealthy(
        format!(
            "the dashboard {uid} is provisioned from a file, and Grafana does not let its API write over that"
        ),
        "one way or the other: take it out of the provisioning (the ConfigMap with the label grafana_dashboard), or do not \
         import it",
    )
}
