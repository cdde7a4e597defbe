//! kind's configuration: a pure function of ours and of what this machine can do.

use std::path::Path;

use serde::Serialize;

use crate::cluster::shared::EXPERIMENTS;
use crate::cluster::{HostTraits, NODE_PORTS};
use crate::config::Config;
use crate::error::{Error, Result};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    kind: &'static str,
    api_version: &'static str,
    name: String,
    networking: Networking,
    nodes: Vec<Node>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kubeadm_config_patches: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containerd_config_patches: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Networking {
    api_server_address: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    role: &'static str,
    extra_port_mappings: Vec<PortMapping>,
    extra_mounts: Vec<Mount>,
}

/// A folder of the host in a node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    host_path: String,
    container_path: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PortMapping {
    container_port: u16,
    host_port: u16,
    listen_address: &'static str,
}

/// Where the node image comes from: it decides what has to be configured from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeImage {
    /// Platen's own, built from source, by its name in Docker.
    Source(String),
    /// The one that kind's own release names, with its digest.
    Upstream,
}

/// `experiments` is the folder of the host that every node has at [`EXPERIMENTS`].
pub fn render(config: &Config, traits: HostTraits, image: &NodeImage, experiments: &Path) -> Result<String> {
    let nodes = (0..config.cluster.nodes.get())
        .map(|index| Node {
            role: if index == 0 { "control-plane" } else { "worker" },
            extra_port_mappings: std::iter::zip(NODE_PORTS, config.ports.node_ports)
                .map(|(container_port, base)| PortMapping {
                    container_port,
                    host_port: config.ports.on_node(base, index),
                    listen_address: "127.0.0.1",
                })
                .collect(),
            extra_mounts: vec![Mount {
                host_path: experiments.display().to_string(),
                container_path: EXPERIMENTS,
            }],
        })
        .collect();
    let cluster = Cluster {
        kind: "Cluster",
        api_version: "kind.x-k8s.io/v1alpha4",
        name: config.cluster.profile.to_string(),
        networking: Networking { api_server_address: "127.0.0.1" },
        nodes,
        kubeadm_config_patches: kubelet_patch(traits).into_iter().collect(),
        containerd_config_patches: registry_patch(image).into_iter().collect(),
    };
    serde_yaml::to_string(&cluster).map_err(|error| Error::malformed("kind's configuration", error, ""))
}

/// What kubelet must be told on this machine.
fn kubelet_patch(traits: HostTraits) -> Option<String> {
    let mut lines = Vec::new();
    if traits.cgroup_v1 {
        lines.push("failCgroupV1: false");
    }
    if !traits.cap_sys_resource {
        lines.push("featureGates:\n  KubeletInUserNamespace: true");
    }
    (!lines.is_empty()).then(|| format!("kind: KubeletConfiguration\n{}\n", lines.join("\n")))
}

/// The published image reads registry hosts from this folder only when told to.
fn registry_patch(image: &NodeImage) -> Option<String> {
    (*image == NodeImage::Upstream).then(|| {
        "[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIS: HostTraits = HostTraits { cgroup_v1: true, cap_sys_resource: false };
    const USUAL: HostTraits = HostTraits { cgroup_v1: false, cap_sys_resource: true };

    #[test]
    fn each_node_publishes_its_node_ports_on_loopback_ports_of_its_own() {
        insta::assert_snapshot!(
            render(&Config::default(), THIS, &NodeImage::Source("node".into()), Path::new("/p/x")).unwrap()
        );
    }

    #[test]
    fn a_usual_machine_with_the_published_image_needs_only_the_registry() {
        let yaml = render(&Config::default(), USUAL, &NodeImage::Upstream, Path::new("/p/x")).unwrap();
        assert!(!yaml.contains("kubeadmConfigPatches"), "{yaml}");
        assert!(yaml.contains("certs.d"), "{yaml}");
    }
}
