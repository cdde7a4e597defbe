//! Manifests: templates filled strictly, read back as typed objects, written as YAML; and whether what is committed
//! is what would be written.

pub mod argocd;
pub mod chart_readme;
pub mod monitoring;
pub mod parts;
pub mod restricted;
pub mod strict;
mod templates;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;

use crate::error::{Doing, Error, Result};
use crate::host::write_atomically;

/// The folder that holds the committed manifests, under the project's root.
pub const DIR: &str = "argocd";
/// The chart's folder under the project's root, and its repository's path in a registry.
pub const CHART: &str = "charts/ocr-app";
/// Who owns the fields that Platen applies.
pub(crate) const FIELD_MANAGER: &str = "platen";

/// What the templates are filled with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Params {
    /// The AppProject.
    pub project: String,
    /// Where Argo CD runs.
    pub argocd_namespace: String,
    /// Where gateway and model run.
    pub namespace: String,
    /// Where ocr-server runs.
    pub backend_namespace: String,
    /// The Helm release that the Application stands for.
    pub release: String,
    pub source: Source,
    /// Values laid over the chart's own.
    pub values: serde_json::Value,
    /// Values by which the chart is the model server alone, and everything but the model server.
    pub parts: parts::Parts,
}

/// Where Argo CD reads the chart from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// A Git remote, or `oci://registry/charts/ocr-app`.
    pub repo_url: String,
    /// The chart's folder in it; `.` for an OCI artifact.
    pub path: String,
    /// A branch, or the version of an OCI artifact.
    pub revision: String,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            project: "platen".into(),
            argocd_namespace: "argocd".into(),
            namespace: "ocr".into(),
            backend_namespace: "backend".into(),
            release: "ocr".into(),
            source: Source {
                repo_url: "https://github.com/platen/platen.git".into(),
                path: CHART.into(),
                revision: "main".into(),
            },
            values: serde_json::json!({}),
            parts: parts::Parts::default(),
        }
    }
}

/// All files, by their name in the folder.
pub fn files(params: &Params) -> Result<BTreeMap<&'static str, String>> {
    let mut files = BTreeMap::new();
    files.insert("namespaces.yaml", yaml("argocd/namespaces.yaml.j2", &namespaces(params)?)?);
    files.insert("app-project.yaml", yaml("argocd/app-project.yaml.j2", &projects(params)?)?);
    files.insert("application.yaml", yaml("argocd/application.yaml.j2", &applications(params)?)?);
    files.insert(
        "application-sets.yaml",
        yaml("argocd/application-sets.yaml.j2", &application_sets(params)?)?,
    );
    Ok(files)
}

/// What Platen's Applications may read and write.
pub fn projects(params: &Params) -> Result<Vec<argocd::AppProject>> {
    templates::typed("argocd/app-project.yaml.j2", params)
}

/// The whole chart as one Application.
pub fn applications(params: &Params) -> Result<Vec<argocd::Application>> {
    templates::typed("argocd/application.yaml.j2", params)
}

/// The same chart and values in two parts, each synced and rolled back for itself: in place of the Application, not beside it.
pub fn application_sets(params: &Params) -> Result<Vec<argocd::ApplicationSet>> {
    let parts = params.parts.over(&params.values);
    templates::typed("argocd/application-sets.yaml.j2", &Params { parts, ..params.clone() })
}

/// The namespaces that the chart needs: with Pod Security labels, and not part of any release, so that no uninstall
/// takes the Secrets in them along.
pub fn namespaces(params: &Params) -> Result<Vec<Namespace>> {
    templates::documents("argocd/namespaces.yaml.j2", params)?.iter().map(strict::object).collect()
}

/// Makes the namespaces, or gives those that exist their labels.
pub async fn apply_namespaces(client: &kube::Client, params: &Params) -> Result<()> {
    let api = Api::<Namespace>::all(client.clone());
    for namespace in namespaces(params)? {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        let apply = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api.patch(&name, &apply, &Patch::Apply(&namespace)).await;
        applied.doing(format!("making the namespace {name}"))?;
    }
    Ok(())
}

/// Writes all files to `out_dir` and returns those that changed.
pub fn render(out_dir: &Path, params: &Params) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (name, text) in files(params)? {
        let path = out_dir.join(name);
        if std::fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            write_atomically(&path, text.as_bytes())?;
            written.push(path);
        }
    }
    Ok(written)
}

/// A file that is not as [`render`] would leave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "drift", rename_all = "lowercase")]
pub enum Drift {
    Missing {
        file: PathBuf,
    },
    /// `line` counts from 1; `committed` and `rendered` are what stands there.
    Stale {
        file: PathBuf,
        line: usize,
        committed: String,
        rendered: String,
    },
    /// A manifest that no template makes.
    Extra {
        file: PathBuf,
    },
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing { file } => write!(f, "{} is missing", file.display()),
            Self::Stale { file, line, committed, rendered } => {
                write!(f, "{}:{line}: committed {committed:?}, rendered {rendered:?}", file.display())
            }
            Self::Extra { file } => write!(f, "{} is rendered by no template", file.display()),
        }
    }
}

/// How the files of `dir` differ from what would be rendered.
pub fn check(dir: &Path, params: &Params) -> Result<Vec<Drift>> {
    let rendered = files(params)?;
    let mut drifts = Vec::new();
    for (name, text) in &rendered {
        let file = dir.join(name);
        match std::fs::read_to_string(&file) {
            Ok(committed) => drifts.extend(stale(file, &committed, text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                drifts.push(Drift::Missing { file });
            }
            Err(error) => return Err(error).doing(format!("reading {}", file.display())),
        }
    }
    for file in manifests_in(dir) {
        let known =
            file.file_name().and_then(|name| name.to_str()).is_some_and(|name| rendered.contains_key(name));
        if !known {
            drifts.push(Drift::Extra { file });
        }
    }
    Ok(drifts)
}

fn stale(file: PathBuf, committed: &str, rendered: &str) -> Option<Drift> {
    if committed == rendered {
        return None;
    }
    let same = committed.lines().zip(rendered.lines()).take_while(|(old, new)| old == new).count();
    let at = |text: &str| text.lines().nth(same).unwrap_or_default().to_owned();
    Some(Drift::Stale { file, line: same + 1, committed: at(committed), rendered: at(rendered) })
}

fn manifests_in(dir: &Path) -> Vec<PathBuf> {
    let is_manifest = |path: &PathBuf| path.extension().is_some_and(|it| it == "yaml" || it == "yml");
    let walk = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().flatten();
    walk.map(walkdir::DirEntry::into_path).filter(is_manifest).collect()
}

fn yaml<T: Serialize>(template: &str, objects: &[T]) -> Result<String> {
    let mut text = format!("# Rendered from platform/stack/templates/{template}: cargo xtask render\n");
    for object in objects {
        let document = serde_yaml::to_string(object)
            .map_err(|error| Error::malformed(format!("an object of {template}"), error, ""))?;
        text.push_str("---\n");
        text.push_str(&document);
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
