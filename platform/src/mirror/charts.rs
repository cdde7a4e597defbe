//! Stand-ins for the charts of Argo CD and Prometheus, where no chart repository can be reached: templates of ours over the
//! manifests that the real components' Go modules carry, packaged as charts.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::archive::{self, Entry};
use super::artifact::Artifact;
use super::layout::Layout;
use super::names::Names;
use super::services;
use super::stack::{StackFile, stack_files};
use super::store::Store;
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::tools;

/// Where stand-ins are called from; nobody else's charts have this host.
const REPOSITORY: &str = "platen.dev/charts";
const FETCHED_WITHIN: Duration = Duration::from_mins(10);

pub const CHART_FILES: &[StackFile] = stack_files![
    "charts/argo-cd/Chart.yaml",
    "charts/argo-cd/values.yaml",
    "charts/argo-cd/templates/install.yaml",
    "charts/kube-prometheus-stack/Chart.yaml",
    "charts/kube-prometheus-stack/values.yaml",
    "charts/kube-prometheus-stack/templates/_helpers.tpl",
    "charts/kube-prometheus-stack/templates/operator.yaml",
    "charts/kube-prometheus-stack/templates/prometheus.yaml",
    "charts/kube-prometheus-stack/templates/monitors.yaml",
];

/// A chart, and the manifests that its real component's module carries.
struct Source {
    chart: &'static str,
    module_of: Artifact,
    module: &'static str,
    manifests: &'static str,
}

const SOURCES: [Source; 2] = [
    Source {
        chart: "argo-cd",
        module_of: Artifact::ArgocdPrograms,
        module: "github.com/argoproj/argo-cd/v3",
        manifests: "manifests/install.yaml",
    },
    Source {
        chart: "kube-prometheus-stack",
        module_of: Artifact::OperatorPrograms,
        module: "github.com/prometheus-operator/prometheus-operator",
        manifests: "bundle.yaml",
    },
];

/// The name of a stand-in in the mirror.
pub fn reference(chart: &str, names: &Names) -> String {
    let services = names.services();
    let version = if chart == SOURCES[0].chart { &services.argocd } else { &services.operator };
    format!("{REPOSITORY}/{chart}:{version}")
}

/// The names of all stand-ins.
pub fn references(names: &Names) -> Vec<String> {
    SOURCES.iter().map(|source| reference(source.chart, names)).collect()
}

pub async fn build(host: &Host, store: &Store, names: &Names, step: &Step) -> Result<()> {
    let go = tools::ensure_go(host).await?;
    let staged = store.stage()?;
    let layout = Layout::create(staged.path())?;
    for source in &SOURCES {
        step.message(format!("fetching {}", source.module));
        let module = fetch(host, &go, store, source).await?;
        let path = module.join(source.manifests);
        let manifests = std::fs::read_to_string(&path).doing(format!("reading {}", path.display()))?;
        step.message(format!("packaging {}", source.chart));
        let entries = entries(source.chart, &manifests);
        let metadata = metadata(source.chart)?;
        let package = package(&entries).doing(format!("packaging the chart {}", source.chart))?;
        layout.write_chart(&reference(source.chart, names), &metadata, &package)?;
    }
    store.publish(staged, &names.name(Artifact::Charts))?;
    Ok(())
}

/// The folder of a Go module, at the version that go.mod requires and checked by its go.sum.
async fn fetch(host: &Host, go: &Path, store: &Store, source: &Source) -> Result<PathBuf> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        dir: PathBuf,
    }
    let module = services::go_module(source.module_of)
        .ok_or_else(|| Error::malformed(source.module, "no Go module of ours names it", ""))?;
    let staged = store.stage()?;
    super::programs::write_module(staged.path(), module.files)?;
    let cmd = super::programs::go_cmd(go, staged.path())
        .args(["mod", "download", "-json", source.module])
        .deadline(FETCHED_WITHIN);
    let said = host.processes.run(&cmd).await?.stdout;
    let answer: Answer = serde_json::from_slice(&said).map_err(|error| {
        Error::malformed("what go mod download said", error, "run the same command again")
    })?;
    Ok(answer.dir)
}

/// The chart's files: ours, the custom resource definitions where Helm installs them from, the rest for our templates.
fn entries(chart: &str, manifests: &str) -> Vec<Entry> {
    let folder = format!("charts/{chart}/");
    let ours = CHART_FILES.iter().filter_map(|file| {
        let path = file.path.strip_prefix(&folder)?;
        Some(Entry::text(format!("{chart}/{path}"), file.content))
    });
    let (definitions, rest): (Vec<&str>, Vec<&str>) =
        manifests.split("\n---\n").partition(|document| kind(document) == Some("CustomResourceDefinition"));
    let mut entries: Vec<Entry> = ours.collect();
    entries.push(Entry::text(format!("{chart}/crds/crds.yaml"), definitions.join("\n---\n")));
    entries.push(Entry::text(format!("{chart}/upstream/manifests.yaml"), rest.join("\n---\n")));
    entries
}

/// The kind of a YAML document as upstream writes them: at the beginning of a line.
fn kind(document: &str) -> Option<&str> {
    document.lines().find_map(|line| line.strip_prefix("kind: "))
}

fn metadata(chart: &str) -> Result<serde_json::Value> {
    let path = format!("charts/{chart}/Chart.yaml");
    let file = CHART_FILES.iter().find(|file| file.path == path).map_or("", |file| file.content);
    serde_yaml::from_str(file).map_err(|error| Error::malformed(path, error, "restore it from git"))
}

fn package(entries: &[Entry]) -> std::io::Result<Vec<u8>> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    archive::append_entries(&mut tar, entries)?;
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_ins_state_the_versions_of_their_components() {
        let names = Names::pinned("amd64").unwrap();
        for source in &SOURCES {
            let metadata = metadata(source.chart).unwrap();
            let name = reference(source.chart, &names);
            let version = metadata["version"].as_str().unwrap();
            assert!(name.ends_with(&format!("{}:{version}", source.chart)), "{name} {version}");
            assert_eq!(metadata["name"], source.chart);
        }
    }

    #[test]
    fn definitions_go_where_helm_installs_them_first_and_the_rest_to_the_templates() {
        let manifests = "# by controller-gen\nkind: CustomResourceDefinition\nmetadata:\n  name: a\n---\n\
                         apiVersion: v1\nkind: Service\nmetadata:\n  name: b\n";
        let entries = entries("argo-cd", manifests);
        let content = |wanted: &str| {
            entries.iter().find_map(|entry| match entry {
                Entry::Text { path, content, .. } if path == wanted => Some(content.as_str()),
                _ => None,
            })
        };
        assert!(content("argo-cd/crds/crds.yaml").unwrap().contains("name: a"));
        let rest = content("argo-cd/upstream/manifests.yaml").unwrap();
        assert!(rest.contains("name: b") && !rest.contains("name: a"), "{rest}");
        assert!(content("argo-cd/Chart.yaml").is_some());
    }
}
