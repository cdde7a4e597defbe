//! Dashboards put into a Grafana over its HTTP API, and read back: what it answers is held against what it was sent.
//!
//! Two APIs are spoken: that of `/apis/dashboard.grafana.app` (Grafana 12 on), where discovery offers a version whose
//! dashboards have the form that ours have, and `/api/dashboards/db` (all before, and still in 13). Folders and data sources
//! are asked for under `/api` by their uid. Tried on a double that follows grafana.com/docs, not on a real Grafana.

mod client;
mod compare;
mod dashboards;

#[cfg(test)]
mod double;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use client::{Grafana, Login};
use dashboards::{Api, Existing, provisioned};

use super::dashboard::Dashboard;
use crate::error::{Error, Result};

/// Where dashboards go, and how.
#[derive(Debug, Clone)]
pub struct Import {
    /// The folder by its uid; it is made where it is not there.
    pub folder: String,
    /// What the folder is called when it is made.
    pub folder_title: String,
    /// The data source by its uid; else the default one of Prometheus' kind, or the only one.
    pub datasource: Option<String>,
    /// Where a dashboard of the same uid is another: write over it.
    pub overwrite: bool,
    /// Write nothing, and tell what would be written.
    pub dry_run: bool,
}

/// A dashboard that is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    pub title: String,
    pub uid: String,
    /// Path and query under Grafana's address.
    pub url: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Created,
    Updated,
    /// It was there already, as it was to be.
    Unchanged,
}

/// What was done, and by which way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The API that was spoken.
    pub api: String,
    pub folder: String,
    pub datasource: String,
    pub dashboards: Vec<Imported>,
}

/// A data source, as Grafana lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DataSource {
    uid: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    is_default: bool,
}

/// Puts all of them into the folder. What is there already as it must be is left alone.
pub async fn import(grafana: &Grafana, dashboards: &[Dashboard], wanted: &Import) -> Result<Report> {
    let api = Api::discover(grafana).await?;
    let datasource = datasource(grafana, wanted.datasource.as_deref()).await?;
    if !wanted.dry_run {
        ensure_folder(grafana, wanted).await?;
    }
    let mut imported = Vec::new();
    for dashboard in dashboards {
        imported.push(one(grafana, &api, dashboard, (wanted, &datasource)).await?);
    }
    Ok(Report {
        api: api.name(),
        folder: wanted.folder.clone(),
        datasource: datasource.uid,
        dashboards: imported,
    })
}

async fn one(
    grafana: &Grafana,
    api: &Api,
    dashboard: &Dashboard,
    (wanted, datasource): (&Import, &DataSource),
) -> Result<Imported> {
    let uid = &dashboard.model.uid;
    let document = prepared(dashboard, datasource);
    let existing = api.read(grafana, uid).await?;
    let outcome = match &existing {
        Some(it) if it.is_as(&document, &wanted.folder) => Outcome::Unchanged,
        Some(it) if !wanted.overwrite => return Err(another(uid, it)),
        Some(it) if it.provisioned => return Err(provisioned(uid)),
        Some(_) => Outcome::Updated,
        None => Outcome::Created,
    };
    if outcome != Outcome::Unchanged && !wanted.dry_run {
        api.write(grafana, &document, existing.as_ref(), &wanted.folder).await?;
        verify(api.read(grafana, uid).await?, &document, &wanted.folder)?;
    }
    Ok(Imported { title: dashboard.model.title.clone(), uid: uid.clone(), url: format!("d/{uid}"), outcome })
}

/// The dashboard with this data source chosen; its own identity in the Grafana that it comes from means nothing here.
fn prepared(dashboard: &Dashboard, datasource: &DataSource) -> Value {
    let mut document = dashboard.document.clone();
    if let Some(fields) = document.as_object_mut() {
        fields.remove("id");
        fields.remove("version");
    }
    let variables = document.pointer_mut("/templating/list").and_then(Value::as_array_mut);
    for variable in variables.into_iter().flatten().filter(|it| it["type"] == "datasource") {
        variable["current"] = json!({"selected": true, "text": datasource.name, "value": datasource.uid});
    }
    document
}

fn verify(found: Option<Existing>, document: &Value, folder: &str) -> Result<()> {
    let title = document["title"].as_str().unwrap_or_default();
    let hint = "it may be changed by somebody else at the same time; run the same command again";
    let found = found.ok_or_else(|| {
        Error::unhealthy(format!("Grafana took the dashboard {title}, and does not have it now"), hint)
    })?;
    if found.folder != folder {
        let what =
            format!("Grafana put the dashboard {title} into the folder {:?}, not {folder:?}", found.folder);
        return Err(Error::unhealthy(what, "look whether the folder may be written to by this login"));
    }
    let differences = compare::differences(document, &found.document);
    if differences.is_empty() {
        return Ok(());
    }
    let what =
        format!("Grafana has the dashboard {title} otherwise than it was sent: {}", differences.join("; "));
    Err(Error::unhealthy(what, hint))
}

fn another(uid: &str, existing: &Existing) -> Error {
    let title = existing.document["title"].as_str().unwrap_or_default();
    let where_ = if existing.folder.is_empty() {
        "no folder".into()
    } else {
        format!("the folder {}", existing.folder)
    };
    Error::unhealthy(
        format!("there is another dashboard with the uid {uid} already: {title:?} in {where_}"),
        "write over it: --overwrite",
    )
}

async fn datasource(grafana: &Grafana, wanted: Option<&str>) -> Result<DataSource> {
    let list: Vec<DataSource> = grafana.get("api/datasources").await?;
    let of_prometheus: Vec<&DataSource> = list.iter().filter(|it| it.kind == "prometheus").collect();
    let names = || {
        let names: Vec<String> = of_prometheus.iter().map(|it| format!("{} ({})", it.uid, it.name)).collect();
        if names.is_empty() { "there is none".to_owned() } else { format!("there are: {}", names.join(", ")) }
    };
    let found = match wanted {
        Some(uid) => of_prometheus.iter().find(|it| it.uid == uid),
        None if of_prometheus.len() == 1 => of_prometheus.first(),
        None => of_prometheus.iter().find(|it| it.is_default),
    };
    found.map(|it| (*it).clone()).ok_or_else(|| {
        let what = match wanted {
            Some(uid) => {
                format!("Grafana has no data source of Prometheus with the uid {uid:?}; {}", names())
            }
            None => format!("it is not clear which data source of Prometheus is meant; {}", names()),
        };
        Error::unhealthy(what, "name it: --datasource UID; or add one in Grafana under Connections")
    })
}

async fn ensure_folder(grafana: &Grafana, wanted: &Import) -> Result<()> {
    let path = format!("api/folders/{}", wanted.folder);
    if grafana.find::<Value>(&path).await?.is_some() {
        return Ok(());
    }
    let body = json!({"uid": wanted.folder, "title": wanted.folder_title});
    grafana.post::<Value>("api/folders", &body).await.map(drop)
}
