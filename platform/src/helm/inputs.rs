//! A digest of everything that decides what a release is: written into its description, read back by the next run.

use std::fmt;
use std::path::Path;

use super::Chart;
use crate::digest::Parts;
use crate::error::{Doing, Error, Result};

const PREFIX: &str = "platen inputs sha256:";

/// SHA-256 over the chart's files (or its address and version) and the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputsHash(String);

impl InputsHash {
    pub fn of(chart: &Chart, values: &serde_json::Value) -> Result<Self> {
        let mut parts = Parts::default();
        match chart {
            Chart::Path(path) => hash_path(&mut parts, path)?,
            Chart::Oci { url, version } => parts.add(format!("{url}@{version}")),
        }
        // serde_json keeps the keys of its maps sorted, so equal values give equal bytes.
        parts.add(values.to_string());
        Ok(Self(parts.hex()))
    }

    /// Whether a release's description says from which inputs it was made.
    pub fn is_told_by(description: &str) -> bool {
        description.starts_with(PREFIX)
    }

    /// Whether a release's description says that it was made from these inputs.
    pub fn describes(&self, description: &str) -> bool {
        description == self.to_string()
    }
}

impl fmt::Display for InputsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

fn hash_path(parts: &mut Parts, path: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
        let entry = entry.map_err(|error| {
            Error::malformed(
                format!("the chart {}", path.display()),
                error,
                "look whether the folder is there",
            )
        })?;
        if !entry.file_type().is_file() {
            continue;
        }
        let name = entry.path().strip_prefix(path).unwrap_or(entry.path());
        parts.add(name.to_string_lossy().as_bytes());
        parts.add(std::fs::read(entry.path()).doing(format!("reading {}", entry.path().display()))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chart(text: &str) -> (tempfile::TempDir, Chart) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Chart.yaml"), text).unwrap();
        let chart = Chart::Path(dir.path().to_owned());
        (dir, chart)
    }

    #[test]
    fn the_same_chart_elsewhere_has_the_same_hash() {
        let (one, two) = (chart("name: a"), chart("name: a"));
        let values = json!({"b": 1, "a": 2});
        assert_eq!(InputsHash::of(&one.1, &values).unwrap(), InputsHash::of(&two.1, &values).unwrap());
    }

    #[test]
    fn a_changed_file_or_value_changes_the_hash() {
        let (one, two) = (chart("name: a"), chart("name: b"));
        let base = InputsHash::of(&one.1, &json!({})).unwrap();
        assert_ne!(base, InputsHash::of(&two.1, &json!({})).unwrap());
        assert_ne!(base, InputsHash::of(&one.1, &json!({"a": 1})).unwrap());
    }

    #[test]
    fn a_missing_chart_is_named() {
        let error = InputsHash::of(&Chart::Path("/no/such/chart".into()), &json!({})).unwrap_err();
        assert!(error.to_string().contains("/no/such/chart"), "{error}");
    }
}
