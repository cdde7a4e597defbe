//! What runs on the cluster beside the OCR service: Argo CD, redis, Prometheus and its operator, MariaDB; from which
//! Debian packages and Go modules each comes.

use serde::Deserialize;

use super::artifact::Artifact;
use super::stack::{StackFile, stack_files};
use crate::error::{Error, Result};

/// The pinned versions and names, from `stack/versions.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceVersions {
    pub argocd: String,
    pub operator: String,
    pub prometheus: String,
    pub redis_image: String,
    pub mariadb_image: String,
}

impl ServiceVersions {
    pub fn pinned() -> Result<Self> {
        #[derive(Deserialize)]
        struct File {
            services: ServiceVersions,
        }
        let file: File = toml::from_str(include_str!("../../stack/versions.toml"))
            .map_err(|error| Error::malformed("stack/versions.toml", error, "restore it from git"))?;
        Ok(file.services)
    }

    /// The upstream name of an artifact's image; none where it is no image of a service.
    pub fn reference(&self, artifact: Artifact) -> Option<String> {
        Some(match artifact {
            Artifact::ArgocdImage => format!("quay.io/argoproj/argocd:v{}", self.argocd),
            Artifact::RedisImage => self.redis_image.clone(),
            Artifact::PrometheusImage => format!("quay.io/prometheus/prometheus:v{}", self.prometheus),
            Artifact::OperatorImage => {
                format!("quay.io/prometheus-operator/prometheus-operator:v{}", self.operator)
            }
            Artifact::ReloaderImage => {
                format!("quay.io/prometheus-operator/prometheus-config-reloader:v{}", self.operator)
            }
            Artifact::MariadbImage => self.mariadb_image.clone(),
            _ => return None,
        })
    }
}

/// A root file system: Debian packages, and what of them nobody calls.
#[derive(Debug, Clone, Copy)]
pub struct Packages {
    pub names: &'static [&'static str],
    /// Paths with `*`, as dpkg's `path-exclude` takes them.
    pub without: &'static [&'static str],
    /// Unpacked, not installed: libraries and programs, no package manager.
    pub unpacked: bool,
}

/// Character sets that nobody converts, and the Perl of maintainer scripts that never run.
const NEVER_CALLED: &[&str] = &[
    "/usr/lib/*/gconv/*",
    "/usr/lib/*/libperl.so*",
    "/usr/lib/*/perl-base/*",
    "/usr/lib/*/perl/*",
    "/usr/share/perl/*",
    "/usr/share/perl5/*",
    "/usr/share/bash-completion/*",
];

/// Beside [`NEVER_CALLED`]: sources of what the web page loads minified.
const NEVER_LOADED: &[&str] = &[
    "/usr/lib/*/gconv/*",
    "/usr/lib/*/perl-base/*",
    "/usr/share/perl5/*",
    "/usr/share/nodejs/*",
    "/usr/share/javascript/bootstrap/less/*",
    "/usr/share/javascript/moment-timezone/data/*",
];

/// What an artifact of Debian is made of; none where it is not one.
pub fn packages(artifact: Artifact) -> Option<Packages> {
    use super::stack::{BASE_PACKAGES, NODE_PACKAGES, PROXY_PACKAGES};
    let installed = |names| Packages { names, without: &[], unpacked: false };
    let unpacked = |names, without| Packages { names, without, unpacked: true };
    Some(match artifact {
        Artifact::BaseRootfs => installed(BASE_PACKAGES),
        Artifact::NodeRootfs => installed(NODE_PACKAGES),
        Artifact::ProxyRootfs => unpacked(PROXY_PACKAGES, &[]),
        Artifact::BuilderRootfs => unpacked(super::builder::PACKAGES, &[]),
        // git for repositories, a shell and its friends for git's submodules, tar and gzip for charts of Helm
        // repositories, cp for the init container, tini for orphans of git.
        Artifact::ArgocdRootfs => {
            const NAMES: &[&str] = &[
                "ca-certificates",
                "coreutils",
                "dash",
                "git",
                "gzip",
                "openssh-client",
                "sed",
                "tar",
                "tini",
            ];
            unpacked(NAMES, NEVER_CALLED)
        }
        Artifact::RedisRootfs => unpacked(&["dash", "redis-server"], NEVER_CALLED),
        Artifact::PrometheusRootfs => unpacked(&["ca-certificates", "prometheus"], NEVER_LOADED),
        Artifact::MariadbRootfs => {
            const NAMES: &[&str] =
                &["coreutils", "dash", "hostname", "mariadb-client-core", "mariadb-server-core", "sed"];
            unpacked(NAMES, NEVER_CALLED)
        }
        _ => return None,
    })
}

/// A Go module of ours that names programs of others.
#[derive(Debug, Clone, Copy)]
pub struct GoModule {
    pub files: &'static [StackFile],
    /// The package, and the name that `go build` gives its program.
    pub programs: &'static [(&'static str, &'static str)],
    /// About how many Go packages a build from an empty cache compiles; for the progress bar only.
    pub packages_about: u64,
    flag: fn(&ServiceVersions) -> String,
}

impl GoModule {
    /// What the linker is told beside the usual: the versions that programs state.
    pub fn flags(&self, versions: &ServiceVersions) -> Vec<String> {
        vec![(self.flag)(versions)]
    }
}

const ARGOCD_MODULE: GoModule = GoModule {
    files: stack_files!["argocd/go.mod", "argocd/go.sum"],
    programs: &[("github.com/argoproj/argo-cd/v3/cmd", "cmd")],
    packages_about: 2230,
    flag: |versions| format!("-X github.com/argoproj/argo-cd/v3/common.version={}", versions.argocd),
};

const OPERATOR_MODULE: GoModule = GoModule {
    files: stack_files!["operator/go.mod", "operator/go.sum", "operator/tools.go"],
    programs: &[
        ("github.com/prometheus-operator/prometheus-operator/cmd/operator", "operator"),
        (
            "github.com/prometheus-operator/prometheus-operator/cmd/prometheus-config-reloader",
            "prometheus-config-reloader",
        ),
    ],
    packages_about: 1300,
    flag: |versions| format!("-X github.com/prometheus/common/version.Version={}", versions.operator),
};

/// The Go module of an artifact; none where it is not one, or the cluster's own.
pub fn go_module(artifact: Artifact) -> Option<GoModule> {
    match artifact {
        Artifact::ArgocdPrograms => Some(ARGOCD_MODULE),
        Artifact::OperatorPrograms => Some(OPERATOR_MODULE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requires(module: &GoModule, path: &str, version: &str) -> bool {
        let wanted = format!("{path} v{version}");
        let required = |line: &str| {
            let line = line.trim().trim_start_matches("require ");
            line.trim_end_matches(" // indirect") == wanted
        };
        module.files[0].content.lines().any(required)
    }

    #[test]
    fn the_pinned_versions_are_those_of_the_go_modules() {
        let pinned = ServiceVersions::pinned().unwrap();
        assert!(requires(&ARGOCD_MODULE, "github.com/argoproj/argo-cd/v3", &pinned.argocd));
        let operator = "github.com/prometheus-operator/prometheus-operator";
        assert!(requires(&OPERATOR_MODULE, operator, &pinned.operator));
    }

    #[test]
    fn every_image_of_a_service_has_an_upstream_name_with_a_tag() {
        let pinned = ServiceVersions::pinned().unwrap();
        let references: Vec<_> = Artifact::ALL.into_iter().filter_map(|it| pinned.reference(it)).collect();
        assert_eq!(references.len(), 6);
        for reference in references {
            let (host, rest) = reference.split_once('/').unwrap();
            assert!(host.contains('.') && rest.contains(':'), "{reference}");
        }
    }
}
