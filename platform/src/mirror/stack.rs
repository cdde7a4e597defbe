//! What the source build is made of: pinned versions, the Go module and the node's files, all inside this program.

use serde::Deserialize;

use crate::error::{Error, Result};

/// One file that the build needs, by its path in `stack/`.
#[derive(Debug, Clone, Copy)]
pub struct StackFile {
    pub path: &'static str,
    pub content: &'static str,
}

macro_rules! stack_files {
    ($($path:literal),+ $(,)?) => {
        &[$(StackFile { path: $path, content: include_str!(concat!("../../stack/", $path)) }),+]
    };
}

pub(super) use stack_files;

/// The Go module that names every program of the cluster.
pub const GO_MODULE: &[StackFile] = stack_files![
    "go/go.mod",
    "go/go.sum",
    "go/tools.go",
    "go/cmd/coredns/main.go",
    "go/cmd/etcd/main.go",
    "go/cmd/pause/main.go",
    "go/cmd/pod-routes/main.go",
    "go/cmd/registry/main.go",
];

/// Files of a node; [`NODE_TREE`] says where each goes.
pub const NODE_FILES: &[StackFile] = stack_files![
    "node/cni.template.json",
    "node/containerd-config.toml",
    "node/containerd.service",
    "node/default-cni.yaml",
    "node/default-storage.yaml",
    "node/hosts-local.toml",
    "node/hosts.toml",
    "node/kubelet-cgroups",
    "node/kubelet.service",
    "node/platen-net",
    "node/prepare",
];

/// Where in a node each of [`NODE_FILES`] goes, and whether it is a program.
pub const NODE_TREE: &[(&str, &str, bool)] = &[
    ("node/cni.template.json", "etc/containerd/cni.template.json", false),
    ("node/containerd-config.toml", "etc/containerd/config.toml", false),
    ("node/hosts.toml", "etc/containerd/certs.d/_default/hosts.toml", false),
    ("node/hosts-local.toml", "etc/containerd/certs.d/localhost:5000/hosts.toml", false),
    ("node/containerd.service", "etc/systemd/system/containerd.service", false),
    ("node/kubelet.service", "etc/systemd/system/kubelet.service", false),
    ("node/default-cni.yaml", "kind/manifests/default-cni.yaml", false),
    ("node/default-storage.yaml", "kind/manifests/default-storage.yaml", false),
    ("node/kubelet-cgroups", "kind/bin/kubelet-cgroups", true),
    ("node/platen-net", "kind/bin/platen-net", true),
    ("node/prepare", "kind/prepare", true),
];

/// Files that kind's own node image carries, taken from its Go module: source there, place in a node, program or not.
pub const KIND_FILES: &[(&str, &str, bool)] = &[
    ("images/base/files/usr/local/bin/entrypoint", "usr/local/bin/entrypoint", true),
    ("images/base/files/kind/bin/create-kubelet-cgroup-v2.sh", "kind/bin/create-kubelet-cgroup-v2.sh", true),
    ("images/base/files/etc/sysctl.d/10-network-magic.conf", "etc/sysctl.d/10-network-magic.conf", false),
];

/// Debian packages of a node, beside the minimal system.
pub const NODE_PACKAGES: &[&str] = &[
    "ca-certificates",
    "conntrack",
    "containernetworking-plugins",
    "ethtool",
    "hostname",
    "iproute2",
    "iptables",
    "jq",
    "kmod",
    "mount",
    "nftables",
    "procps",
    "runc",
    "socat",
    "systemd",
];

/// Programs that kube-proxy calls, with their libraries and nothing else.
pub const PROXY_PACKAGES: &[&str] = &["conntrack", "iptables", "kmod", "nftables"];

/// The base image: what `debian:trixie-slim` has, and certificates.
pub const BASE_PACKAGES: &[&str] = &["ca-certificates"];

/// The registry, of the same module: whoever only builds images needs nothing else of it.
pub const REGISTRY_PROGRAM: (&str, &str) = ("./cmd/registry", "registry");
/// Packages of the module that the registry compiles from an empty cache, about.
pub const REGISTRY_PACKAGES_ABOUT: u64 = 700;

/// What `go build` is asked for: the package, and the name of its program.
pub const GO_PROGRAMS: &[(&str, &str)] = &[
    ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
    ("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager"),
    ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
    ("k8s.io/kubernetes/cmd/kube-proxy", "kube-proxy"),
    ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
    ("k8s.io/kubernetes/cmd/kubeadm", "kubeadm"),
    ("github.com/containerd/containerd/v2/cmd/containerd", "containerd"),
    ("github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", "containerd-shim-runc-v2"),
    ("github.com/containerd/containerd/v2/cmd/ctr", "ctr"),
    ("sigs.k8s.io/kind", "kind"),
    ("./cmd/coredns", "coredns"),
    ("./cmd/etcd", "etcd"),
    ("./cmd/pause", "pause"),
    ("./cmd/pod-routes", "pod-routes"),
];

/// Built only where no package carries it for this machine.
pub const KUBECTL: (&str, &str) = ("k8s.io/kubernetes/cmd/kubectl", "kubectl");

/// About how many Go packages a build from an empty cache compiles; for the progress bar only.
pub const GO_PACKAGES_ABOUT: u64 = 3600;

/// The pinned versions, from `stack/versions.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    pub kubernetes: String,
    pub containerd: String,
    pub etcd: String,
    pub coredns: String,
    pub registry: String,
    pub kind: String,
    pub etcd_tag: String,
    pub pause_tag: String,
    pub suite: String,
}

impl Versions {
    pub fn pinned() -> Result<Self> {
        #[derive(Deserialize)]
        struct File {
            mirror: Versions,
        }
        let file: File = toml::from_str(include_str!("../../stack/versions.toml"))
            .map_err(|error| Error::malformed("stack/versions.toml", error, "restore it from git"))?;
        Ok(file.mirror)
    }

    /// The major and minor number of Kubernetes, as its version package wants them.
    pub fn kubernetes_minor(&self) -> (&str, &str) {
        let mut parts = self.kubernetes.split('.');
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }

    pub fn pause_image(&self) -> String {
        format!("registry.k8s.io/pause:{}", self.pause_tag)
    }
}

/// The content of one of the embedded files.
pub fn file(path: &str) -> &'static str {
    GO_MODULE.iter().chain(NODE_FILES).find(|file| file.path == path).map_or("", |file| file.content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::Tool;

    fn required(module: &str) -> String {
        file("go/go.mod")
            .lines()
            .filter(|line| !line.contains("=>"))
            .find_map(|line| line.trim().strip_prefix(module)?.strip_prefix(" v"))
            .map_or_else(
                || panic!("go.mod requires no {module}"),
                |rest| rest.split_whitespace().next().unwrap_or_default().to_owned(),
            )
    }

    #[test]
    fn the_pinned_versions_are_those_of_the_go_module() {
        let pinned = Versions::pinned().unwrap();
        assert_eq!(pinned.kubernetes, required("k8s.io/kubernetes"));
        assert_eq!(pinned.containerd, required("github.com/containerd/containerd/v2"));
        assert_eq!(pinned.etcd, required("go.etcd.io/etcd/server/v3"));
        assert_eq!(pinned.coredns, required("github.com/coredns/coredns"));
        assert_eq!(pinned.registry, required("github.com/distribution/distribution/v3"));
        assert_eq!(pinned.kind, required("sigs.k8s.io/kind"));
        assert!(pinned.etcd_tag.starts_with(&pinned.etcd));
        assert_eq!(pinned.kubernetes, Tool::Kubectl.spec().unwrap().version.to_string());
    }

    #[test]
    fn every_file_of_a_node_has_a_place_and_content() {
        for node_file in NODE_FILES {
            assert!(NODE_TREE.iter().any(|(path, ..)| *path == node_file.path), "{}", node_file.path);
            assert!(!node_file.content.is_empty(), "{}", node_file.path);
        }
        for (path, ..) in NODE_TREE {
            assert!(!file(path).is_empty(), "{path}");
        }
    }

    #[test]
    fn the_manifests_of_a_node_are_no_go_templates() {
        // kind renders them as such, and braces in flow style would be taken for actions.
        assert!(!file("node/default-cni.yaml").contains("{{"));
    }
}
