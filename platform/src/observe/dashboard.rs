//! Grafana dashboards as they lie in `dashboards/`: the parts that are looked at, beside the whole document.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Doing, Error, Result};

/// The folder that holds the committed dashboards, under the project's root.
pub const DIR: &str = "dashboards";

/// One dashboard.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// The file's name without `.json`.
    pub name: String,
    pub model: Model,
    /// All of it, as Grafana takes it.
    pub document: Value,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Model {
    pub uid: String,
    pub title: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub panels: Vec<Panel>,
    #[serde(default)]
    pub templating: Templating,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Templating {
    #[serde(default)]
    pub list: Vec<Variable>,
}

/// A choice at the top of a dashboard.
#[derive(Debug, Clone, Deserialize)]
pub struct Variable {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// A word for a data source, an object for a query.
    #[serde(default)]
    pub query: Value,
    #[serde(default, rename = "allValue")]
    pub all_value: Option<String>,
    #[serde(default, rename = "includeAll")]
    pub include_all: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Panel {
    pub id: u32,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub description: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub datasource: Option<DataSource>,
    #[serde(default)]
    pub targets: Vec<Target>,
    #[serde(default, rename = "fieldConfig")]
    pub fields: Fields,
    #[serde(default, rename = "gridPos")]
    pub place: Place,
    /// What belongs to its kind alone.
    #[serde(default)]
    pub options: Value,
    /// Those of a folded row.
    #[serde(default)]
    pub panels: Vec<Panel>,
}

impl Panel {
    pub fn is_row(&self) -> bool {
        self.kind == "row"
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DataSource {
    #[serde(default, rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub uid: String,
}

/// A query of a panel.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Target {
    #[serde(default)]
    pub expr: String,
    #[serde(default, rename = "legendFormat")]
    pub legend: String,
    #[serde(default, rename = "refId")]
    pub id: String,
    /// Asked for now, and not over the panel's time.
    #[serde(default)]
    pub instant: bool,
    #[serde(default)]
    pub datasource: Option<DataSource>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Fields {
    #[serde(default)]
    pub defaults: FieldDefaults,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct FieldDefaults {
    #[serde(default)]
    pub unit: String,
    #[serde(default)]
    pub thresholds: Thresholds,
    #[serde(default)]
    pub min: Option<f64>,
    #[serde(default)]
    pub max: Option<f64>,
    #[serde(default)]
    pub custom: Custom,
}

/// From which value on which colour means something.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Thresholds {
    #[serde(default)]
    pub steps: Vec<Threshold>,
}

impl Thresholds {
    /// Of a value; Grafana's steps begin with one that has none.
    pub fn color(&self, value: f64) -> &str {
        let reached = self.steps.iter().rev().find(|step| step.value.is_none_or(|bound| value >= bound));
        reached.map_or("none", |step| step.color.as_str())
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct Threshold {
    pub color: String,
    #[serde(default)]
    pub value: Option<f64>,
}

/// How a time series is drawn.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Custom {
    #[serde(default, rename = "fillOpacity")]
    pub fill_opacity: f64,
    #[serde(default)]
    pub stacking: Mode,
    #[serde(default, rename = "thresholdsStyle")]
    pub thresholds_style: Mode,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Mode {
    #[serde(default)]
    pub mode: String,
}

/// In units of Grafana's grid, which is 24 wide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Place {
    pub x: u32,
    pub y: u32,
    pub w: u32,
    pub h: u32,
}

impl Dashboard {
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let unreadable = |error: serde_json::Error| {
            Error::malformed(format!("{DIR}/{name}.json"), error, "export it from Grafana again, or mend it")
        };
        let document: Value = serde_json::from_str(text).map_err(unreadable)?;
        let model = serde_json::from_value(document.clone()).map_err(unreadable)?;
        Ok(Self { name: name.to_owned(), model, document })
    }

    /// Every panel but the rows, also those of a folded row.
    pub fn panels(&self) -> Vec<&Panel> {
        let nested = self.model.panels.iter().flat_map(|panel| &panel.panels);
        self.model.panels.iter().chain(nested).filter(|panel| !panel.is_row()).collect()
    }
}

/// All dashboards of a folder, by name.
pub fn read(folder: &Path) -> Result<Vec<Dashboard>> {
    let doing = || format!("reading {}", folder.display());
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .doing(doing())?
        .collect::<std::io::Result<Vec<_>>>()
        .doing(doing())?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Error::usage(
            format!("there is no dashboard in {}", folder.display()),
            "name a folder with Grafana's JSON files",
        ));
    }
    files
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let text = std::fs::read_to_string(path).doing(format!("reading {}", path.display()))?;
            Dashboard::parse(&name, &text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::observe::lint::{Exceptions, lint};

    fn committed() -> (std::path::PathBuf, Vec<Dashboard>) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(DIR);
        let dashboards = read(&folder).unwrap();
        (folder, dashboards)
    }

    #[test]
    fn the_committed_dashboards_break_no_rule() {
        let (folder, dashboards) = committed();
        let exceptions = Exceptions::read(&folder).unwrap();
        let found: Vec<_> = dashboards.iter().flat_map(|it| lint(it, &exceptions)).collect();
        assert_eq!(found, []);
    }

    #[test]
    fn the_users_panels_are_among_them_word_for_word() {
        let (_, dashboards) = committed();
        let panels = dashboards.iter().flat_map(Dashboard::panels);
        let asked: BTreeSet<&str> = panels.flat_map(|it| &it.targets).map(|it| it.expr.as_str()).collect();
        for wanted in [
            "sum(rate(kserve_inference_request_count[1m]))",
            "sum(rate(kserve_inference_request_error_count[1m]))",
            "histogram_quantile(0.95, sum(rate(kserve_inference_request_duration_seconds_bucket[5m])) by (le))",
            "rate(container_cpu_usage_seconds_total{pod=~\"model-server.*\"}[1m])",
            "container_memory_usage_bytes{pod=~\"model-server.*\"}",
        ] {
            assert!(asked.contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn no_two_panels_share_an_id_or_a_place() {
        for dashboard in committed().1 {
            let panels = &dashboard.model.panels;
            let ids: BTreeSet<u32> = panels.iter().map(|panel| panel.id).collect();
            assert_eq!(ids.len(), panels.len(), "{}", dashboard.name);
            for (index, one) in panels.iter().enumerate() {
                assert!(one.place.x + one.place.w <= 24, "{} is too wide", one.title);
                for other in &panels[index + 1..] {
                    let (a, b) = (one.place, other.place);
                    let apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
                    assert!(apart, "{} lies on {}", one.title, other.title);
                }
            }
        }
    }

    #[test]
    fn a_folder_without_dashboards_is_named() {
        let empty = tempfile::tempdir().unwrap();
        assert!(read(empty.path()).unwrap_err().to_string().contains("there is no dashboard in"));
    }
}
