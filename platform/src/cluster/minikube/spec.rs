//! What `minikube start` is asked for: a pure function of the configuration and the machine.

use std::path::Path;

use super::profile::Settings;
use crate::cluster::NODE_PORTS;
use crate::cluster::shared::EXPERIMENTS;
use crate::config::{Config, MinikubeConfig};
use crate::error::Result;
use crate::mirror::Versions;

/// What one node gets, in MiB, where the machine has it.
const MEMORY: u64 = 4096;
/// kubeadm starts with no less.
const LEAST_MEMORY: u64 = 1900;
const CPUS: u32 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    profile: String,
    nodes: u16,
    memory: u64,
    cpus: u32,
    kubernetes: String,
    /// `HOST:CONTAINER` of a port of one node; empty for several, since minikube gives each the same.
    ports: Vec<String>,
    /// `HOST:NODE` of the experiments' folder.
    mount: Option<String>,
    settings: MinikubeConfig,
    /// Whether memory and processors are the user's word, and not computed.
    asked: (bool, bool),
}

impl Spec {
    /// `experiments` is the folder of the host that every node gets; `machine` is the machine's memory in MiB.
    pub fn of(config: &Config, experiments: Option<&Path>, machine: u64) -> Result<Self> {
        let cluster = &config.cluster;
        config.minikube.check()?;
        let kubernetes = match &config.minikube.kubernetes_version {
            Some(version) => format!("v{}", version.trim_start_matches('v')),
            None => format!("v{}", Versions::pinned()?.kubernetes),
        };
        let memory = cluster.memory_mib.map_or_else(|| share(machine, cluster.nodes.get()), u64::from);
        let ports = std::iter::zip(NODE_PORTS, config.ports.node_ports);
        Ok(Self {
            profile: cluster.profile.to_string(),
            nodes: cluster.nodes.get(),
            memory,
            cpus: cluster.cpus.unwrap_or(CPUS),
            kubernetes,
            ports: match cluster.nodes.get() {
                1 => ports.map(|(node, host)| format!("127.0.0.1:{host}:{node}")).collect(),
                _ => Vec::new(),
            },
            mount: experiments
                .filter(|_| config.minikube.mount)
                .map(|folder| format!("{}:{EXPERIMENTS}", folder.display())),
            settings: config.minikube.clone(),
            asked: (cluster.memory_mib.is_some(), cluster.cpus.is_some()),
        })
    }

    /// The arguments of `minikube start`, for a new profile and for one that is there.
    pub fn start_args(&self, as_root: bool) -> Vec<String> {
        let set = &self.settings;
        let mut args = vec![
            "start".to_owned(),
            "-p".into(),
            self.profile.clone(),
            "-o".into(),
            "json".into(),
            "--driver=docker".into(),
            "--container-runtime=containerd".into(),
            format!("--nodes={}", self.nodes),
            format!("--memory={}", self.memory),
            format!("--cpus={}", self.cpus),
            format!("--kubernetes-version={}", self.kubernetes),
        ];
        args.extend(self.ports.iter().map(|port| format!("--ports={port}")));
        args.extend(self.mount.iter().map(|mount| format!("--mount-string={mount}")));
        let named = [
            ("base-image", &set.base_image),
            ("binary-mirror", &set.binary_mirror),
            ("image-repository", &set.image_repository),
            ("cni", &set.cni),
            ("feature-gates", &set.feature_gates),
        ];
        args.extend(named.iter().filter_map(|(flag, value)| Some(format!("--{flag}={}", value.as_ref()?))));
        args.extend(set.extra_config.iter().map(|entry| format!("--extra-config={entry}")));
        args.extend(set.registry_mirror.iter().map(|mirror| format!("--registry-mirror={mirror}")));
        let off = [
            ("preload", set.preload),
            ("cache-images", set.cache_images),
            ("install-addons", set.install_addons),
        ];
        args.extend(off.iter().filter(|(_, on)| !on).map(|(flag, _)| format!("--{flag}=false")));
        // Without it minikube refuses the driver to root (exit code 57).
        args.extend(as_root.then(|| "--force".to_owned()));
        args.extend(set.start_args.iter().cloned());
        args
    }

    /// How a profile that is there differs from what is asked for, a phrase each. What was computed for another machine
    /// or moment is not held against it.
    pub fn differences(&self, found: &Settings) -> Vec<String> {
        let mut differs = Vec::new();
        let mut compare = |what: &str, found: &str, wanted: &str| {
            if found != wanted {
                differs.push(format!("{what} {found} instead of {wanted}"));
            }
        };
        compare("its driver is", &found.driver, "docker");
        compare("its container runtime is", &found.kubernetes_config.container_runtime, "containerd");
        compare("its Kubernetes is", &found.kubernetes_config.kubernetes_version, &self.kubernetes);
        if let Some(image) = &self.settings.base_image {
            // minikube adds the digest where it knows one.
            let found = found.base_image.split('@').next().unwrap_or_default();
            compare("its nodes are of the image", found, image.split('@').next().unwrap_or_default());
        }
        if self.nodes == 1 {
            compare("its ports are", &listed(&found.exposed_ports), &listed(&self.ports));
        }
        // A profile without the folder was made with `mount = false`, or by a minikube that does not record it.
        if let Some(mount) = self.mount.as_ref().filter(|_| !found.container_volume_mounts.is_empty()) {
            compare("its nodes have the folder", &listed(&found.container_volume_mounts), mount);
        }
        if found.nodes.len() != usize::from(self.nodes) {
            differs.push(format!("it has {} nodes instead of {}", found.nodes.len(), self.nodes));
        }
        let (memory, cpus) = self.asked;
        if memory && found.memory != self.memory {
            differs.push(format!("each node has {} MiB instead of {}", found.memory, self.memory));
        }
        if cpus && found.cpus != u64::from(self.cpus) {
            differs.push(format!("each node has {} processors instead of {}", found.cpus, self.cpus));
        }
        differs
    }

    pub fn nodes(&self) -> u16 {
        self.nodes
    }
}

fn listed(items: &[String]) -> String {
    if items.is_empty() { "none".into() } else { items.join(", ") }
}

/// Of each node: the usual amount, or its part of four fifths of the machine; the rest is for what is not a node.
fn share(machine: u64, nodes: u16) -> u64 {
    (machine * 4 / 5 / u64::from(nodes.max(1))).clamp(LEAST_MEMORY, MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NodeCount;

    fn args(config: &Config, as_root: bool) -> String {
        let spec = Spec::of(config, Some(Path::new("/p/experiments")), 24 << 10).unwrap();
        spec.start_args(as_root).join("\n")
    }

    fn one_node() -> Config {
        let mut config = Config::default();
        config.cluster.nodes = NodeCount::try_from(1).unwrap();
        config
    }

    #[test]
    fn one_node_publishes_its_node_ports_on_loopback_itself() {
        insta::assert_snapshot!(args(&one_node(), false), @"
        start
        -p
        platen
        -o
        json
        --driver=docker
        --container-runtime=containerd
        --nodes=1
        --memory=4096
        --cpus=2
        --kubernetes-version=v1.36.3
        --ports=127.0.0.1:30001:30001
        --ports=127.0.0.1:30080:30080
        --ports=127.0.0.1:31112:31112
        --mount-string=/p/experiments:/var/lib/platen/experiments
        ");
    }

    #[test]
    fn several_nodes_get_no_ports_for_minikube_would_give_each_the_same() {
        let args = args(&Config::default(), true);
        assert!(!args.contains("--ports") && args.contains("--nodes=3"), "{args}");
        assert!(args.contains("--force"), "{args}");
    }

    #[test]
    fn everything_that_a_restricted_place_needs_can_be_passed() {
        let mut config = one_node();
        config.minikube = toml::from_str(
            r#"
            kubernetes_version = "1.36.2"
            base_image = "localhost:5001/kicbase:lab"
            binary_mirror = "http://127.0.0.1:18999"
            image_repository = "localhost:5000"
            cni = "cni.yaml"
            feature_gates = "KubeletInUserNamespace=true"
            extra_config = ["kubelet.resolv-conf=/kind/resolv.conf", "kubelet.fail-cgroupv1=false"]
            registry_mirror = ["http://platen-registry:5000"]
            preload = false
            cache_images = false
            install_addons = false
            mount = false
            start_args = ["--wait=apiserver"]
            "#,
        )
        .unwrap();
        insta::assert_snapshot!(args(&config, true).split_once("--kubernetes").unwrap().1, @"
        -version=v1.36.2
        --ports=127.0.0.1:30001:30001
        --ports=127.0.0.1:30080:30080
        --ports=127.0.0.1:31112:31112
        --base-image=localhost:5001/kicbase:lab
        --binary-mirror=http://127.0.0.1:18999
        --image-repository=localhost:5000
        --cni=cni.yaml
        --feature-gates=KubeletInUserNamespace=true
        --extra-config=kubelet.resolv-conf=/kind/resolv.conf
        --extra-config=kubelet.fail-cgroupv1=false
        --registry-mirror=http://platen-registry:5000
        --preload=false
        --cache-images=false
        --install-addons=false
        --force
        --wait=apiserver
        ");
    }

    #[test]
    fn several_nodes_share_the_machine_and_none_gets_less_than_it_needs() {
        assert_eq!(share(24 << 10, 1), 4096);
        assert_eq!(share(24 << 10, 9), 2184);
        assert_eq!(share(8 << 10, 3), 2184);
        assert_eq!(share(4 << 10, 3), LEAST_MEMORY);
    }

    #[test]
    fn what_was_computed_is_not_held_against_a_profile() {
        let spec = Spec::of(&one_node(), None, 24 << 10).unwrap();
        let found = Settings {
            memory: 2200,
            cpus: 8,
            driver: "docker".into(),
            kubernetes_config: super::super::profile::Kubernetes {
                kubernetes_version: spec.kubernetes.clone(),
                container_runtime: "containerd".into(),
            },
            nodes: vec![serde_json::Value::Null],
            exposed_ports: spec.ports.clone(),
            ..Settings::default()
        };
        assert_eq!(spec.differences(&found), Vec::<String>::new());
    }
}
