//! The chart as an artifact of a registry: a version for each content, so that nothing that was deployed ever changes.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::CHART;
use crate::digest::Parts;
use crate::error::{Doing, Error, Result};
use crate::helm::{self, Chart, Helm, InputsHash};
use crate::host::Host;
use crate::mirror::{CHART_CONFIG, CHART_CONTENT};
use crate::registry::{Manifest, Reference, Registries};
use crate::tools::{self, Tool};

/// A chart that a registry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// `0.1.0-c5f4dcc3b5aa7`: the chart's own version and what is in it.
    pub version: String,
    /// False where it was there already.
    pub sent: bool,
}

/// The version that the chart has by its content. Behind the hyphen stands a letter first: digits alone would be a
/// number, which semantic versions do not let begin with zero.
pub fn version(host: &Host) -> Result<String> {
    let folder = host.root.join(CHART);
    let metadata = metadata(&folder)?;
    let own = metadata["version"].as_str().unwrap_or_default().to_owned();
    let mut parts = Parts::default();
    parts.add(InputsHash::of(&Chart::Path(folder), &json!({}))?.to_string());
    Ok(format!("{own}-c{}", parts.short()))
}

/// Packs the chart into `to`, at the version of its content.
pub async fn package(host: &Host, to: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(to).doing(format!("creating {}", to.display()))?;
    let helm = Helm::offline(host.processes.clone(), tools::ensure(host, Tool::Helm).await?);
    helm.package(&host.root.join(CHART), to, &version(host)?).await
}

/// Brings the chart into the registry `to`, as `host[:port][/path]`; what is there already is not sent again.
pub async fn push(host: &Host, registries: &Registries, to: &str) -> Result<Pushed> {
    let version = version(host)?;
    let target = reference(to, &version)?;
    if registries.exists(&target).await? {
        return Ok(Pushed { version, sent: false });
    }
    let staged = tempfile::tempdir().doing("making a temporary folder")?;
    let file = package(host, staged.path()).await?;
    let content = std::fs::read(&file).doing(format!("reading {}", file.display()))?;
    let mut metadata = metadata(&host.root.join(CHART))?;
    metadata["version"] = json!(version);
    let config = metadata.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": Registries::descriptor(CHART_CONFIG, &config),
        "layers": [Registries::descriptor(CHART_CONTENT, &content)],
    });
    registries.push_blob(&target, config).await?;
    registries.push_blob(&target, content).await?;
    registries.push_manifest(&target, &Manifest::parse(manifest.to_string().into_bytes())?).await?;
    Ok(Pushed { version, sent: true })
}

fn reference(to: &str, version: &str) -> Result<Reference> {
    crate::registry::parse(&format!("{to}/{CHART}:{version}"))
}

fn metadata(folder: &Path) -> Result<serde_json::Value> {
    let path = folder.join("Chart.yaml");
    let text = std::fs::read_to_string(&path).doing(format!("reading {}", path.display()))?;
    serde_yaml::from_str(&text)
        .map_err(|error| Error::malformed(path.display().to_string(), error, helm::CORRECT_THE_CHART))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::event::Events;

    fn host(root: &Path) -> Host {
        Host::new(root.to_owned(), Config::default(), Events::silent()).unwrap()
    }

    fn chart(template: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(CHART);
        std::fs::create_dir_all(folder.join("templates")).unwrap();
        std::fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: ocr-app\nversion: 0.1.0\n").unwrap();
        std::fs::write(folder.join("templates/a.yaml"), template).unwrap();
        root
    }

    #[test]
    fn the_same_content_has_the_same_version_and_another_has_another() {
        let of = |root: &tempfile::TempDir| version(&host(root.path())).unwrap();
        let (one, same, other) = (chart("a: 1"), chart("a: 1"), chart("a: 2"));
        assert_eq!(of(&one), of(&same));
        assert_ne!(of(&one), of(&other));
        let version = semver::Version::parse(&of(&one)).unwrap();
        assert!(of(&one).starts_with("0.1.0-c"), "{version}");
    }
}
