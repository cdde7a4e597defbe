//! What the source build makes: each thing with what it needs, how long it takes, and where it goes.

use std::time::Duration;

/// One thing that is built, in the order in which what needs the other comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Artifact {
    /// A minimal Debian.
    BaseRootfs,
    /// Debian with what a node needs.
    NodeRootfs,
    /// iptables and nft with their libraries.
    ProxyRootfs,
    /// Kubernetes, containerd, etcd, CoreDNS, kind.
    Programs,
    RegistryPrograms,
    /// [`Artifact::BaseRootfs`] in Docker.
    BaseImage,
    /// The registry in Docker.
    RegistryImage,
    /// A kind node with the control plane's images inside, in Docker.
    NodeImage,
    /// runc for BuildKit.
    BuilderRootfs,
    /// BuildKit's daemon.
    BuilderPrograms,
    /// BuildKit in Docker.
    BuilderImage,
    /// git and what else Argo CD's repo-server calls.
    ArgocdRootfs,
    RedisRootfs,
    PrometheusRootfs,
    MariadbRootfs,
    ArgocdPrograms,
    OperatorPrograms,
    ArgocdImage,
    RedisImage,
    PrometheusImage,
    OperatorImage,
    ReloaderImage,
    MariadbImage,
    /// The stand-ins for the charts of Argo CD and Prometheus, with the manifests of their Go modules.
    Charts,
}

/// How an artifact is made, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A root file system of Debian packages: a tar in the cache.
    Debian,
    /// Programs of a Go module: a folder in the cache.
    Go,
    /// An image in Docker.
    Docker,
    /// Images or charts under their upstream names: an OCI layout in the cache.
    Layout,
}

/// What is known of an artifact before it is made.
#[derive(Debug, Clone, Copy)]
struct Facts {
    id: &'static str,
    title: &'static str,
    kind: Kind,
    /// On two cores with nothing cached, as measured.
    seconds: u64,
    needs: &'static [Artifact],
}

impl Artifact {
    pub const ALL: [Self; 24] = [
        Self::BaseRootfs,
        Self::NodeRootfs,
        Self::ProxyRootfs,
        Self::Programs,
        Self::RegistryPrograms,
        Self::BaseImage,
        Self::RegistryImage,
        Self::NodeImage,
        Self::BuilderRootfs,
        Self::BuilderPrograms,
        Self::BuilderImage,
        Self::ArgocdRootfs,
        Self::RedisRootfs,
        Self::PrometheusRootfs,
        Self::MariadbRootfs,
        Self::ArgocdPrograms,
        Self::OperatorPrograms,
        Self::ArgocdImage,
        Self::RedisImage,
        Self::PrometheusImage,
        Self::OperatorImage,
        Self::ReloaderImage,
        Self::MariadbImage,
        Self::Charts,
    ];

    #[rustfmt::skip]
    const fn facts(self) -> Facts {
        use Kind::{Debian, Docker, Go, Layout};
        const fn facts(
            id: &'static str, title: &'static str, kind: Kind, seconds: u64, needs: &'static [Artifact],
        ) -> Facts {
            Facts { id, title, kind, seconds, needs }
        }
        match self {
            Self::BaseRootfs => facts("base-rootfs", "Debian base system", Debian, 25, &[]),
            Self::NodeRootfs => facts("node-rootfs", "Debian system of a node", Debian, 40, &[]),
            Self::ProxyRootfs => facts("proxy-rootfs", "iptables and nft for kube-proxy", Debian, 10, &[]),
            Self::Programs => {
                let title = "Kubernetes, containerd, etcd, CoreDNS, kind (Go)";
                facts("programs", title, Go, 290, &[])
            }
            Self::RegistryPrograms => facts("registry-programs", "registry (Go)", Go, 60, &[]),
            Self::BaseImage => facts("base-image", "base image", Docker, 1, &[Self::BaseRootfs]),
            Self::RegistryImage => facts("registry-image", "registry image", Docker, 1, &[Self::RegistryPrograms]),
            Self::NodeImage => {
                let needs = &[Self::NodeRootfs, Self::ProxyRootfs, Self::Programs];
                facts("node-image", "node image", Docker, 18, needs)
            }
            Self::BuilderRootfs => facts("builder-rootfs", "runc for BuildKit", Debian, 10, &[]),
            Self::BuilderPrograms => facts("builder-programs", "BuildKit (Go)", Go, 130, &[]),
            Self::BuilderImage => {
                let needs = &[Self::BuilderRootfs, Self::BuilderPrograms];
                facts("builder-image", "BuildKit's image", Docker, 1, needs)
            }
            Self::ArgocdRootfs => facts("argocd-rootfs", "git for Argo CD", Debian, 30, &[]),
            Self::RedisRootfs => facts("redis-rootfs", "Debian's redis", Debian, 20, &[]),
            Self::PrometheusRootfs => facts("prometheus-rootfs", "Debian's Prometheus", Debian, 25, &[]),
            Self::MariadbRootfs => facts("mariadb-rootfs", "Debian's MariaDB", Debian, 40, &[]),
            Self::ArgocdPrograms => facts("argocd-programs", "Argo CD (Go)", Go, 300, &[]),
            Self::OperatorPrograms => facts("operator-programs", "Prometheus operator (Go)", Go, 170, &[]),
            Self::ArgocdImage => {
                let needs = &[Self::ArgocdRootfs, Self::ArgocdPrograms];
                facts("argocd", "Argo CD's image", Layout, 3, needs)
            }
            Self::RedisImage => facts("redis", "redis image", Layout, 1, &[Self::RedisRootfs]),
            Self::PrometheusImage => facts("prometheus", "Prometheus image", Layout, 2, &[Self::PrometheusRootfs]),
            Self::OperatorImage => facts("operator", "Prometheus operator's image", Layout, 1, &[Self::OperatorPrograms]),
            Self::ReloaderImage => facts("reloader", "config reloader's image", Layout, 1, &[Self::OperatorPrograms]),
            Self::MariadbImage => facts("mariadb", "MariaDB image", Layout, 2, &[Self::MariadbRootfs]),
            Self::Charts => facts("charts", "charts of Argo CD and Prometheus", Layout, 10, &[]),
        }
    }

    /// What must be there before this can be made.
    pub fn needs(self) -> &'static [Self] {
        self.facts().needs
    }

    pub fn id(self) -> &'static str {
        self.facts().id
    }

    pub fn title(self) -> &'static str {
        self.facts().title
    }

    pub fn kind(self) -> Kind {
        self.facts().kind
    }

    /// How long it takes on two cores with nothing cached, as measured.
    pub fn expected(self) -> Duration {
        Duration::from_secs(self.facts().seconds)
    }

    /// Whether it lies in the cache folder; else in Docker.
    pub fn is_file(self) -> bool {
        self.kind() != Kind::Docker
    }
}

/// How long building these takes on two cores, about: Debian's part runs beside the compiling, the images come after.
pub fn expected(artifacts: &[Artifact]) -> Duration {
    let sum = |kinds: &[Kind]| -> Duration {
        let of_kind = artifacts.iter().filter(|artifact| kinds.contains(&artifact.kind()));
        of_kind.map(|artifact| artifact.expected()).sum()
    };
    sum(&[Kind::Go]).max(sum(&[Kind::Debian])) + sum(&[Kind::Docker, Kind::Layout])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_side_by_side_counts_once_in_the_forecast() {
        let both = [Artifact::BaseRootfs, Artifact::Programs];
        assert_eq!(expected(&both), Artifact::Programs.expected());
        let with_image = [Artifact::BaseRootfs, Artifact::BaseImage];
        assert_eq!(expected(&with_image), Duration::from_secs(26));
    }

    #[test]
    fn what_an_artifact_needs_comes_before_it() {
        let position = |wanted| Artifact::ALL.iter().position(|artifact| *artifact == wanted);
        for artifact in Artifact::ALL {
            assert!(artifact.needs().iter().all(|need| position(*need) < position(artifact)), "{artifact:?}");
        }
    }
}
